"""Folds: every labelled row is a test row exactly once, of models that were trained on the rows of the other folds.

Where there are few rows a test set that is split off shows nothing: of 80 rows 16 are left to judge on. The folds are
stratified by class as far as that goes; rows of one group or one key stand in one fold. Inside a fold the validation
rows are split off the training rows as without folds, and what is learned of rows (the scale of targets, the
preprocessing) is learned of the training rows of the fold.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.data.data import Data
from limbeck.data.doctor import without_validation
from limbeck.data.entries import judged_whole
from limbeck.data.keys import found_in
from limbeck.data.preprocess import Preprocess
from limbeck.data.reading import fitted_again
from limbeck.data.rows import Array, Rows
from limbeck.data.split import classes_of, labelled_rows, split_off, units_of
from limbeck.data.tasks import Task
from limbeck.data.views import view_of

KINDS = ("classification", "multilabel", "regression", "ordinal", "quantiles", "gaussian")
_WAY_OUT = "give test rows (a file, or test_fraction), and leave folds out"


@dataclass(frozen=True)
class Folds:
    """The labelled rows of some data and the fold [N] of each: 0 to k - 1, -1 for rows without a label."""

    data: Data  # all rows, the labelled ones as its test rows
    pool: Rows
    of: Array
    count: int

    @classmethod
    def cut(cls, data: Data, count: int) -> Folds:
        """Deal the labelled rows of data without test rows.

        Raises ConfigError for data with test rows or too few rows, NotSupported for tasks that are not judged by row.
        """
        refuse_folds(data, count)
        pool = data.train
        if data.held is not None:
            pool = Rows.concat([data.train, data.validation])
        of = deal(pool, data.tasks, count, data.seed)
        for head in data.tasks:
            folds = np.unique(of[pool.label_mask[head]])
            if len(folds) == 1:
                raise ConfigError(
                    f"expected labels of '{head}' in two folds or more, all of them are in one: nothing would be left "
                    "to train on where they are judged",
                    "leave groups out, label rows of more groups, or leave this task out",
                )
        whole = _with(data, **judged_whole({"test": pool.take(of >= 0)}))
        return cls(whole, pool, of, count)

    @property
    def judged(self) -> Array:
        """The fold of each test row of `data`, in their order."""
        return np.asarray(self.of[self.of >= 0])

    def fold(self, number: int) -> Data:
        """The data of one fold: its rows are the test, all others train and are split into train and validation."""
        data, inside = self.data, self.of == number
        units = units_of(self.pool)
        beside = np.isin(units, units[inside])  # rows without a label may be of their groups, or the same rows again
        rows = {"train": self.pool.take(~beside), "test": self.pool.take(inside), "validation": data.validation}
        if data.held is not None:
            rows["train"], rows["validation"] = split_off(rows["train"], data.held, data.tasks, data.seed, "validation")
        else:
            rows["validation"] = data.validation.take(~found_in(data.validation.keys, rows["test"].keys))
        if data.unlabeled is not None:
            rest = data.unlabeled.take(~found_in(data.unlabeled.keys, rows["test"].keys))
            rows |= {"unlabeled": rest} if len(rest) else {}
        rows, _ = without_validation(judged_whole(rows))
        tasks, rows = fitted_again(data.tasks, rows)
        made = _with(data, **rows)
        made.tasks, made.unlabeled, made.findings = tasks, rows.get("unlabeled"), ()
        made.preprocess = Preprocess.fit(*(rows[split] for split in ("train", "unlabeled") if split in rows))
        made.view = view_of(data.asked_view, made.train.kind, data.seed, made.train)
        return made


def _with(data: Data, **splits: Rows) -> Data:
    """The same data with other splits; its fingerprint is found anew."""
    made = copy.copy(data)
    made.__dict__.pop("fingerprint", None)
    for name, rows in splits.items():
        setattr(made, name, rows)
    return made


def refuse_folds(data: Data, count: int) -> None:
    """Refuse folds of what cannot be judged by them; raises ConfigError or NotSupported."""
    if data.test is not None:
        raise ConfigError(
            f"expected no test rows beside folds={count}, got {len(data.test)}: with folds every labelled row is a "
            "test row once",
            "put them to the training rows, or leave folds out; windows of times have later times as their test, and "
            "no folds: a fold would be forecast by models that know what came after it",
        )
    for head, task in data.tasks.items():
        if task.kind not in KINDS:
            raise NotSupported(
                f"expected tasks of {', '.join(KINDS)} for folds, got '{head}' of kind {task.kind}", _WAY_OUT
            )
    pool = data.train if data.held is None else Rows.concat([data.train, data.validation])
    found = len(np.unique(units_of(pool)[labelled_rows(pool)]))
    if not 2 <= count <= found:
        raise ConfigError(
            f"expected folds from 2 up to the {found} distinct labelled rows (or groups), got {count}",
            "5 or 10 is usual",
        )


def deal(rows: Rows, tasks: Mapping[str, Task], count: int, seed: int) -> Array:
    """The fold [N] of each labelled row, -1 for the others: whole groups, each class spread over the folds."""
    labelled, units = labelled_rows(rows), units_of(rows)
    kinds = np.unique(classes_of(rows, tasks), return_inverse=True)[1]
    order = np.random.default_rng([seed % (1 << 64), 0xF01D]).permutation(np.flatnonzero(labelled))
    names, places = np.unique(units[order], return_inverse=True)
    table = np.zeros((len(names), int(kinds.max()) + 1))
    np.add.at(table, (places, kinds[order]), 1)
    first = np.full(len(names), len(order))
    np.minimum.at(first, places, np.arange(len(order)))
    # large groups first, then class by class: what is dealt one by one evens out what came in lumps
    lead = table.argmax(axis=1)
    turns = np.lexsort((first, lead, -table.sum(axis=1)))
    filled = np.zeros((count, table.shape[1]))
    share = table.sum(axis=0) / count
    fold = np.empty(len(names), dtype=np.int64)
    for unit in turns:
        after = filled + table[unit]
        worse = (np.maximum(after - share, 0) ** 2 - np.maximum(filled - share, 0) ** 2).sum(axis=1)
        cost = np.stack([worse + (filled * (table[unit] > 0)).sum(axis=1), filled.sum(axis=1)], axis=1)
        fold[unit] = np.lexsort((np.arange(count), cost[:, 1], cost[:, 0]))[0]
        filled[fold[unit]] += table[unit]
    of = np.full(len(rows), -1, dtype=np.int64)
    of[order] = fold[places]
    return of
