"""LB121: how much of the texts a student never reads, because they are longer than its tokenizer takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from limbeck.core.findings import Finding
from limbeck.data.generation import generation_in
from limbeck.data.rows import in_memory
from limbeck.models.parts.student import PartsStudent
from limbeck.models.text.pairs import PairEncoder
from limbeck.models.text.tokens import TextEncoder
from limbeck.stages.forced import references

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.data.writing import WriteSpec
    from limbeck.models.student import Student

_LOOKED_AT = 2000  # training rows
_MANY = 0.05  # of the rows: worth a tip, not a note


def cut_findings(data: Data, student: Student, writing: WriteSpec) -> list[Finding]:
    """What the student's tokenizer cuts of the training texts, and of the texts to be written; nothing for no text."""
    if isinstance(student, PartsStudent):
        return _of_parts(data, student)
    encoder = student.encoder
    if not isinstance(encoder, TextEncoder):
        return []
    places = np.unique(np.linspace(0, len(data.train) - 1, min(len(data.train), _LOOKED_AT)).astype(int))
    rows = data.train.take(places)
    found = [
        _found(
            encoder.lengths(in_memory(rows.inputs)), encoder.max_length, "training texts", "max_length of the student"
        )
    ]
    head = generation_in(data.tasks)
    if head is not None and isinstance(encoder, PairEncoder):
        gold = encoder.target_lengths(references(rows, head).texts)
        most = min(encoder.max_length, writing.max_length)
        where = "max_length of the student" if most == encoder.max_length else "writing.max_length"
        found.append(_found(gold, most, "texts to be written", where))
    return [finding for finding in found if finding is not None]


def _of_parts(data: Data, student: PartsStudent) -> list[Finding]:
    """The same of the texts among the parts of a row."""
    rows = data.train.take(np.arange(min(len(data.train), _LOOKED_AT))).inputs
    found = [
        _found(e.lengths(rows[name]), e.max_length, f"training texts of '{name}'", "max_length of the student")
        for name, e in student.encoders.items()
    ]
    return [finding for finding in found if finding is not None]


def _found(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], most: int, what: str, where: str) -> Finding | None:
    longer = int((lengths > most).sum())
    if not longer:
        return None
    share, p95 = longer / len(lengths), int(np.quantile(lengths, 0.95))
    return Finding(
        "LB121", "tip" if share > _MANY else "note", f"{what} are cut",
        f"{longer} of {len(lengths)} {what} that were looked at have more than {most} tokens (95 % have at most {p95}, "
        f"the longest {int(lengths.max())})",
        "what is cut off is neither read nor learned",
        f"raise the {where}: max_length=N in seq2seq(...) or parts(...), or hf:FOLDER | max_length(N)"
        if where != "writing.max_length" else "raise writing.max_length",
        {"cut": longer, "rows": len(lengths), "max_length": most, "p95": p95},
    )  # fmt: skip
