"""A table of predictions as a teacher: what anybody's model said about rows, with row ids or keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.core.files import checksum
from limbeck.core.kinds import suggest
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer.codecs import Array
from limbeck.transfer.index import KeyIndex, hex_key
from limbeck.transfer.manifest import Head
from limbeck.transfer.own_classes import OwnClasses
from limbeck.transfer.ragged_table import RaggedAnswers, ragged_of, refuse_counts
from limbeck.transfer.read_table import KEY, read_table

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from limbeck.data.rows import Rows

_SHOWN = 5
_SUM_WITHIN = 2e-2  # rounding to two digits of a few classes
_LEAST = 1e-8  # probability that stands for 0


class PredictionTable:
    """Answers from a table with one row per example.

    The rows are found by `id_column` (the user's row ids, which `rows` maps to keys) or, where the table has a column
    `key`, by row key in 32 hexadecimal digits. The answers of a head are one column per class, label or target, named
    as the task names them (or "head.name", needed where there are several heads), in any order; or one column named
    like the head that holds lists in the task's order (a number where the head is one number wide; for tagging a list
    for every word). `output` says what classes and labels hold: "probabilities", "logits", or "auto" (probabilities
    where every number lies in [0, 1]). Regression is in natural units. `classes` and `mapping` are those of
    `lb.Teacher`: the table's classes (its columns, or the places in its lists), and which of the task's each one is.

    Raises ConfigError for duplicated ids, unknown or missing columns, numbers that are not finite or no probabilities,
    rows that have not one answer for every word; StoreMismatch for rows without a prediction.
    """

    def __init__(
        self,
        table: pd.DataFrame | Path | str,
        rows: Rows | Sequence[Rows],
        heads: Mapping[str, Head],
        *,
        id_column: str = "id",
        output: str = "auto",
        classes: Sequence[Any] | None = None,
        mapping: Mapping[Any, Any] | None = None,
    ) -> None:
        import torch

        from limbeck.models.outputs import check_output_kind

        check_output_kind(output)
        frame = read_table(Path(table), id_column) if isinstance(table, Path | str) else table
        parts = list(rows) if isinstance(rows, Sequence) else [rows]
        keys, places = _places(frame, parts, id_column)
        self.heads = heads
        self.index = KeyIndex.build(keys)
        others = {id_column, KEY}
        self.own = own = OwnClasses.of(frame, heads, others, classes, mapping)
        self._answers: dict[str, Tensor] = {}
        self._ragged: dict[str, RaggedAnswers] = {}
        for name, head in heads.items():
            if head.kind == "tagging":
                self._ragged[name] = _ragged(frame, name, head, output, places, id_column, parts)
                continue
            known = head if own is None else own.head
            values = _values(frame, name, known, others, list(heads))[places]
            values = _to_training(values, name, known, output, frame, places, id_column)
            self._answers[name] = torch.from_numpy(values if own is None else own.order(values))

    def have(self) -> Needs:
        """Dense outputs for all heads."""
        return Needs(outputs=tuple(self.heads))

    @property
    def fingerprint(self) -> str:
        """Checksum of keys, answers and what is said of classes, whatever the order of rows and columns."""
        parts = [self.index.high.tobytes(), self.index.low.tobytes()]
        parts += [] if self.own is None else [self.own.told.encode()]
        for name in sorted(self._answers):
            parts += [name.encode(), self._answers[name].numpy()[self.index.place].tobytes()]
        for name in sorted(self._ragged):
            values, mask = self._ragged[name].padded(self.index.place)
            parts += [name.encode(), values.numpy().tobytes(), mask.numpy().tobytes()]
        return checksum(b"\0".join(parts))

    def answer(self, batch: Batch) -> Signals:
        """Look a batch up; raises StoreMismatch for keys that the table was not built with."""
        import torch

        at = self.index.find(batch.keys)
        if (at < 0).any():
            first = int(np.flatnonzero(at < 0)[0])
            raise StoreMismatch(
                f"expected predictions for all {len(at)} rows of a batch, {int((at < 0).sum())} have none, the first "
                f"with key {hex_key(batch.keys[first])}",
                "build the table of predictions with all the rows that are to be answered",
            )
        places = torch.from_numpy(at)
        outputs: dict[str, Any] = {name: values.index_select(0, places) for name, values in self._answers.items()}
        masks = {}
        for name, ragged in self._ragged.items():
            outputs[name], masks[name] = ragged.padded(at)
        return Signals(outputs, masks=masks)


def _places(frame: pd.DataFrame, parts: Sequence[Rows], id_column: str) -> tuple[Array, Array]:
    """Keys [N, 2] of all rows, and for each the position of its prediction in the table."""
    keys = np.concatenate([part.keys for part in parts])
    if id_column in frame.columns:
        if any(part.ids is None for part in parts):
            raise ConfigError(
                f"expected row ids in the data, to match them with the column '{id_column}' of the predictions",
                "give ids to every split, as in Data(train=(X, y, ids)), or a column `key` with row keys",
            )
        wanted = np.concatenate([np.asarray(part.ids, dtype=object) for part in parts])
        wanted, given = _alike(wanted, frame[id_column].to_numpy(dtype=object))
        _refuse_shared(wanted, keys)
    elif KEY in frame.columns:
        wanted = np.array([hex_key(key) for key in keys], dtype=object)
        given, id_column = frame[KEY].to_numpy(dtype=object), KEY
    else:
        raise ConfigError(
            f"expected a column '{id_column}' or '{KEY}' in the predictions, got {_some(list(frame.columns))}",
            "predictions are matched by row id, never by position: name the column of ids "
            f"'{id_column}', or lb.Predictions(table, id_column=...)",
        )
    return keys, _match(wanted, given, id_column)


def _alike(wanted: Array, given: Array) -> tuple[Array, Array]:
    """Ids of both sides as text that can be compared: 7 in the data, "7" in a CSV file, 7.0 beside missing numbers."""
    numbers = all(isinstance(value, int | np.integer) for value in wanted)
    texts = [_text(value) for value in given]
    if numbers:  # "007" means 7 where the data counts
        texts = [str(int(text)) if text.isdecimal() else text for text in texts]
    return np.array([_text(value) for value in wanted], dtype=object), np.array(texts, dtype=object)


def _text(value: Any) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def _refuse_shared(wanted: Array, keys: Array) -> None:
    """Refuse ids that name different rows, as where each split is numbered from 0."""
    import pandas as pd

    pairs = pd.DataFrame({"id": wanted, "high": keys[:, 0], "low": keys[:, 1]}).drop_duplicates()
    shared = list(dict.fromkeys(pairs["id"][pairs["id"].duplicated()]))
    if shared:
        raise ConfigError(
            f"expected every row id of the data to name one row, {len(shared)} name several: {_some(shared)}",
            "give each row of all splits an id of its own: a prediction must not answer two rows",
        )


def _match(wanted: Array, given: Array, column: str) -> Array:
    import pandas as pd

    ids = pd.Index(given)
    empty = int(ids.isin(["nan", "None", "<NA>", "NaT"]).sum())
    if empty:
        raise ConfigError(
            f"expected an id in every row of the column '{column}' of the predictions, {empty} rows have none",
            "drop these rows, or repair their ids",
        )
    if not ids.is_unique:
        repeated = list(dict.fromkeys(ids[ids.duplicated()]))
        raise ConfigError(
            f"expected every id once in the column '{column}' of the predictions, {len(repeated)} stand there more "
            f"than once: {_some(repeated)}",
            "keep one prediction per row",
        )
    places = ids.get_indexer(pd.Index(wanted))
    if (places < 0).any():
        missing = list(dict.fromkeys(wanted[places < 0]))
        raise StoreMismatch(
            f"expected predictions for all {len(wanted)} rows, {len(missing)} have none: {_some(missing)}",
            f"add them to the table, or check that its column '{column}' holds the ids of the data",
        )
    return np.asarray(places, dtype=np.int64)


def _values(frame: pd.DataFrame, name: str, head: Head, others: set[str], heads: list[str]) -> Array:
    """Answers float64 [N, width] of one head, its columns in the task's order."""
    if name in frame.columns and frame[name].dtype == object:
        return _lists(frame[name], name, head)
    names = [str(entry) for entry in head.names]
    prefix = f"{name}."
    dotted = {str(c)[len(prefix) :]: c for c in frame.columns if str(c).startswith(prefix)}
    plain = {} if len(heads) > 1 else {str(c): c for c in frame.columns if str(c) not in others}
    found = dotted or plain
    if head.size == 1 and names[0] not in found:  # one number a row may be named after the task, or stand alone
        alone = [name] if name in frame.columns else list(plain.values()) if len(plain) == 1 else []
        found = dict(zip(names, alone, strict=True)) if alone else found
    missing = [entry for entry in names if entry not in found]
    unknown = [entry for entry in found if entry not in names]
    if missing or unknown:
        raise _other_columns(name, names, missing, unknown, several=len(heads) > 1)
    return _numbers(frame[[found[entry] for entry in names]], name)


