"""Truth and answers as people have them (arrays, tables, files) brought to rows in one order.

Everything wrong is collected in a list of problems, so that one error can name it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import Problem
from limbeck.data.labels import text_of
from limbeck.evaluate.answers import CLASSIFICATION, MULTILABEL, REGRESSION, Array, Outcome, log_softmax

ID, SEED, LABEL = "id", "seed", "label"
BOOLEANS = ("False", "True")
TINY = 1e-12


@dataclass(frozen=True)
class Labels:
    """The truth before it is encoded: values [N] or [N, L], the rows that have one, ids, names of label columns."""

    values: Array
    mask: Array
    ids: tuple[str, ...] | None
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Number of label or target columns."""
        return 1 if self.values.ndim == 1 else int(self.values.shape[1])

    @property
    def binary(self) -> bool:
        """Whether every known value is 0 or 1."""
        return self.values.dtype.kind in "biuf" and bool(np.isin(self.values[self.mask], (0, 1)).all())

    def class_names(self) -> tuple[str, ...]:
        """The distinct labels as text, numbers in their order."""
        return sort_names({text_of(v) for v in self.values[self.mask]})

    def encode(self, task: Outcome, problems: list[Problem]) -> Array:
        """Class ids [N] or numbers [N, L]; rows without a label get 0 and are masked."""
        if task.kind != CLASSIFICATION:
            return self._numbers(problems)
        place = places(task.names)
        words = [text_of(v) if known else task.names[0] for v, known in zip(self.values, self.mask, strict=True)]
        strange = [w for w in words if w not in place]
        if strange:
            shown = ", ".join(sorted(set(strange))[:5])
            problems.append(
                Problem(
                    "y",
                    f"{len(strange)} rows have a label outside the classes {', '.join(task.names[:8])}: {shown}",
                    "name all classes with classes=[...]",
                )
            )
        return np.array([place.get(w, 0) for w in words], dtype=np.int64)

    def _numbers(self, problems: list[Problem]) -> Array:
        try:
            numbers = self.values.astype(np.float64)
        except (TypeError, ValueError):
            problems.append(Problem("y", "expected numbers, got text", "for class names set task='classification'"))
            return np.zeros((len(self), self.width))
        numbers = numbers[:, None] if numbers.ndim == 1 else numbers
        return np.where(self.mask[:, None], numbers, 0.0)


