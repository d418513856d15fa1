"""Parity: the exported file gives the numbers and decisions of the student, on real raw rows, or an error.

Logits, standardised values and embeddings may differ by `tolerance` times the larger of 1 and their size, cosines of
the texts of a row by `tolerance`. A decision that flips counts unless the student itself was undecided within that
tolerance; of words every word is a decision, of clips every frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.compress.export import refuse_training
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.compress.onnx_words import by_row
from limbeck.core.errors import ChecksFailed, ConfigError
from limbeck.data.embedded import EMBEDDED, pair_cosines
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Tagging, Task

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 1e-4
BATCHES = (1, 7)


def check_parity(
    path: str | Path,
    module: nn.Module,
    preprocess: Preprocess,
    tasks: Mapping[str, Task],
    inputs: Any,
    *,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Compare an exported file with the student on raw rows, whole and in batches of 1 and 7.

    Returns {"held", "rows", "tolerance", "batches", "heads": {head: {"difference", "flips", "undecided",
    "decisions"}}}, of embeddings with "cosines", their greatest difference. Raises ConfigError for a student in train
    mode, ChecksFailed (LB401) with the measured figures where parity is not held.
    """
    refuse_training(module)
    if not len(inputs):
        raise ConfigError("expected some rows to compare on, got none", "give raw test rows")
    exported = OnnxStudent(path, threads=1)
    inputs = _frame(exported, inputs)
    reference = _reference(module, preprocess, tasks, inputs)
    found = exported.answers(inputs)
    heads = {head: _compare(task, reference[head], found[head], tolerance) for head, task in tasks.items()}
    for size in BATCHES:
        few = inputs[: 3 * size]
        said = exported.answers(few, batch=size)
        for head, task in tasks.items():
            again = _compare(task, reference[head][: len(few)], said[head], tolerance)
            heads[head] = {key: max(heads[head][key], again[key]) for key in again}
    bad = {head: f for head, f in heads.items() if not f["difference"] <= tolerance or f["flips"]}
    if bad:
        raise ChecksFailed(
            "LB401: expected the exported student to answer as the student does, got "
            + "; ".join(_words(head, f, tolerance) for head, f in bad.items()),
            "do not ship this file: check that preprocessing and weights are those of the student, that it is in eval "
            "mode, and that forward is deterministic",
        )
    return {"held": True, "rows": len(inputs), "tolerance": tolerance, "batches": list(BATCHES), "heads": heads}


def _reference(module: nn.Module, preprocess: Preprocess, tasks: Mapping[str, Task], inputs: Any) -> dict[str, Any]:
    import torch

    from limbeck.compress.traced import in_float32
    from limbeck.models.parts.student import encoded_parts
    from limbeck.models.predict import predict
    from limbeck.models.text.network import Tokenised

    module = in_float32(module)
    if isinstance(module, Tokenised):
        rows = module.encoder.encode(inputs)
        said: dict[str, Any] = predict(module, rows, list(tasks))
        for head in (head for head, task in tasks.items() if isinstance(task, Tagging)):
            mask = module.masks(torch.from_numpy(rows))[head].cpu().numpy()  # type: ignore[operator]
            said[head] = by_row(said[head], mask, list(inputs.iloc[:, 0]), "logits", tasks[head].names)
        return said
    if preprocess.parts:
        parts = encoded_parts(inputs, preprocess, getattr(module, "encoders", {}))
        return dict(predict(module, parts, list(tasks)))
    encoded = np.asarray(preprocess.encode(inputs), dtype=np.float32)
    found: dict[str, Any] = predict(module, encoded, list(tasks))
    for head in (head for head, task in tasks.items() if task.positions and task.kind != "segmentation"):
        mask = module.masks(torch.from_numpy(encoded))[head].cpu().numpy()  # type: ignore[operator]
        found[head] = [values[there] for values, there in zip(found[head], mask, strict=True)]
    return found


def _frame(exported: OnnxStudent, inputs: Any) -> Any:
    """Rows of words as the table that the student was tested with; other rows as they are."""
    import pandas as pd

    if exported.texts is None or not exported.texts.words:
        return inputs
    return pd.DataFrame({exported.texts.columns[0]: pd.Series(exported.texts.rows(inputs), dtype=object)})


def _compare(task: Task, reference: Any, found: Any, tolerance: float) -> dict[str, Any]:
    if task.positions:  # one after the other
        reference, found = (np.concatenate([*rows, np.empty((0, task.size))]) for rows in (reference, found))
    found = found if task.judged_as else task.to_training(found)  # in standard deviations, so that units do not matter
    if found.shape != reference.shape:
        return {"difference": float("inf"), "flips": len(reference), "undecided": 0, "decisions": len(reference)}
    if task.kind in EMBEDDED:
        return _compare_embeddings(reference, found)
    size = np.maximum(np.abs(reference), 1.0)
    flipped, close = _flips(task, reference, found, 2 * tolerance * size.max(axis=-1))
    return {
        "difference": _worst(np.abs(found - reference) / size), "flips": int((flipped & ~close).sum()),
        "undecided": int((flipped & close).sum()), "decisions": len(reference),
    }  # fmt: skip


def _compare_embeddings(reference: Any, found: Any) -> dict[str, Any]:
    """The greatest difference of a number of the embeddings, or of a cosine; embeddings decide nothing."""
    numbers = _worst(np.abs(found - reference) / np.maximum(np.abs(reference), 1.0))
    cosines = _worst(np.abs(pair_cosines(found) - pair_cosines(reference)))
    return {"difference": max(numbers, cosines), "cosines": cosines, "flips": 0, "undecided": 0, "decisions": 0}


def _worst(distance: Any) -> float:
    # NaN never compares as too large: it must count as a difference without end
    return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0))


def _flips(task: Task, reference: Any, found: Any, margin: Any) -> tuple[Any, Any]:
    if task.kind == "regression" or (task.judged_as and not task.positions):
        nothing = np.zeros(len(reference), dtype=bool)
        return nothing, nothing
    if task.kind == "multilabel":
        other = (reference > 0) != (found > 0)
        return other.any(axis=-1), (~other | (np.abs(reference) <= margin[:, None])).all(axis=-1)
    top = np.sort(reference, axis=-1)
    lead = top[:, -1] - top[:, -2] if reference.shape[-1] > 1 else np.full(len(reference), np.inf)
    return reference.argmax(axis=-1) != found.argmax(axis=-1), lead <= margin


def _words(head: str, figures: Mapping[str, Any], tolerance: float) -> str:
    return (
        f"for '{head}' a difference of {figures['difference']:.3g} (tolerance {tolerance:g}) "
        f"and {figures['flips']} of {figures['decisions']} decisions flipped"
    )