def _other_columns(
    name: str, names: list[str], missing: list[str], unknown: list[str], *, several: bool
) -> ConfigError:
    what = [f"{len(missing)} missing: {_some(missing)}"] if missing else []
    what += [f"{len(unknown)} unknown: {_some(unknown)}"] if unknown else []
    todo = [near for entry in unknown if (near := suggest(entry, missing))][:1]
    if len(missing) == len(names) and len(names) > 1:
        todo.append("give the probability or logit of each class in a column of its own, not the class decided for")
    todo.append("rename or drop columns")
    todo += [f'with several heads columns are named "{name}.{names[0]}"'] if several else []
    return ConfigError(
        f"expected one column of predictions per name of head '{name}' ({_some(names)}), got {'; '.join(what)}",
        "; ".join(todo),
    )


def _numbers(values: Any, name: str) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"expected numbers as predictions of head '{name}', got {error}", "write numbers") from None


def _lists(column: pd.Series[Any], name: str, head: Head) -> Array:
    widths = {len(entry) if isinstance(entry, list | tuple | np.ndarray) else 0 for entry in column}
    if widths - {head.size}:
        raise ConfigError(
            f"expected lists of {head.size} numbers in the column '{name}', got lengths {_some(sorted(widths))}",
            "one number per class, label or target, in the task's order",
        )
    return _numbers(list(column), name).reshape(len(column), head.size)


