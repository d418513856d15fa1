"""Tags of words and written texts as people have them, brought to what is judged: the counterpart of `tables`.

A row of tags is a list of tags (names, ids, or None where there is none), of answers also a list of scores for every
word; in a table it stands in the column `label`, as a list, as JSON, or as tags with spaces between them. A row of text
is a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, Problem
from limbeck.data.labels import is_missing, text_of
from limbeck.data.tagging import NO_LABEL, Tagging, tag_names
from limbeck.data.texts import is_free, is_missing_text, is_text_list
from limbeck.evaluate.answers import CLASSIFICATION, GENERATION, TAGGING, Array, Outcome, Plain
from limbeck.evaluate.entities import sentence_ids
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.tables import ID, LABEL, SEED, Answers, Labels, is_table, logits_of, table_of

SEQUENCES = (TAGGING, GENERATION)
SOURCE = "source"


def kind_of(y: Any, given: Mapping[str, Any], classes: Sequence[Any] | None) -> str:
    """What the truth shows: tagging (lists of names), generation (free texts), or auto for anything else.

    Free texts beside numbers as answers, or beside named classes, are classes with long names.
    """
    rows = y[LABEL] if is_table(y) and LABEL in y.columns else () if is_table(y) else y
    if isinstance(rows, np.ndarray) and rows.dtype.kind not in "OU":
        return "auto"
    known = [row for row in rows if not is_missing(row)]
    if known and all(_is_list(row) or (isinstance(row, str) and row.startswith("[")) for row in known):
        cells = [_tags(row) for row in known]
        named = [tag for cell in cells if _is_list(cell) for tag in cell if tag is not None]
        return TAGGING if named and all(isinstance(tag, str) for tag in named) else "auto"
    free = bool(known) and classes is None and is_text_list(known) and is_free(known)
    return GENERATION if free and not any(_has_numbers(value) for value in given.values()) else "auto"


def _has_numbers(value: Any) -> bool:
    """Whether answers that are no file are numbers."""
    if is_table(value):
        return hasattr(value, "columns") and any(
            value[name].dtype.kind in "biuf" for name in value.columns if name not in (ID, SEED)
        )
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # lists of several lengths
        return False


def truth_cells(y: Any, kind: str) -> Any:
    """The truth with one entry a row: a table, or an array of objects [N]."""
    if is_table(y):
        return y.assign(**{LABEL: _objects(_cells(y[LABEL], kind))}) if LABEL in y.columns else y
    return _objects(_cells(y, kind))


def answer_cells(arm: str, value: Any, kind: str, labels: Labels, problems: list[Problem]) -> Any:
    """The answers of an arm with one entry a row: a table, or an array of objects [S, N]; None after a problem."""
    if is_table(value):
        table = table_of(arm, value, problems, (ID, LABEL))
        if table is None:
            return None
        alone = [name for name in table.columns if name not in (ID, SEED)]
        if len(alone) != 1:
            what = f"expected one column of answers beside id and seed, got {', '.join(map(str, alone)) or 'none'}"
            problems.append(Problem(arm, what, f"name it {LABEL}; for a column a class say task='classification'"))
            return None
        table = table.rename(columns={alone[0]: LABEL})
        rows = table[LABEL].fillna("") if kind == GENERATION else table[LABEL]  # nothing is a text too
        return table.assign(**{LABEL: _objects(_cells(rows, kind))})
    rows = list(value)
    fits = _tags_fit if kind == TAGGING else _texts_fit
    seeds = not fits(rows, labels) and bool(rows) and all(_is_list(part) and len(part) == len(labels) for part in rows)
    blocks = [_objects(_cells(part, kind)) for part in (rows if seeds else [rows])]
    return np.stack(blocks)


def evidence_of(
    kind: str, labels: Labels, found: Mapping[str, Answers], classes: Sequence[Any] | None, sources: Any,
    problems: list[Problem],
) -> Evidence | None:  # fmt: skip
    """What is known of a task on tags or texts, without weights and groups; None after a problem."""
    count = len(problems)
    blocks = {arm: answers.ordered(labels, problems) for arm, answers in found.items()}
    if len(problems) > count:
        return None
    given = {arm: each for arm, each in blocks.items() if each is not None}
    made = (
        _of_tags(labels, given, classes, problems) if kind == TAGGING else _of_texts(labels, given, sources, problems)
    )
    return made if len(problems) == count else None


# ------------------------------------------------------------------------------------------------- texts


def _of_texts(labels: Labels, given: Mapping[str, list[Array]], sources: Any, problems: list[Problem]) -> Evidence:
    y = _objects([value if known else "" for value, known in zip(labels.values, labels.mask, strict=True)])
    for where, block in (("y", y), *((arm, block) for arm, each in given.items() for block in each)):
        odd = next((value for value in block if not isinstance(value, str)), None)
        if odd is not None:
            what = f"expected texts, got {type(odd).__name__} {str(odd)[:40]!r}"
            problems.append(Problem(where, what, "a row is one text"))
    if sources is not None and len(sources) != len(labels):
        what = f"expected one entry for each of {len(labels)} rows, got {len(sources)}"
        problems.append(Problem("sources", what))
    held = None if sources is None else _objects([str(source) for source in sources])
    arms = {arm: np.stack(each) for arm, each in given.items()}
    return Evidence(Plain(GENERATION, ("text",)), y, arms, mask=labels.mask, sources=held)


def _texts_fit(rows: Sequence[Any], labels: Labels) -> bool:
    return not any(_is_list(row) for row in rows)


# -------------------------------------------------------------------------------------------------- tags


def _of_tags(
    labels: Labels, given: Mapping[str, list[Array]], classes: Sequence[Any] | None, problems: list[Problem]
) -> Evidence | None:
    known = np.flatnonzero(labels.mask)
    truth = labels.values[known]
    counts = np.array([len(cell) for cell in truth], dtype=np.int64)
    rows = {arm: [block[known] for block in each] for arm, each in given.items()}
    for arm, each in rows.items():
        for block in each:
            _refuse_lengths(arm, block, counts, labels, known, problems)
    task = None if problems else _task(truth, rows, classes, problems)
    if task is None:
        return None
    y = _flat_ids(task, "y", truth, problems)
    arms = {arm: [_said(task, arm, block, problems) for block in each] for arm, each in rows.items()}
    if problems:
        return None
    of = known[sentence_ids(counts)]
    stacked = {arm: np.stack([block for block in each if block is not None]) for arm, each in arms.items()}
    return Evidence(Plain(TAGGING, task.tags), y, stacked, mask=y != NO_LABEL, sentences=of)


def _refuse_lengths(
    arm: str, block: Array, counts: Array, labels: Labels, known: Array, problems: list[Problem]
) -> None:
    lengths = np.array([len(cell) if _is_list(cell) else 0 for cell in block], dtype=np.int64)
    other = np.flatnonzero(lengths != counts)
    if len(other):
        row = other[0]
        name = known[row] if labels.ids is None else labels.ids[known[row]]
        what = f"{len(other)} rows have not one answer a word: row {name} has {counts[row]} words, got {lengths[row]}"
        problems.append(Problem(arm, what, "answer every word, O outside of entities"))


def _task(
    truth: Array, rows: Mapping[str, list[Array]], classes: Sequence[Any] | None, problems: list[Problem]
) -> Tagging | None:
    decided = [cell for each in rows.values() for block in each for cell in block if not _is_scored(cell)]
    try:
        named = [cell for cell in decided if all(isinstance(tag, str) for tag in cell)]
        names = tuple(map(text_of, classes)) if classes is not None else tag_names([*truth, *named])
        return Tagging(names)
    except ConfigError as error:
        problems.append(Problem("y" if classes is None else "classes", error.what, error.todo))
        return None


def _flat_ids(task: Tagging, where: str, cells: Array, problems: list[Problem]) -> Array:
    """Tag ids [M] of all words, -1 without one."""
    try:
        ids, _ = task.encode(cells)
    except ConfigError as error:
        problems.append(Problem(where, error.what, error.todo))
        return np.empty(0, dtype=np.int64)
    counts = np.array([len(cell) for cell in cells], dtype=np.int64)
    return np.asarray(ids[np.arange(ids.shape[1]) < counts[:, None]])


def _said(task: Tagging, arm: str, cells: Array, problems: list[Problem]) -> Array | None:
    """Tag ids [M] or logits [M, C] of all words; None after a problem."""
    if not any(_is_scored(cell) for cell in cells):
        ids = _flat_ids(task, arm, cells, problems)
        if (ids == NO_LABEL).any():
            problems.append(Problem(arm, f"{int((ids == NO_LABEL).sum())} words have no tag", "answer every word"))
        return ids
    try:
        scores = [np.asarray(word, dtype=np.float64).reshape(-1) for cell in cells for word in cell]
    except (TypeError, ValueError):
        problems.append(Problem(arm, "expected numbers as the scores of every word", "give a list of scores a word"))
        return None
    odd = next((len(word) for word in scores if len(word) != task.size), None)
    if odd is not None:
        what = f"expected {task.size} tags ({', '.join(task.tags[:8])}), got {odd} scores a word"
        problems.append(Problem(arm, what, "name all tags with classes=[...] in the order of the scores"))
        return None
    values = np.stack(scores)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        problems.append(Problem(arm, f"{bad} words hold NaN or infinity", "every word needs a finite answer"))
        return None
    words: Outcome = Plain(CLASSIFICATION, task.tags)
    return logits_of(words, values)


def _tags_fit(rows: Sequence[Any], labels: Labels) -> bool:
    """Whether there is one entry for every word of every labelled row."""
    if len(rows) != len(labels):
        return False
    there = zip(rows, labels.values, labels.mask, strict=True)
    return all(not known or (_is_list(row) and len(row) == len(cell)) for row, cell, known in there)


def _is_scored(cell: Any) -> bool:
    return _is_list(cell) and any(_is_list(word) for word in cell)


# ------------------------------------------------------------------------------------------------- cells


def _cells(rows: Any, kind: str) -> list[Any]:
    if kind == GENERATION:  # an empty text is one
        return [None if is_missing_text(row) else row for row in rows]
    return [None if is_missing(row) else _tags(row) for row in rows]


def _tags(row: Any) -> Any:
    if not isinstance(row, str):
        return row
    if not row.lstrip().startswith("["):
        return row.split()
    try:
        return json.loads(row)
    except ValueError:
        return row.split()


def _objects(cells: Sequence[Any]) -> Array:
    """Entries of whatever kind as an array of objects [N]."""
    out = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):
        out[place] = cell
    return out


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)
