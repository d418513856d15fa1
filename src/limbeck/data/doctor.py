"""What is odd about the data, each said once: overlaps, conflicts, gaps, imbalance, constant and missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from limbeck.core.findings import Finding
from limbeck.core.parts import Parts
from limbeck.data.audio.checks import look_at_clips
from limbeck.data.entries import has_gaps
from limbeck.data.frames import is_numeric
from limbeck.data.keys import found_in, inverse_of
from limbeck.data.masks.checks import is_about_pictures, look_at_pictures
from limbeck.data.ondisk import OnDisk
from limbeck.data.raw import NO_GROUP
from limbeck.data.rows import Rows
from limbeck.data.tasks import Task
from limbeck.data.texts import empty_rows

_ISSUE_SHARE = 0.01  # of the test rows
_IMBALANCE = 10.0
_RARE = 5


@dataclass(frozen=True)
class Overlap:
    """Test rows that also stand in a training split: dropped from the score."""

    rows: int = 0
    of: int = 0
    by_split: Mapping[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        """How many left the score: none where nothing would have been left."""
        return self.rows if self.rows < self.of else 0


def without_overlap(rows: Mapping[str, Rows]) -> tuple[Rows, Overlap]:
    """The test rows that stand nowhere else, and what was dropped; where nothing would be left all stay.

    Unlabelled rows count too: the student learns the teacher's answer to them and the control does not, so that a test
    row among them would flatter the gain.
    """
    test = rows["test"]
    seen = np.zeros(len(test), dtype=bool)
    counts = {}
    for split in ("train", "unlabeled", "validation"):
        if split in rows:
            here = found_in(test.keys, rows[split].keys)
            counts[split] = int(here.sum())
            seen |= here
    overlap = Overlap(int(seen.sum()), len(test), {split: count for split, count in counts.items() if count})
    if not seen.any() or seen.all():
        return test, overlap
    return test.take(~seen), overlap


def without_validation(rows: Mapping[str, Rows]) -> tuple[dict[str, Rows], int]:
    """The splits without the unlabelled rows that also stand in validation, and how many validation rows they were."""
    out = dict(rows)
    if "unlabeled" not in out:
        return out, 0
    more, validation = out.pop("unlabeled"), rows["validation"]
    keep = ~found_in(more.keys, validation.keys)
    if keep.all():
        out["unlabeled"] = more
    elif keep.any():
        out["unlabeled"] = more.take(keep)
    return out, int(found_in(validation.keys, more.keys).sum())


def look(
    rows: Mapping[str, Rows],
    tasks: Mapping[str, Task],
    overlap: Overlap,
    notes: Sequence[str],
    used: Sequence[str] | None = None,
    shared: int = 0,
) -> Iterator[Finding]:
    """Every finding about the splits; `used` are the columns of a table that the preprocessing kept.

    `shared` validation rows stood among the unlabelled rows too.
    """
    if overlap.rows:
        yield _overlap(overlap)
    yield from _seen(rows, shared)
    train = rows["train"]
    for head, task in tasks.items():
        yield from _conflicts(train, head, task)
        if task.form == "classification":
            yield from _classes(rows, head, task)
        elif task.form == "multilabel" and head in train.targets:
            yield from _labels(train, head, task)
        yield from _unlabelled(rows, head)
        yield from _partial(train, head, task)
    if len(tasks) > 1:
        yield from _silent(train)
    for part in _parts(_looked_at(train)).values():
        yield from _inputs(part, used if not isinstance(train.inputs, Parts) else None)
    yield from _empty(rows)
    yield from look_at_clips(rows, notes)
    yield from look_at_pictures(rows, tasks, notes)
    for note in dict.fromkeys(note for note in notes if not is_about_pictures(note)):
        yield _note(
            "LB111",
            "columns were read with a guess or a change",
            note,
            "a model sees what was read, not what was meant",
        )


def _overlap(overlap: Overlap) -> Finding:
    share = overlap.rows / max(overlap.of, 1)
    left = "they were left out of it" if overlap.dropped else "all of them do, so that none could be left out"
    where = ", ".join(f"{count} in {split}" for split, count in overlap.by_split.items())
    return Finding(
        "LB101",
        "issue" if share > _ISSUE_SHARE else "tip",
        "test rows also stand in training",
        f"{overlap.rows} of {overlap.of} test rows ({100 * share:.3g} %): {where}",
        "a score on rows that were trained on says nothing about new ones; " + left,
        "remove them from one of the splits, or split by group",
        {"rows": overlap.rows, "of": overlap.of, **overlap.by_split},
    )


def _seen(rows: Mapping[str, Rows], unlabelled: int) -> Iterator[Finding]:
    """Validation rows, and groups of held-out rows, that also stand in training."""
    train = rows["train"]
    count = int(found_in(rows["validation"].keys, train.keys).sum()) if "validation" in rows else 0
    if count or unlabelled:
        of = len(rows["validation"])
        also = f"; {unlabelled} stood in unlabeled, which lost them" if unlabelled else ""
        yield Finding(
            "LB119", "tip", "validation rows also stand in training",
            f"{count} of {of} validation rows{also}",
            "the best checkpoint and the temperature are chosen on rows that were trained on",
            "take them out of one of the two, or let limbeck split the validation rows off",
            {"rows": count, "of": of, **({"unlabeled": unlabelled} if unlabelled else {})},
        )  # fmt: skip
    for split in ("validation", "test"):
        here = rows[split].groups if split in rows else None
        if here is None or train.groups is None:
            continue
        shared = sorted(set(here[~np.char.startswith(here, NO_GROUP)]) & set(train.groups))
        if shared:
            yield Finding(
                "LB120", "tip", f"groups stand in train and in {split}",
                f"{len(shared)} groups: {_listed(shared)}",
                f"rows of one group are alike: a score on {split} says less about new groups",
                "split by group: leave the split out and give groups", {"split": split, "groups": len(shared)},
            )  # fmt: skip


def _conflicts(train: Rows, head: str, task: Task) -> Iterator[Finding]:
    if task.form not in ("classification", "multilabel") or head not in train.targets:
        return
    mask = train.label_mask[head]
    place, count = inverse_of(train.keys[mask])
    values = train.targets[head][mask].reshape(int(mask.sum()), -1)
    first = np.zeros((count, values.shape[1]), dtype=values.dtype)
    first[place[::-1]] = values[::-1]
    other = (values != first[place]) & ~(np.isnan(values) | np.isnan(first[place]))
    bad = np.unique(place[other.any(axis=1)])
    if len(bad):
        yield Finding(
            "LB102", "tip", "equal inputs with different labels",
            f"{len(bad)} inputs of '{head}' carry more than one label",
            "no model can fit them; they bound the score from above",
            "correct the labels, or add the feature that tells them apart",
            {"inputs": len(bad), "task": head},
        )  # fmt: skip


def _classes(rows: Mapping[str, Rows], head: str, task: Task) -> Iterator[Finding]:
    names = np.asarray(task.names)
    for split in ("train", "test"):
        if split not in rows or head not in rows[split].targets:
            continue
        part = rows[split]
        counts = np.bincount(part.targets[head][part.label_mask[head]], minlength=task.size)
        empty, rare = names[counts == 0], names[(counts > 0) & (counts < _RARE)]
        if len(empty):
            shown = ", ".join(empty[:8])
            yield Finding(
                "LB103", "issue" if split == "train" else "tip", f"classes without rows in {split}",
                f"{len(empty)} of {task.size} classes of '{head}' have none: {shown}",
                "a class without training rows is learned from the teacher alone, one without test rows is not judged",
                "add rows of these classes, or leave them out of `classes`",
                {"split": split, "classes": empty.tolist()},
            )  # fmt: skip
        elif len(rare) and split == "train":
            yield _note(
                "LB103", f"classes with fewer than {_RARE} rows in {split}",
                f"{len(rare)} classes of '{head}': {', '.join(rare[:8])}", "few rows teach little",
            )  # fmt: skip
        present = counts[counts > 0]
        if split == "train" and len(present) > 1 and present.max() / present.min() >= _IMBALANCE:
            yield _note(
                "LB112", "imbalanced classes",
                f"the largest class of '{head}' has {present.max() / present.min():.0f} times the rows of the smallest",
                "accuracy rewards the large class; look at balanced accuracy and macro F1 beside it",
            )  # fmt: skip


def _labels(train: Rows, head: str, task: Task) -> Iterator[Finding]:
    """Labels of a multi-label task that no training row has."""
    counts = np.nansum(train.targets[head][train.label_mask[head]], axis=0)
    empty = [name for name, count in zip(task.names, counts, strict=True) if not count]
    if empty:
        yield Finding(
            "LB103", "issue", "labels without rows in train",
            f"{len(empty)} of {task.size} labels of '{head}' have none: {_listed(empty)}",
            "a label without training rows is learned from the teacher alone",
            "add rows of these labels, or leave them out of `classes`", {"split": "train", "classes": empty},
        )  # fmt: skip


def _partial(train: Rows, head: str, task: Task) -> Iterator[Finding]:
    """Training rows that know some entries of a task and not all."""
    targets = train.targets.get(head)
    if targets is None or not has_gaps(targets):
        return
    gaps = np.isnan(targets).sum(axis=0)
    names = getattr(task, "targets", None) or task.names
    counts = ", ".join(f"{name} ({count})" for name, count in zip(names, gaps, strict=False) if count)
    yield _note(
        "LB140", f"rows know a part of '{head}'",
        f"{int(np.isnan(targets).any(axis=1).sum())} of {len(train)} training rows miss some: {counts}",
        "the loss on labels leaves these entries out, the teacher speaks of them; rows that are judged are whole",
    )  # fmt: skip


def _unlabelled(rows: Mapping[str, Rows], head: str) -> Iterator[Finding]:
    """Rows without a label where labels were given."""
    gone = {s: int((~part.label_mask[head]).sum()) for s, part in rows.items() if head in part.label_mask}
    if any(gone.values()):
        yield _note(
            "LB117", f"rows without a label of '{head}'",
            ", ".join(f"{count} of {len(rows[split])} in {split}" for split, count in gone.items() if count),
            "in training the teacher alone speaks about them; in test they leave the score of this task",
        )  # fmt: skip


def _silent(train: Rows) -> Iterator[Finding]:
    """Training rows without a label of any of several tasks."""
    gone = int((~np.logical_or.reduce([*train.label_mask.values()])).sum()) if train.label_mask else 0
    if gone:
        yield _note(
            "LB130", "training rows without a label of any task", f"{gone} of {len(train)} training rows",
            "they are unlabelled rows: the teachers alone speak about them, and the control does not see them",
        )  # fmt: skip


def _empty(rows: Mapping[str, Rows]) -> Iterator[Finding]:
    """Rows of text in which nothing stands: no text but spaces, no word."""
    for name, part in _parts(rows["train"]).items():
        if part.kind == "text":
            yield from _empty_texts({s: _parts(r)[name] for s, r in rows.items()}, f"'{name}'" if name else "texts")


def _parts(rows: Rows) -> dict[str, Rows]:
    """The parts of rows by name, as if each were all; rows of one part under ""."""
    if not isinstance(rows.inputs, Parts):
        return {"": rows}
    return {n: Rows(rows.inputs.kinds[n], part, rows.keys) for n, part in rows.inputs.items()}


def _empty_texts(rows: Mapping[str, Rows], what: str) -> Iterator[Finding]:
    gone = {split: empty_rows(part.inputs) for split, part in rows.items()}
    if any(gone.values()):
        yield _note(
            "LB125", f"{what} are empty" if what == "texts" else f"texts in {what} are empty",
            ", ".join(f"{count} of {len(rows[split])} in {split}" for split, count in gone.items() if count),
            "a model reads nothing in them and answers all of them alike",
        )  # fmt: skip


def _looked_at(train: Rows) -> Rows:
    """The training rows; of those on disk some."""
    if not isinstance(train.inputs, OnDisk):
        return train
    some = train.inputs.sample()
    return Rows(train.kind, some, np.zeros((len(some), 2), dtype=np.uint64))


def _inputs(train: Rows, used: Sequence[str] | None) -> Iterator[Finding]:
    missing, constant, mixed, unused, several = [], [], [], [], []
    if isinstance(train.inputs, pd.DataFrame):
        for name in train.inputs.columns:
            column = train.inputs[name]
            if column.isna().any():
                missing.append(f"{name} ({int(column.isna().sum())})")
            if column.nunique(dropna=False) <= 1:
                constant.append(str(name))
            elif used is not None and name not in used:
                unused.append(str(name))
            elif train.kind == "table" and not is_numeric(column):
                mixed.append(str(name))
            if train.kind == "table" and _several_types(column):
                several.append(str(name))
    elif train.kind == "array" and isinstance(train.inputs, np.ndarray) and train.inputs.ndim == 2:
        holes = np.isnan(train.inputs.astype(np.float64)).sum(axis=0)
        missing = [f"column {i} ({holes[i]})" for i in np.flatnonzero(holes)]
        same = ((train.inputs == train.inputs[:1]) | (holes == len(train))).all(axis=0)
        constant = [f"column {i}" for i in np.flatnonzero(same)]
    if missing:
        yield _note(
            "LB113",
            "missing values were filled",
            _listed(missing),
            "numbers take the median, categories a value of their own",
        )
    if constant:
        yield _note("LB114", "constant inputs", _listed(constant), "they carry nothing")
    if mixed:
        yield _note("LB115", "text columns are read as categories", _listed(mixed), "rare values count as unknown")
    if several:
        yield _note(
            "LB118", "columns hold numbers and text", _listed(several),
            "all their values are read as categories; a number there has no order",
        )  # fmt: skip
    if unused:
        yield _note(
            "LB116",
            "columns are not used",
            _listed(unused),
            "text in which no value occurs twice, or numbers that are all equal once the missing ones are filled",
        )


def _several_types(column: pd.Series) -> bool:
    """Whether a column holds numbers beside text, as values or spelt out ("12" beside "unknown")."""
    if is_numeric(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    numeric = np.array([_reads_as_number(value) for value in column.dropna().unique()], dtype=bool)
    return bool(numeric.any() and not numeric.all())


def _reads_as_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _note(code: str, title: str, measured: str, why: str) -> Finding:
    return Finding(code, "note", title, measured, why, "nothing, unless it surprises you")
