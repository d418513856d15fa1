"""Rows of two texts for the tasks on embeddings: two columns in every split, single texts among the unlabelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.data.columns import Columns, NamedColumns
from limbeck.data.embedded import EMBEDDED
from limbeck.data.keys import row_keys
from limbeck.data.raw import Raw
from limbeck.data.rows import Rows
from limbeck.data.texts import as_texts, is_text_list
from limbeck.signals import MAIN


def embedded_kind(task: str | Mapping[str, str]) -> str | None:
    """The task on embeddings that is asked for, if any; raises ConfigError where it is not alone."""
    kinds = [task] if isinstance(task, str) else list(task.values())
    found = [kind for kind in kinds if kind in EMBEDDED]
    if found and len(kinds) > 1:
        raise ConfigError(
            f"expected {found[0]} as the only task, got {', '.join(kinds)}", "make a run for each of these tasks"
        )
    return found[0] if found else None


def retrieval_columns(train: Any, columns: Columns | None) -> Columns | None:
    """Columns of queries and documents: the two of a table that has no others; raises ConfigError for more."""
    if columns is not None or not isinstance(train, pd.DataFrame | str | Path):
        return columns
    if not isinstance(train, pd.DataFrame):
        raise ConfigError(
            f"expected the columns of queries and of documents in {Path(train).name} by name",
            "columns=lb.Columns(inputs=('query', 'document'))",
        )
    names = [str(name) for name in train.columns]
    if len(names) != 2:
        raise ConfigError(
            f"expected a column of queries and one of documents, got {len(names)} columns ({', '.join(names)})",
            "name them: columns=lb.Columns(inputs=('query', 'document'))",
        )
    return NamedColumns(inputs=(names[0], names[1]), target=None)


def single_texts(given: Any, columns: Columns | None) -> Columns | None:
    """How unlabelled rows are read: a table of one column is read as it is, whatever the columns of pairs are named."""
    if isinstance(given, pd.DataFrame) and given.shape[1] == 1:
        return NamedColumns(inputs=(str(given.columns[0]),), target=None)
    return columns


def as_pairs(raws: Mapping[str, Raw], kind: str) -> dict[str, Raw]:
    """Splits as pairs of texts; in retrieval every row of a labelled split is its own label.

    Raises ConfigError for one text where two are needed, and for labelled rows that lack one.
    """
    names = _two_columns(raws["train"], kind)
    return {split: _paired(raw, split, names, kind) for split, raw in raws.items()}


def _two_columns(train: Raw, kind: str) -> list[str]:
    frame = train.inputs
    names = [str(name) for name in frame.columns] if isinstance(frame, pd.DataFrame) else []
    texts = [name for name in names if is_text_list(frame[name])]
    if len(names) != 2 or len(texts) != 2:
        got = f"{len(names)} ({', '.join(names)})" if names else f"rows of kind {train.kind}"
        what = "two columns of texts" if kind == "similarity" else "a column of queries and one of documents"
        raise ConfigError(
            f"expected {what} for the task {kind}, got {got}{'' if len(names) != 2 else ', not all of them texts'}",
            "name them with columns=lb.Columns(inputs=(FIRST, SECOND)"
            + (", target=SCORE)" if kind == "similarity" else ")"),
        )
    return names


def _paired(raw: Raw, split: str, names: Sequence[str], kind: str) -> Raw:
    frame = raw.inputs
    if not isinstance(frame, pd.DataFrame) or frame.shape[1] not in (1, 2):
        raise ConfigError(f"expected texts in {split}, got rows of kind {raw.kind}", "give lists or columns of texts")
    single = frame.shape[1] == 1
    if single and split != "unlabeled":
        raise ConfigError(
            f"expected two texts a row in {split}, got one column ({frame.columns[0]})",
            "single texts can be unlabeled rows only",
        )
    notes: list[str] = []
    if single:
        if raw.kind != "text":
            frame = as_texts({names[0]: frame.iloc[:, 0]}, split)[0]
        made = pd.DataFrame({names[0]: frame.iloc[:, 0].to_numpy(dtype=object), names[1]: ""}).astype(object)
    elif raw.kind == "text":
        made = frame
    else:
        made, notes = as_texts({str(name): frame[name] for name in frame.columns}, split)
    if split != "unlabeled":
        _refuse_missing(made, split)
    labels: Mapping[str, Any] = raw.labels
    if kind == "retrieval":
        labels = {} if split == "unlabeled" else {MAIN: np.ones(len(made))}
    return replace(raw, kind="text", inputs=made, labels=labels, notes=(*raw.notes, *notes))


def _refuse_missing(frame: pd.DataFrame, split: str) -> None:
    for name in frame.columns:
        empty = np.flatnonzero(frame[name].str.strip() == "")
        if len(empty):
            raise ConfigError(
                f"expected two texts in every row of {split}, "
                + (f"row {empty[0]} lacks" if len(empty) == 1 else f"{len(empty)} rows (the first is {empty[0]}) lack")
                + f" '{name}'",
                "drop these rows, or give the texts that they have as unlabeled rows",
            )


def corpus_rows(corpus: Any, train: Rows, kind: str | None) -> Rows | None:
    """Further documents as rows of single texts; raises ConfigError where they are none or the task has no use."""
    if corpus is None:
        return None
    if kind != "retrieval":
        raise ConfigError(f"expected no corpus for the task {kind or 'given'}", "a corpus is for task='retrieval'")
    if isinstance(corpus, pd.DataFrame) and corpus.shape[1] == 1:
        corpus = corpus.iloc[:, 0]
    if not is_text_list(corpus):
        raise ConfigError(
            f"expected a corpus as a list of texts, got {type(corpus).__name__}", "for example corpus=documents"
        )
    texts = list(dict.fromkeys(text for text in corpus if isinstance(text, str) and text.strip()))
    assert isinstance(train.inputs, pd.DataFrame)
    first, second = train.inputs.columns
    inputs = pd.DataFrame({first: pd.Series(texts, dtype=object), second: ""}).astype(object)
    return Rows("text", inputs, row_keys("text", inputs))


def both_texts(inputs: pd.DataFrame) -> pd.DataFrame:
    """Rows of pairs in which a single text, beside an empty one or nothing but spaces, stands in both columns."""
    first, second = inputs.columns
    empty = {name: inputs[name].str.strip() == "" for name in (first, second)}
    if not (empty[first] | empty[second]).any():
        return inputs
    made = {
        str(name): inputs[name].where(~empty[name], inputs[other]) for name, other in ((first, second), (second, first))
    }
    return inputs.assign(**made)


def without_held_texts(rows: Mapping[str, Rows]) -> tuple[dict[str, Rows], list[str]]:
    """The splits without the unlabelled rows that hold a text of a test row, with what was done in words.

    A single text has another key than a pair that holds it: the student would learn the teacher's embeddings of what it
    is judged on, and the control would not.
    """
    out = dict(rows)
    more = out.pop("unlabeled", None)
    if more is None:
        return out, []
    held = _texts(out["test"]) if "test" in out else set()
    assert isinstance(more.inputs, pd.DataFrame)
    keep = ~more.inputs.isin(held - {""}).any(axis=1).to_numpy()
    if keep.any():
        out["unlabeled"] = more.take(keep)
    gone = int((~keep).sum())
    return out, [f"{gone} unlabeled rows with a text of a test row are left out"] if gone else []


def _texts(rows: Rows) -> set[str]:
    assert isinstance(rows.inputs, pd.DataFrame)
    return {text for name in rows.inputs.columns for text in rows.inputs[name]}


def without_documents(corpus: Rows | None, test: Rows | None) -> Rows | None:
    """A corpus without the documents of the test rows, which stand there already."""
    if corpus is None or test is None:
        return corpus
    assert isinstance(corpus.inputs, pd.DataFrame) and isinstance(test.inputs, pd.DataFrame)
    there = set(test.inputs.iloc[:, 1])
    return corpus.take(np.array([text not in there for text in corpus.inputs.iloc[:, 0]], dtype=bool))
