"""The student of a run that writes texts, asked as an exported one is: raw rows in, a list of texts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.core.errors import NotSupported
from limbeck.data.generation import Generation


@dataclass(frozen=True, eq=False)
class WritingStudent:
    """A network that writes texts, with its task, the column of its sources and how it searches for a text."""

    network: Any  # a Seq2SeqNetwork: nothing here needs torch before it writes
    head: str
    column: str
    decoding: Mapping[str, Any]
    rate: int = 0  # of clips, where these are what it writes for

    @property
    def kind(self) -> str:
        """The kind of rows that it is asked about."""
        return "audio" if self.rate else "text"

    @property
    def heads(self) -> dict[str, dict[str, Any]]:
        """Its one task."""
        return {self.head: {"kind": Generation.kind, "names": [self.head]}}

    def predict(self, inputs: Any, head: str | None = None) -> list[str]:
        """A text for each row: of a list of texts, or a table with the column of the sources. Raises ConfigError."""
        import torch

        from limbeck.compress.onnx_rows import clip_rows, text_rows
        from limbeck.models.text.decoding import Decoding, write

        sources = list(clip_rows(inputs, self.rate)) if self.rate else text_rows(inputs, (self.column,))
        if not len(sources):
            return []
        rows = torch.from_numpy(self.network.encoder.encode(sources))
        return write(self.network, rows, Decoding(**self.decoding))

    def predict_proba(self, inputs: Any, head: str | None = None) -> Any:
        """Refused: texts have no table of probabilities."""
        raise NotSupported("expected a task with probabilities, the student writes texts", "take predict")

    def embed(self, texts: Any) -> Any:
        """Refused: it writes texts."""
        raise NotSupported("expected a student of a task on embeddings, this one writes texts", "take predict")

    def answers(self, inputs: Any) -> dict[str, Any]:
        """The texts by task."""
        return {self.head: self.predict(inputs)}
