"""Ask a teacher twice and look: whether it answers the same, and whether its answers say more than labels would."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

from limbeck.core.errors import LimbeckError
from limbeck.core.findings import Finding
from limbeck.models.adapters import Answering, TaskLike, TorchModel
from limbeck.models.estimators import ClassColumns
from limbeck.models.fingerprint import state_hash
from limbeck.models.merged import MergedColumns
from limbeck.models.outputs import DECIDED

_SAME = 1e-4  # of the largest answer
_SHARP, _FLAT = 0.01, 0.99  # of the highest entropy
_CERTAIN = 16.0  # a logit beyond it is a probability that was 0 or 1


def probe(teacher: Answering, inputs: Any, tasks: Mapping[str, TaskLike], *, temperature: float = 4.0) -> list[Finding]:
    """Findings about a teacher from a few prepared rows.

    LB204: its answers differ; LB206: there are classes that it does not know; LB207: almost one-hot or uniform.

    Raises LimbeckError where answering changes the weights or buffers of a module, or answers are not finite.
    """
    before = state_hash(teacher.module) if isinstance(teacher, TorchModel) else ""
    first = teacher(copy.deepcopy(inputs))  # a teacher may change what it is given
    second = teacher(copy.deepcopy(inputs))
    if isinstance(teacher, TorchModel) and state_hash(teacher.module) != before:
        raise LimbeckError(
            "expected the teacher to be the same after it answered, its weights or buffers have changed",
            "its forward pass must not train or count anything in eval mode",
        )
    findings = unknown_classes(getattr(teacher, "columns", None))
    for head, task in tasks.items():
        one, two = np.asarray(first[head], np.float64), np.asarray(second[head], np.float64)
        if not np.isfinite(one).all():
            rows = np.flatnonzero(~np.isfinite(one).reshape(len(one), -1).all(1))[:5].tolist()
            raise LimbeckError(
                f"expected finite answers from the teacher for '{head}', got NaN or infinity for probe rows {rows}",
                "check how its inputs are prepared (missing values, scaling)",
            )
        if (found := _changing(head, one, two)) is not None:
            findings.append(found)
        if task.form in DECIDED and (found := _says_little(head, one, task.form, temperature)) is not None:
            findings.append(found)
    return findings


def unknown_classes(columns: ClassColumns | MergedColumns | None) -> list[Finding]:
    """LB206 where the columns of a teacher leave classes of the task out."""
    if columns is None or not columns.missing:
        return []
    named = ", ".join(columns.missing)
    return [
        Finding(
            "LB206",
            "tip",
            "there are classes that the teacher does not know",
            f"the teacher knows {columns.width} of {len(columns.places)} classes, not {named}",
            "the loss compares the other classes; what a student knows of these it learns from labels"
            if isinstance(columns, MergedColumns)
            else "it answers as if these classes could not be; a student learns that from it",
            "train the teacher on rows of every class, or leave these classes out",
            {"missing": list(columns.missing)},
        )
    ]


def _changing(head: str, one: np.ndarray, two: np.ndarray) -> Finding | None:
    largest = float(np.abs(one - two).max(initial=0.0))
    if largest <= _SAME * max(float(np.abs(one).max(initial=0.0)), 1.0):
        return None
    decisions = float((one.argmax(-1) != two.argmax(-1)).mean())
    return Finding(
        "LB204",
        "tip",
        "the teacher does not give the same answer twice",
        f"two passes over {len(one)} rows differ by up to {largest:.3g} for '{head}' ({decisions:.0%} of decisions)",
        "dropout or sampling at work: the stored answers are one draw of many",
        "put the teacher in eval mode, or average several answers",
        {"head": head, "difference": largest, "decisions": decisions},
    )


def entropy_share(answers: np.ndarray, kind: str, temperature: float) -> float:
    """Mean entropy of answers [N, C] at a temperature, as a share of the highest one (0: certain, 1: uniform)."""
    scaled = np.asarray(answers, np.float64) / temperature
    if kind == "multilabel":
        p = np.clip(expit(scaled), 1e-12, 1 - 1e-12)
        return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean() / math.log(2))
    logp = log_softmax(scaled, axis=-1)
    return float(-(np.exp(logp) * logp).sum(-1).mean() / math.log(answers.shape[-1]))


def _decided(answers: np.ndarray, kind: str) -> float:
    """Share of rows that are decisions: all of them certain, with nothing to tell the other classes apart."""
    if kind == "multilabel":
        return float((np.abs(answers) > _CERTAIN).all(1).mean())
    ordered = np.sort(answers, axis=1)
    others = ordered[:, :-1]
    return float(((ordered[:, -1] - others[:, -1] > _CERTAIN) & (others[:, -1] - others[:, 0] < 1e-3)).mean())


def _says_little(head: str, answers: np.ndarray, kind: str, temperature: float) -> Finding | None:
    soft, plain = entropy_share(answers, kind, temperature), entropy_share(answers, kind, 1.0)
    if soft < _SHARP or _decided(answers, kind) > 0.99:
        # the least probability that is kept, 1e-7, would look soft at a temperature
        how, figure = "almost one-hot", plain
        if soft < _SHARP:
            how, figure = f"almost one-hot at temperature {temperature:g}", soft
        why = "answers that are almost one-hot say no more than hard labels"
    elif plain > _FLAT:
        how, figure = "almost uniform", plain
        why = "answers that are almost uniform say nothing"
    else:
        return None
    return Finding(
        "LB207",
        "tip",
        "the soft labels carry almost nothing",
        f"the teacher's answers for '{head}' are {how}: {figure:.1%} of the highest entropy",
        why,
        "choose another temperature (auto looks at the answers), or check that the teacher is trained",
        {"head": head, "entropy": soft, "entropy_at_1": plain, "temperature": temperature},
    )
