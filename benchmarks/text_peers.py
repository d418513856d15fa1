"""What peers make of the same teacher: python benchmarks/text_peers.py --job FILE, made by text_classification.py.

Runs in an environment of its own, because these packages want other versions of transformers:
`pip install "model2vec[distill,train]" setfit`. Reads {"peer", "teacher", "train", "test", "dim", "seeds"} and writes
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


def setfit(job: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame) -> tuple[list[Any], list[float]]:
    """Its DistillationTrainer: a student encoder learns the pair similarities of a SetFit teacher."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, models
    from setfit import DistillationTrainer, SetFitModel, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    few = train.groupby("label").sample(job["rows"] // train["label"].nunique(), random_state=0, replace=False)
    rows = Dataset.from_dict({"text": few["text"].tolist(), "label": few["label"].astype(int).tolist()})

    def encoder(folder: str) -> Any:
        inner = models.Transformer(folder, max_seq_length=128)
        return SentenceTransformer(modules=[inner, models.Pooling(inner.get_word_embedding_dimension())], device="cpu")

    teacher = SetFitModel(model_body=encoder(job["teacher"]), model_head=LogisticRegression(max_iter=1000))
    teacher.fit(few["text"].tolist(), few["label"].astype(int).tolist(), num_epochs=1)
    said, seconds = [], []
    for seed in job["seeds"]:
        started = time.process_time()
        student = SetFitModel(model_body=encoder(job["student"]), model_head=LogisticRegression(max_iter=1000))
        settings = TrainingArguments(
            batch_size=16, num_epochs=1, seed=seed, max_steps=job["steps"], output_dir=str(Path(job["out"]).parent)
        )
        DistillationTrainer(teacher, student, args=settings, train_dataset=rows, metric=_accuracy).train()
        seconds.append(time.process_time() - started)
        said.append(np.asarray(student.predict(test["text"].tolist())).astype(int))
    return said, seconds


def _accuracy(predicted: Any, truth: Any) -> dict[str, float]:
    return {"accuracy": float((np.asarray(predicted) == np.asarray(truth)).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=Path, required=True)
    job = json.loads(parser.parse_args().job.read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(1)
    train, test = pd.read_parquet(job["train"]), pd.read_parquet(job["test"])
    said, seconds = {"model2vec": model2vec, "setfit": setfit}[job["peer"]](job, train, test)
    np.savez(job["out"], decisions=np.stack(said), seconds=np.array(seconds))


if __name__ == "__main__":
    main()