@dataclass(frozen=True)
class Answers:
    """The answers of one arm before they are arranged: one block of rows per seed, with the ids where there are any."""

    arm: str
    blocks: tuple[Array, ...]  # per seed: [N, C] scores, [N] decisions or values
    ids: tuple[tuple[str, ...], ...] | None
    seeds: tuple[int, ...]
    columns: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of columns of scores; 1 for decisions and single values."""
        return 1 if self.blocks[0].ndim == 1 else int(self.blocks[0].shape[1])

    def said(self) -> set[str]:
        """The decisions as text, where these are decisions."""
        if self.width > 1:
            return set()
        return {text_of(v) for block in self.blocks for v in np.unique(block.ravel())}

    def arrange(self, task: Outcome, labels: Labels, problems: list[Problem]) -> Array | None:
        """The answers in the order of the labels, as `limbeck.evaluate.answers` wants them; None after a problem."""
        count = len(problems)
        blocks = self.ordered(labels, problems)
        if blocks is None:
            return None
        encoded = [self._encoded(task, block, problems) for block in blocks]
        if len(problems) > count:
            return None
        return np.stack([e for e in encoded if e is not None])

    def ordered(self, labels: Labels, problems: list[Problem]) -> list[Array] | None:
        """The block of each seed in the order of the labels, as it was given; None after a problem."""
        found = [self._ordered(seed, labels, problems) for seed in range(len(self.blocks))]
        blocks = [block for block in found if block is not None]
        return blocks if len(blocks) == len(found) else None

    def _ordered(self, seed: int, labels: Labels, problems: list[Problem]) -> Array | None:
        block, where = self.blocks[seed], self.arm + (f", seed {self.seeds[seed]}" if self.seeds else "")
        if self.ids is None:
            if len(block) != len(labels):
                problems.append(
                    Problem(where, f"expected {len(labels)} rows, as in y, got {len(block)}", "give tables with ids")
                )
                return None
            return block
        if labels.ids is None:
            problems.append(Problem(where, "has row ids, y has none", "give ids=[...] or y as a table with an id"))
            return None
        place = {row: i for i, row in enumerate(self.ids[seed])}
        twice = len(self.ids[seed]) - len(place)
        if twice:
            repeated = _repeated(self.ids[seed])
            problems.append(
                Problem(where, f"{twice} duplicated ids: {', '.join(repeated[:5])}", "keep one answer a row and seed")
            )
        lost = [row for row in labels.ids if row not in place]
        if lost:
            problems.append(
                Problem(where, f"{len(lost)} of {len(labels)} rows are missing: {', '.join(lost[:5])}", "answer them")
            )
        if twice or lost:
            return None
        return block[[place[row] for row in labels.ids]]

    def _encoded(self, task: Outcome, block: Array, problems: list[Problem]) -> Array | None:
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            bad = int((~np.isfinite(block.reshape(len(block), -1))).any(axis=1).sum())
            problems.append(Problem(self.arm, f"{bad} rows hold NaN or infinity", "every row needs a finite answer"))
            return None
        if task.kind == CLASSIFICATION and self.width == 1 and not self.columns:
            return self._decisions(task, block, problems)
        block = block[:, None] if block.ndim == 1 else block
        if self.columns:
            block = self._by_name(task, block, problems)
        elif block.shape[1] != len(task.names):
            word = {CLASSIFICATION: "classes", MULTILABEL: "labels", REGRESSION: "targets"}[task.kind]
            problems.append(
                Problem(
                    self.arm,
                    f"expected {len(task.names)} {word} ({', '.join(task.names[:8])}), got {block.shape[1]} columns",
                    "the last axis must have one column each, in that order",
                )
            )
        if block is None or block.shape[1] != len(task.names):
            return None
        return logits_of(task, block)

    def _decisions(self, task: Outcome, block: Array, problems: list[Problem]) -> Array:
        place = places(task.names)
        words = [text_of(v) for v in block.ravel()]
        strange = sorted({w for w in words if w not in place})
        if strange:
            problems.append(
                Problem(
                    self.arm,
                    f"decisions outside the classes {', '.join(task.names[:8])}: {', '.join(strange[:5])}",
                    "decisions are class names or class ids",
                )
            )
        return np.array([place.get(w, 0) for w in words], dtype=np.int64)

    def _by_name(self, task: Outcome, block: Array, problems: list[Problem]) -> Array:
        missing = [n for n in task.names if n not in self.columns]
        extra = [c for c in self.columns if c not in task.names]
        if missing or extra:
            said = [f"no column for {', '.join(missing[:8])}"] if missing else []
            said += [f"unknown columns {', '.join(extra[:8])}"] if extra else []
            problems.append(
                Problem(
                    self.arm, "; ".join(said), "columns are named as the classes, labels or targets, beside id and seed"
                )
            )
            return block[:, :0]
        # matched by name, so that another order of columns does no harm
        return block[:, [self.columns.index(n) for n in task.names]]


def places(names: Sequence[str]) -> dict[str, int]:
    """The class ids by name; False and 0, True and 1 stand for each other where only one of the two is a class."""
    found = {name: i for i, name in enumerate(names)}
    for one, other in zip(BOOLEANS, ("0", "1"), strict=True):
        for name, alias in ((one, other), (other, one)):
            if name in names and alias not in names:
                found[alias] = found[name]
    return found


def sort_names(names: set[str]) -> tuple[str, ...]:
    """Sort by number where all are numbers, else by text."""
    if all(n.lstrip("-").isdecimal() for n in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def logits_of(task: Outcome, block: Array) -> Array:
    """Logits from probabilities (rows that sum to one; for labels numbers in [0, 1]); anything else is taken as is."""
    if task.kind == MULTILABEL and block.dtype.kind in "biu":
        return block.astype(np.int64)
    block = block.astype(np.float64)
    if task.kind == CLASSIFICATION:
        sums = block.sum(axis=1)
        if (block >= 0).all() and np.allclose(sums, 1, atol=1e-3):
            return log_softmax(np.log(np.maximum(block, TINY)))
    elif task.kind == MULTILABEL and (block >= 0).all() and (block <= 1).all():
        p = np.clip(block, TINY, 1 - TINY)
        return np.asarray(np.log(p) - np.log1p(-p))
    return block


def _repeated(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return list(dict.fromkeys(i for i in ids if i in seen or seen.add(i)))  # type: ignore[func-returns-value]


def table_of(where: str, value: Any, problems: list[Problem], texts: Sequence[str] = (ID,)) -> Any:
    """A DataFrame from a DataFrame or a path, of CSV with columns of `texts` as they are; None after a problem."""
    import pandas as pd

    from limbeck.data.files import read_separated

    if isinstance(value, pd.DataFrame):
        return value
    path = Path(value)
    readers = {
        ".csv": lambda: read_separated(path, texts=texts),
        ".parquet": lambda: pd.read_parquet(path),
        ".jsonl": lambda: pd.read_json(path, lines=True, dtype={ID: str}),
    }
    if path.suffix not in readers:
        problems.append(Problem(where, f"expected a .csv, .parquet or .jsonl file, got {path}", ""))
        return None
    if not path.is_file():
        problems.append(Problem(where, f"{path} does not exist", ""))
        return None
    try:
        return readers[path.suffix]()
    except Exception as e:
        reason = str(e).strip().splitlines()
        problems.append(Problem(where, f"{path} cannot be read as a table: {reason[0] if reason else e}", ""))
        return None


def is_table(value: Any) -> bool:
    """Whether something is a table or the path of one."""
    import pandas as pd

    return isinstance(value, str | Path | pd.DataFrame)


def labels_of(y: Any, ids: Sequence[Any] | None, problems: list[Problem]) -> Labels | None:
    """Read the truth; None after a problem."""
    columns: tuple[str, ...] = ()
    if is_table(y):
        table = table_of("y", y, problems)
        if table is None:
            return None
        if ID not in table.columns:
            problems.append(Problem("y", f"expected a column 'id', got {', '.join(map(str, table.columns))}", ""))
            return None
        names = [LABEL] if LABEL in table.columns else [c for c in table.columns if c != ID]
        if not names:
            problems.append(Problem("y", "expected a column 'label', got only 'id'", ""))
            return None
        columns = () if names == [LABEL] else tuple(map(text_of, names))
        values, ids = table[names].to_numpy(), list(table[ID])
        values = values[:, 0] if len(names) == 1 else values
        values = np.asarray(table[names[0]]) if len(names) == 1 else values
    else:
        values = np.asarray(y)
    words = None if ids is None else tuple(text_of(i) for i in ids)
    if words is not None and len(words) != len(values):
        problems.append(Problem("ids", f"expected {len(values)} ids, one for each row of y, got {len(words)}", ""))
        return None
    if words is not None and len(set(words)) != len(words):
        problems.append(
            Problem("y", f"duplicated ids: {', '.join(_repeated(words)[:5])}", "every row needs its own id")
        )
        return None
    if values.ndim not in (1, 2) or not len(values):
        problems.append(Problem("y", f"expected the truth of some rows, got shape {list(values.shape)}", ""))
        return None
    return Labels(values, _known(values), words, columns)


def _known(values: Array) -> Array:
    import pandas as pd

    missing = np.asarray(pd.isna(values)).reshape(len(values), -1)
    return np.asarray(~missing.any(axis=1))


def answers_of(arm: str, value: Any, rows: int, problems: list[Problem], *, single: bool = False) -> Answers | None:
    """Read the answers of one arm to `rows` test rows; None after a problem.

    An array of two axes is one seed where its first axis has as many entries as there are rows, else [seeds, rows];
    that always where a row has a `single` entry.
    """
    if is_table(value):
        table = table_of(arm, value, problems)
        return None if table is None else _from_table(arm, table, problems)
    array = np.asarray(value)
    if array.ndim == 0 or not array.size:
        problems.append(Problem(arm, f"expected answers, got shape {list(array.shape)}", "one row per test row"))
        return None
    if array.ndim > 3:
        problems.append(Problem(arm, f"expected [N, C] or [seeds, N, C], got shape {list(array.shape)}", ""))
        return None
    stacked = array.ndim == 3 or (array.ndim == 2 and (single or (array.shape[0] != rows and array.shape[1] == rows)))
    return Answers(arm, tuple(array) if stacked else (array,), None, (), ())


def _whole(seeds: Any) -> bool:
    """Whether seeds are whole numbers, in whatever type a table holds them."""
    values = np.asarray(seeds)
    return values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool((values % 1 == 0).all()))


def _from_table(arm: str, table: Any, problems: list[Problem]) -> Answers | None:
    table = table.set_axis([text_of(c) for c in table.columns], axis=1)  # pandas takes a list of booleans for a mask
    if ID not in table.columns:
        problems.append(
            Problem(arm, f"expected a column 'id', got {', '.join(map(str, table.columns))}", "rows are matched by id")
        )
        return None
    if not len(table):
        problems.append(Problem(arm, "expected answers, the table has no rows", "one row per test row"))
        return None
    if SEED in table.columns and not _whole(table[SEED]):
        odd = text_of(next(value for value in table[SEED] if not _whole([value])))
        problems.append(Problem(arm, f"expected whole numbers as seeds, got {odd}", "number the trainings from 0"))
        return None
    names = [c for c in table.columns if c not in (ID, SEED)]
    if not names:
        problems.append(Problem(arm, "expected one column per class or a column 'label', got none", ""))
        return None
    parts = [(0, table)] if SEED not in table.columns else list(table.groupby(SEED, sort=True))
    bare = list(map(str, names)) == [LABEL]
    if not bare and any(table[n].dtype.kind not in "biuf" for n in names):
        wrong = [str(n) for n in names if table[n].dtype.kind not in "biuf"]
        problems.append(Problem(arm, f"expected numbers in every class column, got text in {', '.join(wrong[:5])}", ""))
        return None
    if bare and bool(table[LABEL].isna().any()):
        problems.append(Problem(arm, f"{int(table[LABEL].isna().sum())} rows have no decision", "answer every row"))
        return None
    blocks = tuple(np.asarray(part[LABEL]) if bare else part[names].to_numpy() for _, part in parts)
    ids = tuple(tuple(text_of(i) for i in part[ID]) for _, part in parts)
    seeds = tuple(int(seed) for seed, _ in parts) if SEED in table.columns else ()
    return Answers(arm, blocks, ids, seeds, () if bare else tuple(names))
