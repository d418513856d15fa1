"""What model2vec makes of the same teacher: python benchmarks/text_peers.py --job FILE, made by text_classification.py.

Runs in an environment of its own, because it wants other versions of transformers:
`pip install "model2vec[distill,train]"`. Reads {"teacher", "train", "test", "dim", "seeds", "out"} and writes
test decisions [S, N] and seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def model2vec(job: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame) -> tuple[list[Any], list[float]]:
    """Its static model of the teacher's encoder, then its own classifier on top, trained on the labels."""
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    static = distill(job["teacher"], pca_dims=job["dim"])
    said, seconds = [], []
    for seed in job["seeds"]:
        started = time.process_time()
        model = StaticModelForClassification.from_static_model(model=static, out_dim=train["label"].nunique())
        model.fit(train["text"].tolist(), train["label"].astype(str).tolist(), device="cpu", random_seed=seed)
        seconds.append(time.process_time() - started)
        said.append(np.asarray(model.predict(test["text"].tolist())).astype(int))
    return said, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=Path, required=True)
    job = json.loads(parser.parse_args().job.read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(1)
    train, test = pd.read_parquet(job["train"]), pd.read_parquet(job["test"])
    said, seconds = model2vec(job, train, test)
    np.savez(job["out"], decisions=np.stack(said), seconds=np.array(seconds))


if __name__ == "__main__":
    main()
