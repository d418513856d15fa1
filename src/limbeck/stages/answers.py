"""Predictions of a run: one Parquet file for each split, arm and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.run import Run
from limbeck.data.retrieval import Retrieval
from limbeck.data.rows import Rows
from limbeck.data.similarity import Similarity
from limbeck.data.tasks import Task
from limbeck.evaluate import predictions

TEST, VALIDATION = "test", "validation"
FOLDER = "predictions"


def file_name(split: str, arm: str, seed: int) -> str:
    """Name inside the run folder."""
    return f"{FOLDER}/{split}-{arm}-{seed}.parquet"


def write(run: Run, split: str, arm: str, seed: int, rows: Rows, outputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write answers [N, C] of every head (logits, natural units for regression, cosines, ranks)."""
    path = run.path(file_name(split, arm, seed))
    predictions.write(path, rows.keys, arm, {head: values[None] for head, values in outputs.items()}, [seed])


def read(run: Run, split: str, arm: str, seeds: tuple[int, ...], rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """Read answers [S, N, C] of every head of one arm, in the order of the rows."""
    found = [predictions.read(run.path(file_name(split, arm, seed))) for seed in seeds]
    heads = found[0].answers[arm]
    return {head: np.concatenate([each.answers[arm][head] for each in found]) for head in heads}


def truth(rows: Rows, head: str, task: Task) -> np.ndarray[Any, Any]:
    """The labels of a head in the user's units: class ids, 0/1 columns, natural values, or what embeddings meet."""
    if isinstance(task, Similarity | Retrieval):
        return task.truth(rows, head)
    return np.asarray(task.to_natural(rows.targets[head])) if task.kind == "regression" else rows.targets[head]