def _ragged(
    frame: pd.DataFrame, name: str, head: Head, output: str, places: Array, id_column: str, parts: Sequence[Rows]
) -> RaggedAnswers:
    """Answers to every word of the rows, in their order."""
    found = ragged_of(frame, name, head.size)
    lengths = found.lengths[places]
    column = id_column if id_column in frame.columns else KEY
    refuse_counts(lengths, parts, frame[column].to_numpy()[places], name, column)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    at = np.repeat(found.starts[places] - starts[:-1], lengths) + np.arange(int(starts[-1]))
    owners = np.repeat(places, lengths)
    return RaggedAnswers(_to_training(found.values[at], name, head, output, frame, owners, id_column), starts)


def _to_training(
    values: Array, name: str, head: Head, output: str, frame: pd.DataFrame, places: Array, id_column: str
) -> Array:
    """Answers float32 [N, width] in training space."""
    labels = frame[id_column if id_column in frame.columns else KEY].to_numpy()[places]
    _refuse(
        np.asarray(~np.isfinite(values).all(axis=1)),
        labels,
        f"finite predictions for head '{name}'",
        "fill or drop them",
    )
    if head.form == "regression":
        converted: Array = np.asarray(head.to_training(values.astype(np.float32)), dtype=np.float32)
        return converted
    outside = np.asarray(((values < 0) | (values > 1)).any(axis=1))
    if output == "logits" or (output == "auto" and outside.any()):
        _refuse_percent(values, name, head.form if output == "auto" else "")
        return np.asarray(values, dtype=np.float32)
    todo = (
        "probabilities need a column for every class; of logits say so: output: logits in a recipe, "
        'lb.Predictions(table, output="logits") in Python'
    )
    _refuse(outside, labels, f"probabilities between 0 and 1 for head '{name}'", todo)
    if head.form in ("classification", "tagging"):
        sums = values.sum(axis=1)
        off = np.asarray(np.abs(sums - 1) > max(_SUM_WITHIN, values.shape[1] / 200))  # of two decimals each
        _refuse(off, labels, f"probabilities of head '{name}' that sum to 1", todo)
        return np.asarray(np.log(np.maximum(values / sums[:, None], _LEAST)), dtype=np.float32)
    clipped = np.clip(values, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), dtype=np.float32)


def _refuse_percent(values: Array, name: str, kind: str) -> None:
    near = np.abs(values.sum(axis=1) - 100) <= max(100 * _SUM_WITHIN, values.shape[1] / 2)  # rounded to whole percent
    if kind == "classification" and (values >= 0).all() and near.mean() > 0.5:
        raise ConfigError(
            f"expected probabilities or logits for head '{name}', got numbers >= 0 that sum to about 100",
            "divide percentages by 100; of logits say so: output: logits",
        )


def _refuse(bad: Array, labels: Array, what: str, todo: str) -> None:
    if bad.any():
        raise ConfigError(f"expected {what}, {int(bad.sum())} rows have others: ids {_some(list(labels[bad]))}", todo)


def _some(entries: Sequence[Any]) -> str:
    return ", ".join(str(entry) for entry in entries[:_SHOWN]) + (", ..." if len(entries) > _SHOWN else "")
