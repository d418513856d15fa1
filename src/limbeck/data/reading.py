"""From what every split was given as to its rows: read, the tasks found, labels encoded, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError, LimbeckError, Problem
from limbeck.core.findings import Finding
from limbeck.core.parts import Parts
from limbeck.data.audio.sources import is_transcript
from limbeck.data.entries import silent_columns
from limbeck.data.generation import Generation, generation_in, is_pair
from limbeck.data.infer import build_task, infer_task
from limbeck.data.keys import row_keys
from limbeck.data.kinds import form_of, kind_name
from limbeck.data.labels import listed
from limbeck.data.masks.arrays import are_masks, image_kind, refuse_other, refuse_pairs
from limbeck.data.ondisk import DiskTable, OnDisk
from limbeck.data.pairs import single_texts
from limbeck.data.ragged import ragged_together
from limbeck.data.raw import group_names
from limbeck.data.rows import Array, Inputs, Rows, row_shape
from limbeck.data.similarity import Similarity
from limbeck.data.sources import Columns, Raw, read
from limbeck.data.tagging import refuse_lengths
from limbeck.data.tasks import Task
from limbeck.signals import MAIN


def read_all(
    given: Mapping[str, Any],
    columns: Columns | None,
    size: tuple[int, int] | None,
    embedded: str | None = None,
    rate: int | None = None,
) -> dict[str, Raw]:
    """Every split as it was given; raises ConfigError with the problems of all of them."""
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
            found[split] = read(_as_parts(value, found.get("train")), chosen, split, size=size, rate=rate)
            found[split] = beside_masks(found.get("train", found[split]), found[split])
            _refuse_size(found[split], size)
            rate = rate or found[split].rate or None  # that of the training rows holds for every split
            if not len(found[split].inputs):
                problems.append(Problem(split, "expected rows, got none", "leave the split out or give it rows"))
        except LimbeckError as err:
            problems.append(Problem(split, err.what, err.todo))
    if problems:
        raise together(problems)
    if not found["train"].labels and embedded != "retrieval":
        raise ConfigError(
            "expected labels for the training rows, got none", "give train=(X, y), or name the target column"
        )
    return ragged_together(found)


def _refuse_size(raw: Raw, size: tuple[int, int] | None) -> None:
    """Refuse images that are not as large as asked: arrays, which are not resized; raises ConfigError."""
    if size is None or raw.kind != "image" or row_shape(raw.inputs)[:2] == tuple(size):
        return
    height, width = row_shape(raw.inputs)[:2]
    raise ConfigError(
        f"expected images of {size[0]}x{size[1]}, got arrays of {height}x{width}",
        "image_size resizes files of images: resize arrays yourself, in use as well, or leave it out",
    )


def beside_masks(train: Raw, raw: Raw) -> Raw:
    """A split of images where the training rows are images with masks, whatever the dtype of their pixels."""
    labels = {**train.labels, **raw.labels}
    kind = image_kind(raw.kind, raw.inputs, labels)
    return raw if kind == raw.kind else replace(raw, kind=kind)


def _as_parts(value: Any, train: Raw | None) -> Any:
    """A split that is a mapping of the parts of the training rows as the tuple that says so."""
    if train is None or not isinstance(train.inputs, Parts) or not isinstance(value, Mapping):
        return value
    named = train.columns is not None and isinstance(train.columns.inputs, Mapping)
    return value if named else (value,)


def together(problems: list[Problem]) -> ConfigError:
    """One error for several problems."""
    if len(problems) == 1:
        what, where = problems[0].what, problems[0].where.removesuffix(f".{MAIN}")
        return ConfigError(what if where in what else f"{where}: {what}", problems[0].todo, problems)
    return ConfigError.of(problems, "the data")


def beside(raw: Raw, weights: Any, groups: Any, ids: Any) -> Raw:
    """The training rows with the weights, groups and ids that stand beside them; raises ConfigError."""
    count, problems = len(raw.inputs), []
    for name, values in (("weights", weights), ("groups", groups), ("ids", ids)):
        if values is not None and len(values) != count:
            what = f"expected one entry for each of {count} training rows, got {len(values)}"
            problems.append(Problem(name, what, f"give {name} in the order of the training rows"))
    if problems:
        raise together(problems)
    return replace(
        raw, weight=raw.weight if weights is None else np.asarray(weights),
        groups=raw.groups if groups is None else np.asarray(groups),
        ids=raw.ids if ids is None else np.asarray(ids),
    )  # fmt: skip


def tasks_of(raw: Raw, task: str | Mapping[str, str], classes: Any, findings: list[Finding]) -> dict[str, Task]:
    """The tasks of the training rows, named or guessed, what was guessed added to the findings."""
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
        if are_masks(raw.labels[head]):
            refuse_other(kind_name(kind), head)
        names = classes.get(head) if isinstance(classes, Mapping) else classes
        if names is None and form_of(kind) in ("classification", "tagging"):
            names = raw.classes.get(head)
        if form_of(kind) == "regression" and len(wanted) > 1 and not isinstance(classes, Mapping):
            names = None  # one list of classes is for the tasks that have classes
        tasks[head] = build_task(kind, raw.labels[head], names, raw.label_columns.get(head, ()))
    if raw.kind == "audio":
        tasks = {head: replace(t, spoken=True) if isinstance(t, Generation) else t for head, t in tasks.items()}
    if len(tasks) > 1 and generation_in(tasks) is not None:
        raise ConfigError(
            f"expected generation to be the only task, got {', '.join(tasks)}",
            "give the texts to be written a run of their own",
        )
    return tasks


def encode_all(raws: Mapping[str, Raw], tasks: Mapping[str, Task]) -> dict[str, Rows]:
    """Keyed rows with targets and masks of every split; raises ConfigError with every problem."""
    rows, problems = {}, []
    tables = (pd.DataFrame, DiskTable)
    order = list(row_shape(raws["train"].inputs)) if isinstance(raws["train"].inputs, tables) else None
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
                if task.kind == "segmentation":
                    refuse_pairs(raw.kind, inputs, raw.labels[head], split, head)
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
            keys = row_keys(raw.kind, inputs)
            rows[split] = Rows(
                raw.kind,
                cast("Inputs", inputs.without_keys()) if isinstance(inputs, OnDisk) else inputs,
                keys,
                targets,
                masks,
                weight,
                group_names(raw.groups),
                raw.ids,
                raw.rate,
                raw.slices,
            )
    if problems:
        raise together(problems)
    return rows


def refuse_silent_tasks(rows: Mapping[str, Rows], tasks: Mapping[str, Task]) -> None:
    """Refuse splits in which no row is left with a label of a task; raises ConfigError with all of them."""
    problems = [
        Problem(
            split, f"expected labels of '{head}', none of its {len(rows[split])} rows has one",
            "give more rows with a label of it, or splits of their own in which every task has labels",
        )
        for split in ("train", "validation", "test")
        for head in tasks
        if split in rows and head in rows[split].label_mask and not rows[split].label_mask[head].any()
    ]  # fmt: skip
    problems += [
        Problem(
            "train", f"expected a known value of each target of '{head}', none of its {len(rows['train'])} rows knows "
            f"{listed(silent)}",
            "leave the column out, or give rows in which it is known",
        )
        for head, task in tasks.items()
        if (silent := silent_columns(rows["train"], head, getattr(task, "targets", None) or task.names))
    ]  # fmt: skip
    if problems:
        raise together(problems)


def fitted_again(tasks: Mapping[str, Task], rows: Mapping[str, Rows]) -> tuple[dict[str, Task], dict[str, Rows]]:
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
