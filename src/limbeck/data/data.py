"""The data of a run: every split read, keyed, labelled, checked and described.

    data = Data(train=(X, y), unlabeled=X_more, test=(X_test, y_test))

What is wrong is refused with all its problems; what was done about the rest (missing values, duplicates across
splits, imbalance) is said in `findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError, Problem
from limbeck.core.findings import Finding
from limbeck.core.specs import fingerprint
from limbeck.data import doctor
from limbeck.data.agree import like, refuse_shapes, same_floats
from limbeck.data.audio.sources import is_transcript
from limbeck.data.generation import as_sources, generation_in, is_pair
from limbeck.data.infer import build_task, infer_task
from limbeck.data.keys import row_keys
from limbeck.data.kinds import form_of
from limbeck.data.pairs import (
    as_pairs,
    corpus_rows,
    embedded_kind,
    retrieval_columns,
    single_texts,
    without_documents,
    without_held_texts,
)
from limbeck.data.preprocess import Preprocess
from limbeck.data.raw import group_names
from limbeck.data.rows import Array, Rows, digest, row_shape
from limbeck.data.similarity import Similarity
from limbeck.data.sources import Columns, NamedColumns, Raw, read
from limbeck.data.split import keep_labels, split_off
from limbeck.data.tagging import refuse_lengths
from limbeck.data.tasks import Task
from limbeck.data.views import View, view_of
from limbeck.signals import MAIN

SPLITS = ("train", "unlabeled", "validation", "test")


class Data:
    """Train, unlabeled, validation and test rows of one or several tasks.

    train, unlabeled, validation, test   arrays (X, y) or (X, y, ids), frames, data sets, or paths; see `sources`
    task                 "auto", "classification", "multilabel", "regression", "ordinal", "quantiles" (with levels of
                         one's own "quantiles(levels=[0.05, 0.5, 0.95])"), "gaussian" (a mean and its spread), "tagging"
                         (a tag for every word), "generation" (texts for texts), "transcription" (what clips say) or
                         "package.module:Class" of a kind of one's own; a mapping for several tasks;
                         on two columns of texts "similarity" (with a score) or "retrieval" (a query and its document)
    columns              which columns of a table mean what; a text is the column of labels
    classes              all classes (or labels) in their order, where the training rows may not show them
    weights, groups, ids one entry for each training row; rows of a group stay in one split. Weights are divided by
                         their mean over the labelled rows of the split: unlabelled rows weigh 1 on any scale
    labels               keep the labels of so many training rows; the others become unlabelled rows
    validation_fraction  split off the training rows where there is no validation (0 to 1)
    test_fraction        split off the training rows where there is no test; None: no test rows
    view, views          augmentation (a text, a View or a callable), and how many views of a row the teacher answers
    metric               a metric's name, or a function (y_true, y_pred) -> number, for the first task
    image_size           (height, width) to which images of a folder or data set are resized
    corpus               further documents (a list of texts) among which retrieval is tested
    sample_rate          of clips: that of plain arrays, to which others are resampled (None: the most frequent one)

    Where `columns` is None, the columns of a table are guessed
    from its training rows. Test rows that also stand in train, unlabeled or validation leave the score; the unlabelled
    rows count, because the student, and not the control, is trained on the teacher's answers to them. Unlabelled rows
    that also stand in validation are dropped, because the validation rows choose the best state.

    Raises ConfigError with every problem that was found.
    """

    def __init__(
        self,
        *,
        train: Any,
        unlabeled: Any = None,
        validation: Any = None,
        test: Any = None,
        task: str | Mapping[str, str] = "auto",
        columns: Columns | str | None = None,
        classes: Sequence[Any] | int | None = None,
        weights: Any = None,
        groups: Any = None,
        ids: Any = None,
        labels: int | None = None,
        validation_fraction: float = 0.2,
        test_fraction: float | None = None,
        view: Any = None,
        views: int | None = None,
        metric: str | Callable[..., float] | None = None,
        seed: int = 0,
        image_size: tuple[int, int] | None = None,
        corpus: Any = None,
        sample_rate: int | None = None,
    ) -> None:
        if train is None:
            raise ConfigError("expected training rows, got none", "give lb.Data(train=(X, y)) or train='train.csv'")
        if metric is not None and not isinstance(metric, str) and not callable(metric):
            raise ConfigError(
                f"expected a metric by name or as a function (y_true, y_pred), got {type(metric).__name__}",
                "for example metric='accuracy'",
            )
        if view is None and views is not None and views > 1:
            raise ConfigError(
                f"expected a view that makes {views} views, got none", "give view='shift(2)', or no views"
            )
        if views is not None and views < 1:
            raise ConfigError(f"expected views of at least 1, got {views}", "the row itself is the first of them")
        given = {"train": train, "unlabeled": unlabeled, "validation": validation, "test": test}
        embedded = embedded_kind(task)
        named = NamedColumns(target=columns) if isinstance(columns, str) else columns
        if embedded == "retrieval":
            named = retrieval_columns(train, named)
        raws = _read_all(given, named, image_size, embedded, sample_rate)
        raws["train"] = _beside(raws["train"], weights, groups, ids)
        if embedded is not None:
            raws = as_pairs(raws, embedded)
        refuse_shapes(raws)
        raws = same_floats({split: like(raws["train"], raw, split) for split, raw in raws.items()})
        findings: list[Finding] = []
        self.metric, self.seed = metric, seed
        self.tasks: dict[str, Task] = _tasks(raws["train"], task, classes, findings)
        rows = _encode_all(as_sources(raws, self.tasks), self.tasks)
        if "test" not in rows and test_fraction is not None:
            rows["train"], rows["test"] = split_off(rows["train"], test_fraction, self.tasks, seed, "test")
        overlap = doctor.Overlap()
        if "test" in rows:
            rows["test"], overlap = doctor.without_overlap(rows)
        if labels is not None:
            rows["train"], more = keep_labels(rows["train"], labels, self.tasks, seed)
            rows["unlabeled"] = Rows.concat([rows["unlabeled"], more]) if "unlabeled" in rows else more
        if "validation" not in rows:
            rows["train"], rows["validation"] = split_off(
                rows["train"], validation_fraction, self.tasks, seed, "validation"
            )
        rows, shared = doctor.without_validation(rows)
        rows, left_out = without_held_texts(rows) if embedded is not None else (rows, [])
        if len(rows["train"]) < len(raws["train"].inputs):
            self.tasks, rows = _fitted_again(self.tasks, rows)
        self.train, self.validation = rows["train"], rows["validation"]
        self.unlabeled: Rows | None = rows.get("unlabeled")
        self.test: Rows | None = rows.get("test")
        self.corpus: Rows | None = without_documents(corpus_rows(corpus, self.train, embedded), self.test)
        self.overlaps = overlap.dropped
        fitted = [self.train] if self.unlabeled is None else [self.train, self.unlabeled]
        self.preprocess = Preprocess.fit(*fitted)
        self.view: View | None = view_of(view, self.train.kind, seed, self.train)
        self.views = 0 if self.view is None else int(views if views is not None else 8)
        notes = [*left_out, *(note for raw in raws.values() for note in raw.notes)]
        findings += doctor.look(rows, self.tasks, overlap, notes, self.preprocess.spec.get("columns"), shared)
        self.findings: tuple[Finding, ...] = tuple(findings)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of keys, labels, masks, weights, groups and tasks of every split."""
        parts: dict[str, Any] = {"tasks": {head: task.to_spec() for head, task in self.tasks.items()}}
        for name in SPLITS:
            rows: Rows | None = getattr(self, name)
            if rows is not None:
                parts[name] = digest(rows)
        if self.corpus is not None:
            parts["corpus"] = digest(self.corpus)
        parts["view"] = None if self.view is None else [self.view.fingerprint, self.views]
        return fingerprint(parts)

    @property
    def texts(self) -> Callable[[], list[str]] | None:
        """What a vocabulary is learned from: the texts of the training and unlabelled rows, targets too; None for
        rows of numbers.
        """
        if self.train.kind != "text":
            return None

        def all_of() -> list[str]:
            parts = [self.train] if self.unlabeled is None else [self.train, self.unlabeled]
            tables = [rows.inputs for rows in parts if isinstance(rows.inputs, pd.DataFrame)]
            found = [str(text) for table in tables for name in table.columns for text in table[name]]
            written = [head for head, task in self.tasks.items() if task.kind == "generation"]
            return found + [str(text) for head in written for text in self.train.targets[head] if text]

        return all_of

    def describe(self) -> dict[str, Any]:
        """Counts, tasks and preprocessing in plain data."""
        counts = {name: 0 if (rows := getattr(self, name)) is None else len(rows) for name in SPLITS}
        return {
            "kind": self.train.kind,
            "rows": counts,
            "tasks": {head: task.to_spec() for head, task in self.tasks.items()},
            "input_shape": list(self.preprocess.shape),
            "overlaps_dropped": self.overlaps,
            "view": None if self.view is None else self.view.describe(),
            "views": self.views,
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {len(r)}" for n in SPLITS if (r := getattr(self, n)) is not None)
        return f"Data({self.train.kind}; {counts}; tasks: {', '.join(self.tasks)})"


def _read_all(
    given: Mapping[str, Any],
    columns: Columns | None,
    size: tuple[int, int] | None,
    embedded: str | None = None,
    rate: int | None = None,
) -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    problems: list[Problem] = []
    for split, value in given.items():
        if value is None:
            continue
        try:
            # what was guessed about the columns of the training rows holds for every split
            chosen = columns if columns is not None or "train" not in found else found["train"].columns
            if embedded is not None and split == "unlabeled":
                chosen = single_texts(value, chosen)
            found[split] = read(value, chosen, split, size=size, rate=rate)
            rate = rate or found[split].rate or None  # that of the training rows holds for every split
            if not len(found[split].inputs):
                problems.append(Problem(split, "expected rows, got none", "leave the split out or give it rows"))
        except LimbeckError as err:
            problems.append(Problem(split, err.what, err.todo))
    if problems:
        raise _together(problems)
    if not found["train"].labels and embedded != "retrieval":
        raise ConfigError(
            "expected labels for the training rows, got none", "give train=(X, y), or name the target column"
        )
    return found


def _together(problems: list[Problem]) -> ConfigError:
    if len(problems) == 1:
        what, where = problems[0].what, problems[0].where.removesuffix(f".{MAIN}")
        return ConfigError(what if where in what else f"{where}: {what}", problems[0].todo, problems)
    return ConfigError.of(problems, "the data")


def _beside(raw: Raw, weights: Any, groups: Any, ids: Any) -> Raw:
    count, problems = len(raw.inputs), []
    for name, values in (("weights", weights), ("groups", groups), ("ids", ids)):
        if values is not None and len(values) != count:
            what = f"expected one entry for each of {count} training rows, got {len(values)}"
            problems.append(Problem(name, what, f"give {name} in the order of the training rows"))
    if problems:
        raise _together(problems)
    return replace(
        raw, weight=raw.weight if weights is None else np.asarray(weights),
        groups=raw.groups if groups is None else np.asarray(groups),
        ids=raw.ids if ids is None else np.asarray(ids),
    )  # fmt: skip


def _tasks(raw: Raw, task: str | Mapping[str, str], classes: Any, findings: list[Finding]) -> dict[str, Task]:
    wanted = dict.fromkeys(raw.labels, "auto")
    if isinstance(task, Mapping):
        unknown = [head for head in task if head not in raw.labels]
        if unknown:
            raise ConfigError(
                f"expected tasks among {', '.join(raw.labels)}, got {', '.join(unknown)}",
                "name tasks as the labels are",
            )
        wanted |= dict(task)
    else:
        wanted = dict.fromkeys(raw.labels, task)
    tasks: dict[str, Task] = {}
    for head, kind in wanted.items():
        if kind == "auto" and is_pair(raw, head):
            kind = "generation"
        if kind == "auto" and is_transcript(raw, head):
            kind = "transcription"
        if kind == "auto":
            kind, note = infer_task(raw.labels[head], head, raw.inputs)
            findings.append(note)
        names = classes.get(head) if isinstance(classes, Mapping) else classes
        if names is None and form_of(kind) in ("classification", "tagging"):
            names = raw.classes.get(head)
        if form_of(kind) == "regression" and len(wanted) > 1 and not isinstance(classes, Mapping):
            names = None  # one list of classes is for the tasks that have classes
        tasks[head] = build_task(kind, raw.labels[head], names, raw.label_columns.get(head, ()))
    if len(tasks) > 1 and generation_in(tasks) is not None:
        raise ConfigError(
            f"expected generation to be the only task, got {', '.join(tasks)}",
            "give the texts to be written a run of their own",
        )
    return tasks


def _encode_all(raws: Mapping[str, Raw], tasks: Mapping[str, Task]) -> dict[str, Rows]:
    rows, problems = {}, []
    order = list(row_shape(raws["train"].inputs)) if isinstance(raws["train"].inputs, pd.DataFrame) else None
    for split, raw in raws.items():
        inputs = raw.inputs if order is None else raw.inputs[order]
        targets: dict[str, Array] = {}
        masks: dict[str, Array] = {}
        for head, task in tasks.items():
            if head not in raw.labels:
                if split in ("validation", "test"):
                    problems.append(Problem(split, f"expected labels of '{head}', got none", "give (X, y)"))
                continue
            if split == "unlabeled":
                continue
            try:
                if task.kind == "tagging":
                    refuse_lengths(inputs, raw.labels[head], split, head)
                targets[head], masks[head] = task.encode(raw.labels[head])
            except LimbeckError as err:
                problems.append(Problem(f"{split}.{head}", err.what, err.todo))
                continue
            if not masks[head].any():
                problems.append(
                    Problem(split, f"expected labels of '{head}', all {len(masks[head])} are missing", "give labels")
                )
        labelled = np.logical_or.reduce([np.zeros(len(inputs), dtype=bool), *masks.values()])
        weight = _weights(raw.weight, labelled, split, problems)
        if not problems:
            rows[split] = Rows(
                raw.kind,
                inputs,
                row_keys(raw.kind, inputs),
                targets,
                masks,
                weight,
                group_names(raw.groups),
                raw.ids,
                raw.rate,
            )
    if problems:
        raise _together(problems)
    return rows


def _fitted_again(tasks: Mapping[str, Task], rows: Mapping[str, Rows]) -> tuple[dict[str, Task], dict[str, Rows]]:
    """Tasks of numbers with the scale of the rows left in train, and every split scaled by it.

    The labels of rows that were split off must not show in what training sees.
    """
    fitted, out = dict(tasks), dict(rows)
    for head, old in tasks.items():
        if not rows["train"].label_mask[head].any():
            continue
        if isinstance(old, Similarity):
            scores = {s: old.scores(r.targets[head]) for s, r in rows.items() if head in r.targets}
            fitted[head] = refitted = Similarity.fit(scores["train"][rows["train"].label_mask[head]])
            for split, values in scores.items():
                out[split] = replace(out[split], targets={**out[split].targets, head: refitted.scaled(values)})
        if not old.natural:
            continue
        natural = {
            s: old.natural_targets(r.targets[head].astype(np.float64)) for s, r in rows.items() if head in r.targets
        }
        fitted[head] = new = old.refit(natural["train"][rows["train"].label_mask[head]])
        for split, values in natural.items():
            targets = {**out[split].targets, head: new.training_targets(values).astype(np.float32)}
            out[split] = replace(out[split], targets=targets)
    return fitted, out


def _weights(given: Array | None, labelled: Array, split: str, problems: list[Problem]) -> Array | None:
    """Weights as float32 [N] of mean 1 over the labelled rows; what is wrong with them is added to the problems.

    Unlabelled rows that join them weigh 1, which must mean the same whatever the scale of the weights.
    """
    if given is None or split == "unlabeled":
        return None
    try:
        weight = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        weight = np.full(1, np.nan)
    if weight.ndim != 1 or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.sum() > 0:
        problems.append(
            Problem(split, "expected finite weights >= 0 that are not all 0", "check the weights or their column")
        )
        return None
    mean = weight[labelled].mean() if weight[labelled].any() else weight.mean()
    return np.asarray(weight / mean, dtype=np.float32)
