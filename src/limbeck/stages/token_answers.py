"""A teacher's answers token by token, stored once: the most probable tokens at each position of the forced texts.

They are biased, since everything beyond the K best tokens is one bucket, and said to be so in the manifest. Their keys
are of source and target together (`limbeck.data.generation.forced_keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from limbeck.data.generation import forced_keys
from limbeck.data.rows import Rows
from limbeck.models.student import Student
from limbeck.models.text.pairs import PairEncoder
from limbeck.models.text.seq2seq import Seq2SeqNetwork, vocabulary_of
from limbeck.stages.forced import Forced
from limbeck.transfer.frames import Frames
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity
from limbeck.transfer.source import Live, Stored
from limbeck.transfer.written import TOKENS

_BATCH, _SHARD = 64, 4096  # rows: logits of a whole vocabulary at every position are large


@dataclass(frozen=True)
class TokenHead:
    """A choice among a vocabulary at every position; its one name is a hash of the tokens in their order."""

    size: int
    names: tuple[str, ...]
    kind: ClassVar[str] = "generation"
    form: ClassVar[str] = "generation"
    positions: ClassVar[bool] = True
    natural: ClassVar[bool] = False
    meaning: ClassVar[str] = "classes"

    @classmethod
    def of(cls, student: Student) -> TokenHead:
        """The head of a student's tokenizer."""
        encoder = student.encoder
        assert isinstance(encoder, PairEncoder)
        return cls(len(encoder.tokenizer), (vocabulary_of(encoder),))

    def to_training(self, values: Any) -> Any:
        """Logits as they are."""
        return values

    def to_natural(self, values: Any) -> Any:
        """Logits as they are."""
        return values


def store_tokens(
    network: Seq2SeqNetwork, student: Student, rows: Rows, forced: Forced, head: str, folder: Path, teacher: str,
    topk: int,
) -> None:  # fmt: skip
    """Answer every forced text at every position; what stands there already is not asked again."""
    given = rows.inputs.iloc[forced.places, 0].to_numpy()  # type: ignore[union-attr]
    inputs = pd.DataFrame({"source": given, "target": np.asarray(forced.texts, dtype=object)})
    keys = forced_keys(rows.keys[forced.places], forced.texts)
    tasks, encoder = {head: TokenHead.of(student)}, student.encoder
    assert isinstance(encoder, PairEncoder)

    def prepare(part: pd.DataFrame) -> torch.Tensor:
        return torch.from_numpy(encoder.pairs(part["source"].tolist(), part["target"].tolist()))

    label(
        Live(network, tasks, output="logits", units="training"), Rows("text", inputs, keys), folder / TOKENS,
        prepare=prepare, heads=tasks, identity=Identity(teacher=teacher, tokenizer=encoder.fingerprint),
        codecs={head: Frames("float16", topk)}, batch_size=_BATCH, shard_rows=_SHARD,
    )  # fmt: skip


def stored_tokens(folder: Path, student: Student, head: str) -> Stored:
    """The stored answers as the source of a training; raises StoreMismatch for those of another vocabulary."""
    return Stored(folder / TOKENS, {head: TokenHead.of(student)})
