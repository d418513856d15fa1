"""Predictions of a run: one Parquet file for each split, arm and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.run import Run
from limbeck.data.rows import Rows
from limbeck.evaluate import predictions

TEST, VALIDATION = "test", "validation"
FOLDER = "predictions"


def file_name(split: str, arm: str, seed: int) -> str:
    """Name inside the run folder."""
    return f"{FOLDER}/{split}-{arm}-{seed}.parquet"


def write(
    run: Run, split: str, arm: str, seed: int, rows: Rows, outputs: Mapping[str, np.ndarray[Any, Any]],
    lengths: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> None:  # fmt: skip
    """Write answers [N, C] of every head (logits, natural units for regression, cosines, ranks).

    `lengths` [N] are the words of each row, by heads whose answers [M, C] are of words.
    """
    path = run.path(file_name(split, arm, seed))
    stacked = {head: values[None] for head, values in outputs.items()}
    predictions.write(path, rows.keys, arm, stacked, [seed], lengths=lengths)


def read(run: Run, split: str, arm: str, seeds: tuple[int, ...], rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """Read answers [S, N, C] (of words [S, M, C]) of every head of one arm, in the order of the rows."""
    found = [predictions.read(run.path(file_name(split, arm, seed))) for seed in seeds]
    heads = found[0].answers[arm]
    return {head: np.stack([predictions.flat(each.answers[arm][head][0]) for each in found]) for head in heads}
