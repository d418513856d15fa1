"""The data of a run: every split read, keyed, labelled, checked and described.

    data = Data(train=(X, y), unlabeled=X_more, test=(X_test, y_test))

What is wrong is refused with all its problems; what was done about the rest (missing values, duplicates across
splits, imbalance) is said in `findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.core.specs import fingerprint
from limbeck.data import doctor
from limbeck.data.agree import agreed
from limbeck.data.entries import judged_whole
from limbeck.data.generation import as_sources
from limbeck.data.ondisk import OnDisk
from limbeck.data.pairs import (
    as_pairs,
    corpus_rows,
    embedded_kind,
    retrieval_columns,
    without_documents,
    without_held_texts,
)
from limbeck.data.preprocess import Preprocess
from limbeck.data.reading import beside, encode_all, fitted_again, read_all, refuse_silent_tasks, tasks_of
from limbeck.data.rows import Rows, digest
from limbeck.data.slices import sliced
from limbeck.data.sources import Columns, NamedColumns
from limbeck.data.split import keep_labels, split_off
from limbeck.data.streams.findings import refuse_streamed_texts, streamed, test_in_memory
from limbeck.data.tasks import Task
from limbeck.data.views import View, view_of

SPLITS = ("train", "unlabeled", "validation", "test")


class Data:
    """Train, unlabeled, validation and test rows of one or several tasks.

    X may be a mapping of the parts of a row, such as {"title": texts, "numbers": frame, "picture": images}.

    train, unlabeled, validation, test   arrays (X, y) or (X, y, ids), frames, data sets, or paths; see `sources`;
                         shards ("more-{000..099}.tar") and iterables are streams, which need not fit in memory
    task                 "auto", "classification", "multilabel", "regression", "ordinal", "quantiles" (with levels of
                         one's own "quantiles(levels=[0.05, 0.5, 0.95])"), "gaussian" (a mean and its spread), "tagging"
                         (a tag for every word), "segmentation" (a class for every pixel; masks that number their
                         objects: "segmentation(instances=True)"), "generation" (texts for texts, or for clips),
                         "transcription" (what clips say; with a beam search "transcription(beams=8)") or
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
    slices               {name: one number or text for each test row} (each training row, where test rows come out of
                         these): the scorecard tells test rows apart by them; of tables name columns.slices

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
        slices: Mapping[str, Any] | None = None,
    ) -> None:
        if train is None:
            raise ConfigError("expected training rows, got none", "give lb.Data(train=(X, y)) or train='train.csv'")
        if metric is not None and not isinstance(metric, str) and not callable(metric):
            raise ConfigError(
                f"expected a metric by name or as a function (y_true, y_pred), got {type(metric).__name__}",
                "for example metric='accuracy'",
            )
        _refuse_views(view, views)
        given = {"train": train, "unlabeled": unlabeled, "validation": validation, "test": test}
        embedded = embedded_kind(task)
        named = NamedColumns(target=columns) if isinstance(columns, str) else columns
        if embedded == "retrieval":
            named = retrieval_columns(train, named)
        raws = read_all(given, named, image_size, embedded, sample_rate)
        raws["train"] = beside(raws["train"], weights, groups, ids)
        raws = sliced(raws, slices, named)
        refuse_streamed_texts(raws, task, embedded)
        if embedded is not None:
            raws = as_pairs(raws, embedded)
        raws = agreed(raws)
        findings: list[Finding] = [*streamed(raws)]
        self.metric, self.seed, self.asked_view = metric, seed, view
        self.tasks: dict[str, Task] = tasks_of(raws["train"], task, classes, findings)
        rows = encode_all(as_sources(raws, self.tasks), self.tasks)
        if "test" not in rows and test_fraction is not None:
            rows["train"], rows["test"] = split_off(rows["train"], test_fraction, self.tasks, seed, "test")
        overlap = doctor.Overlap()
        if "test" in rows:
            rows["test"], overlap = doctor.without_overlap(rows)
        if labels is not None:
            rows["train"], more = keep_labels(rows["train"], labels, self.tasks, seed)
            rows["unlabeled"] = Rows.concat([rows["unlabeled"], more]) if "unlabeled" in rows else more
        self.held = None if "validation" in rows else validation_fraction  # of the training rows
        if self.held is not None:
            rows["train"], rows["validation"] = split_off(rows["train"], self.held, self.tasks, seed, "validation")
        rows, shared = doctor.without_validation(rows)
        rows, left_out = without_held_texts(rows) if embedded is not None else (rows, [])
        rows = judged_whole(rows)
        refuse_silent_tasks(rows, self.tasks)
        if len(rows["train"]) < len(raws["train"].inputs):
            self.tasks, rows = fitted_again(self.tasks, rows)
        self.train, self.validation = rows["train"], rows["validation"]
        self.unlabeled: Rows | None = rows.get("unlabeled")
        self.test: Rows | None = test_in_memory(rows.get("test"))
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
            given: list[Any] = [rows.inputs for rows in parts]
            sampled = [inputs.sample() if isinstance(inputs, OnDisk) else inputs for inputs in given]
            tables = [inputs for inputs in sampled if isinstance(inputs, pd.DataFrame)]
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


def _refuse_views(view: Any, views: int | None) -> None:
    if view is None and views is not None and views > 1:
        raise ConfigError(f"expected a view that makes {views} views, got none", "give view='shift(2)', or no views")
    if views is not None and views < 1:
        raise ConfigError(f"expected views of at least 1, got {views}", "the row itself is the first of them")
