"""Embeddings of model2vec: python benchmarks/model2vec_embeddings.py TEACHER DIM MODEL TEXTS.json OUT.npz.

What was distilled lies in the folder MODEL and is read from there the next time. The benchmarks on texts run this with
an interpreter that has model2vec (`pip install 'model2vec[distill]'`), which limbeck itself does not need.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    from model2vec import StaticModel
    from model2vec.distill import distill

    teacher, dim, folder, texts, out = sys.argv[1:]
    started = time.process_time()
    if not Path(folder).is_dir():
        distill(teacher, pca_dims=int(dim), device="cpu").save_pretrained(folder)
    model = StaticModel.from_pretrained(folder)
    said = np.asarray(model.encode(json.loads(Path(texts).read_text())), dtype=np.float32)
    np.savez(out, embeddings=said, parameters=model.embedding.size, seconds=time.process_time() - started)


if __name__ == "__main__":
    main()
