"""Which task labels mean, where the user says "auto": a guess that gives its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.data.entries import known_entries
from limbeck.data.kinds import GUESSED, kind_of, settings_of
from limbeck.data.labels import as_labels, numbers_of, present, text_of
from limbeck.data.masks.arrays import are_masks
from limbeck.data.rows import Array, Inputs
from limbeck.data.tagging import looks_tagged
from limbeck.data.task import TaskKind
from limbeck.data.texts import is_text_list
from limbeck.signals import MAIN

MANY_CLASSES = 100


def infer_task(raw: Any, head: str = MAIN, inputs: Inputs | None = None) -> tuple[str, Finding]:
    """Guess the kind of a task from raw labels, with the reason as a note; "tagging" where the inputs are words.

    Raises ConfigError when there is no label at all.
    """
    values = as_labels(raw)
    if are_masks(values):
        return "segmentation", _taken(head, "segmentation", "labels are masks, one number a pixel", "")
    known = values[present(values)]
    if not len(known) and values.ndim == 2 and (there := known_entries(values)).any():
        first = values[there.argmax(axis=0), np.arange(values.shape[1])]  # no row is known whole
        known = np.where(there, values, first)[:, there.any(axis=0)]
    if not len(known):
        raise ConfigError("expected labels to infer the task from, got none", "say task='classification' or another")
    if inputs is not None and looks_tagged(inputs, raw):
        kind, reason = "tagging", "rows are lists of words, labels lists of one for each word"
    else:
        kind, reason = _guess(known)
    others = " or ".join(f"'{other}'" for other in GUESSED if other != kind)
    if kind == "regression" and known.ndim == 1 and inputs is not None and _two_texts(inputs):
        others = f"'similarity' (a student that embeds each text, for search and comparison) or {others}"
    return kind, _taken(head, kind, reason, others)


def _taken(head: str, kind: str, reason: str, others: str) -> Finding:
    return Finding(
        code="LB110",
        grade="note",
        title=f"task of {head} taken as {kind}",
        measured=reason,
        why="the task decides the loss, the metric and how answers are read",
        todo=f"say task='{kind}' to silence this" + (f", or {others} if it is wrong" if others else ""),
        data={"head": head, "kind": kind},
    )


def _two_texts(inputs: Inputs) -> bool:
    return isinstance(inputs, pd.DataFrame) and inputs.shape[1] == 2 and all(is_text_list(inputs[n]) for n in inputs)


def _guess(known: Array) -> tuple[str, str]:
    if known.ndim == 2:
        return _guess_matrix(known)
    if known.dtype.kind == "O":
        if any(isinstance(v, list | tuple) for v in known):
            return "multilabel", "each row has a list of labels"
        if all(isinstance(v, bool | np.bool_) for v in known):
            return "classification", "labels are true or false"
        if any(isinstance(v, str | bool) for v in known):
            return "classification", f"labels are text, {len({text_of(v) for v in known})} distinct"
        known = numbers_of(known[:, None])[:, 0]
    if known.dtype.kind == "b":
        return "classification", "labels are true or false"
    distinct = np.unique(known)
    if not np.equal(distinct, np.round(distinct)).all():
        return "regression", f"labels are fractions, {len(distinct)} distinct in {len(known)} rows"
    count = len(distinct)
    few = count <= min(20, max(2, len(known) // 2))
    numbered = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == count - 1
    if few or (numbered and count <= min(MANY_CLASSES, len(known) // 5)):
        return "classification", f"labels are whole numbers, {count} distinct in {len(known)} rows"
    return "regression", f"labels are whole numbers, but {count} distinct in {len(known)} rows"


def _guess_matrix(known: Array) -> tuple[str, str]:
    numbers = numbers_of(known)
    if not np.isin(numbers, (0, 1)).all():
        return "regression", f"labels are {known.shape[1]} columns of numbers"
    if known.shape[1] > 2 and (numbers.sum(axis=1) == 1).all():
        return "classification", f"labels are {known.shape[1]} columns with exactly one 1 in every row (one-hot)"
    return "multilabel", f"labels are {known.shape[1]} columns of 0 and 1"


def build_task(kind: str, raw: Any, names: Sequence[str] | int | None, columns: Sequence[str] = ()) -> TaskKind:
    """The task of a kind for the labels of the training rows.

    `names` are what the user gave as classes (or their number), `columns` the names of label columns where there are
    several. Raises ConfigError for an unknown kind and labels that do not fit it.
    """
    if isinstance(names, int):
        names = tuple(str(i) for i in range(names))
    given = tuple(text_of(name) for name in names) if names is not None else None
    settings = settings_of(kind)
    task = kind_of(kind).of(raw, given, columns)
    return task.with_settings(settings, raw, given) if settings else task
