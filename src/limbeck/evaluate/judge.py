"""The same truth for predictions from anyone's trainer: arrays, tables or files in, a scorecard out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest
from limbeck.data.labels import text_of
from limbeck.evaluate.answers import CLASSIFICATION, GENERATION, KINDS, MULTILABEL, REGRESSION, Array, Plain
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.quality import Metric, UserMetric
from limbeck.evaluate.scorecard import MARGIN, Scorecard, build
from limbeck.evaluate.sequences import SEQUENCES, SOURCE, answer_cells, evidence_of, kind_of, truth_cells
from limbeck.evaluate.tables import BOOLEANS, ID, LABEL, Answers, Labels, answers_of, is_table, labels_of, table_of


def judge(
    y: Any,
    *,
    student: Any,
    control: Any,
    teacher: Any = None,
    task: str = "auto",
    ids: Sequence[Any] | None = None,
    classes: Sequence[Any] | None = None,
    metric: str | UserMetric | Metric | None = None,
    weights: Sequence[float] | None = None,
    groups: Sequence[Any] | None = None,
    sources: Sequence[str] | None = None,
    margin: float = MARGIN,
    name: str = "",
) -> Scorecard:
    """Judge predictions on the same test rows by student, control and teacher.

    y        the truth: an array [N], [N, L], [N, K], texts, or a list of tags for every row; or a table (DataFrame,
             path to CSV or Parquet) with the columns `id` and `label` (or one column per label or target)
    student, control, teacher
             arrays [N, C], [S, N, C] (logits or probabilities), decisions [N] or [S, N] (class ids or names), values
             [N] or [S, N] for regression; or tables with `id`, optionally `seed`, and one column per class, or `label`
             texts [N] or [S, N] for generation; for tagging a list for every row, of tags or of scores [W, C], or such
             lists for every seed; these are one column of a table, of texts, lists or JSON
    ids      row ids of `y` where tables of answers must be matched to an array
    classes  the order of the classes or tags; by default the columns of the tables, else the sorted labels
    sources  for generation, the texts that were rewritten: their copy is the trivial answer (in a table `source`)
    margin   loss under which the student counts as good as the teacher

    Student and control must have been trained with the same seeds. Rows are matched by id where tables have ids, never
    by position. Raises ConfigError that lists everything that is wrong.
    """
    problems: list[Problem] = []
    if task not in ("auto", *KINDS):
        raise ConfigError(f"expected task to be auto or one of {', '.join(KINDS)}, got '{task}'", suggest(task, KINDS))
    if not margin >= 0:
        raise ConfigError(f"expected a margin >= 0, got {margin}", "0.01 is one point of accuracy")
    given = {STUDENT: student, CONTROL: control} | ({TEACHER: teacher} if teacher is not None else {})
    if is_table(y):
        y = table_of("y", y, problems, (ID, LABEL) if task in SEQUENCES else (ID,))
    task = kind_of(y, given, classes) if task == "auto" and y is not None else task
    if sources is None and task == GENERATION and is_table(y) and SOURCE in y.columns:
        sources = list(y[SOURCE])
    if sources is not None and task != GENERATION:
        problems.append(Problem("sources", "expected none for a task that writes no texts", "leave them out"))
    labels = None
    if y is not None:
        labels = labels_of(truth_cells(y, task) if task in SEQUENCES else y, ids, problems)
    found = _read(given, task, labels, problems)
    assert labels is not None
    if task in SEQUENCES:
        made = evidence_of(task, labels, found, classes, sources, problems)
    else:
        made = _of_rows(task, labels, found, classes, problems)
    if made is not None:
        _same_seeds(found, made.arms, problems)
    _same_length({"weights": weights, "groups": groups}, len(labels), problems)
    if problems:
        raise ConfigError.of(problems, "what judge was given")
    assert made is not None
    evidence = replace(
        made,
        weights=_of_each(None if weights is None else np.asarray(weights, dtype=np.float64), made),
        groups=_of_each(None if groups is None else np.asarray(groups), made),
        metric=metric,
    )
    seeds = found[STUDENT].seeds or range(len(evidence.arms[STUDENT]))
    return Scorecard(build({"main": evidence}, name=name, seeds=[int(s) for s in seeds], margin=margin))


def _read(given: Mapping[str, Any], task: str, labels: Labels | None, problems: list[Problem]) -> dict[str, Answers]:
    """The answers of each arm; raises ConfigError with all problems so far."""
    found: dict[str, Answers] = {}
    for arm, value in given.items():
        if task in SEQUENCES:
            value = None if labels is None else answer_cells(arm, value, task, labels, problems)
            if value is None:
                continue
        rows = 0 if labels is None else len(labels)
        answers = answers_of(arm, value, rows, problems, single=task in SEQUENCES)
        if answers is not None:
            found[arm] = answers
    if problems:
        raise ConfigError.of(problems, "what judge was given")
    return found


def _of_rows(
    task: str, labels: Labels, found: Mapping[str, Answers], classes: Sequence[Any] | None, problems: list[Problem]
) -> Evidence:
    """What is known of a task with one answer a row."""
    kind = task if task != "auto" else _guess(labels, found)
    outcome = Plain(kind, _names(kind, labels, found, classes, problems))
    truth = labels.encode(outcome, problems)
    arms = {arm: a.arrange(outcome, labels, problems) for arm, a in found.items()}
    return Evidence(outcome, truth, {arm: a for arm, a in arms.items() if a is not None}, mask=labels.mask)


def _of_each(values: Array | None, made: Evidence) -> Array | None:
    """What was given for rows, for what is judged: rows, or the words of sentences."""
    return values if values is None or made.sentences is None else values[made.sentences]


def _guess(labels: Labels, found: Mapping[str, Answers]) -> str:
    if labels.width > 1:
        return MULTILABEL if labels.binary else REGRESSION
    if any(a.width > 1 for a in found.values()) or labels.values.dtype.kind not in "iuf":
        return CLASSIFICATION
    # one number a row on both sides: fractions anywhere mean that these are quantities
    numbers = [labels.values[labels.mask], *(block for a in found.values() for block in a.blocks)]
    fractions = any(n.dtype.kind == "f" and not (np.nan_to_num(n) % 1 == 0).all() for n in numbers)
    return REGRESSION if fractions else CLASSIFICATION


def _names(
    kind: str, labels: Labels, found: Mapping[str, Answers], classes: Sequence[Any] | None, problems: list[Problem]
) -> tuple[str, ...]:
    if kind != CLASSIFICATION:
        if labels.columns:
            return labels.columns
        word = "label" if kind == MULTILABEL else "target"
        return tuple(f"{word} {i}" for i in range(labels.width))
    if classes is not None:
        names = tuple(text_of(c) for c in classes)
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            problems.append(Problem("classes", f"{', '.join(twice)} named more than once", "name every class once"))
        return names
    columns = _columns(labels, found)
    if columns:
        return columns
    seen = labels.class_names()
    width = max((a.width for a in found.values()), default=1)
    if seen and set(seen) <= set(BOOLEANS):
        seen = BOOLEANS  # the rows may lack one of the two
    numeric = all(n.isdecimal() for n in seen)
    if numeric and width > 1:
        return tuple(str(i) for i in range(width))
    if numeric:
        alike = dict(zip(BOOLEANS, "01", strict=True))
        said = [alike.get(n, n) for a in found.values() for n in a.said()]
        return tuple(str(i) for i in range(max((int(n) for n in (*seen, *said) if n.isdecimal()), default=0) + 1))
    if width > 1 and width != len(seen):
        problems.append(
            Problem(
                "classes",
                f"the answers have {width} classes, the labels {len(seen)} ({', '.join(seen[:8])})",
                "give classes=[...] in the order of the answers' columns",
            )
        )
    return seen


def _columns(labels: Labels, found: Mapping[str, Answers]) -> tuple[str, ...]:
    """The columns of most tables that have one for every label, the fewest of equals: the odd table is blamed."""
    given = [answers.columns for answers in found.values() if answers.columns]
    whole = [columns for columns in given if set(labels.class_names()) <= set(columns)] or given
    same = [set(columns) for columns in whole]
    return max(whole, key=lambda columns: (same.count(set(columns)), -len(columns)), default=())


def _same_seeds(found: Mapping[str, Answers], arms: Mapping[str, Array], problems: list[Problem]) -> None:
    student, control = arms.get(STUDENT), arms.get(CONTROL)
    if student is None or control is None:
        return
    if len(student) != len(control):
        problems.append(
            Problem(
                "seeds",
                f"student has {len(student)} seeds, control {len(control)}",
                "train both with the same seeds: the difference is taken seed by seed",
            )
        )
    elif found[STUDENT].seeds and found[CONTROL].seeds and found[STUDENT].seeds != found[CONTROL].seeds:
        problems.append(
            Problem(
                "seeds",
                f"student has the seeds {list(found[STUDENT].seeds)}, control {list(found[CONTROL].seeds)}",
                "train both with the same seeds: the difference is taken seed by seed",
            )
        )


def _same_length(parts: Mapping[str, Sequence[Any] | None], rows: int, problems: list[Problem]) -> None:
    for where, values in parts.items():
        if values is not None and len(values) != rows:
            problems.append(Problem(where, f"expected one entry for each of {rows} rows, got {len(values)}", ""))
