"""Texts by an exported encoder-decoder: greedy search with NumPy and onnxruntime, no torch and no transformers.

The encoder is the file itself, the decoder lies beside it (student.decoder.onnx). Sources of like length go together,
as they do in training (`limbeck.models.text.decoding`), so that both stop at the same lengths.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError, StoreDamaged
from limbeck.core.files import checksum

Array: TypeAlias = np.ndarray[Any, Any]
HIDDEN, IDS, MASK, LOGITS = "hidden", "decoder_input_ids", "attention_mask", "logits"


def decoder_of(path: Path) -> Path:
    """Where the decoder of an exported student lies."""
    return path.with_name(f"{path.stem}.decoder.onnx")


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a text is found: what it begins with, what ends it, which tokens never come, how long it may get.

    At most `max_length` tokens, and `factor` times those of the longest source beside it and `more`; `tokens` of
    sources with their padding are worked on at once.
    """

    start: int
    end: tuple[int, ...]
    padding: int
    suppressed: tuple[int, ...] = ()
    first: int | None = None
    last: int | None = None
    max_length: int
    factor: int
    more: int
    tokens: int

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
        return cls(**values)

    def limit(self, longest: int) -> int:
        """Most tokens of texts for sources of which the longest has so many."""
        return min(self.max_length, self.factor * longest + self.more)

    def parts(self, lengths: Array) -> Iterator[Array]:
        """Positions of sources of like length, long ones first."""
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            count = max(1, self.tokens // int(lengths[order[start]]))
            yield order[start : start + count]
            start += count

    def greedy(self, ask: Callable[[Array], Array], rows: int, longest: int) -> list[list[int]]:
        """Token ids of each row; `ask` gives the logits [B, V] that follow the ids so far [B, T]."""
        ids = np.full((rows, 1), self.start, dtype=np.int64)
        open_rows, limit = np.ones(rows, dtype=bool), self.limit(longest)
        for step in range(limit):
            logits = ask(ids)
            logits[:, list(self.suppressed)] = -np.inf
            chosen = logits.argmax(axis=1)
            for forced, when in ((self.first, 0), (self.last, limit - 1)):
                if forced is not None and step == when:
                    chosen = np.full(rows, forced)
            chosen = np.where(open_rows, chosen, self.padding)
            ids = np.concatenate([ids, chosen[:, None]], axis=1)
            open_rows &= ~np.isin(chosen, self.end)
            if not open_rows.any():
                break
        found: list[list[int]] = ids[:, 1:].tolist()
        return found


class OnnxDecoder:
    """The decoder beside an exported student, with its search."""

    def __init__(self, path: Path, about: str, threads: int) -> None:
        """Read it; raises ConfigError where it is missing, StoreDamaged where it is another than was exported."""
        facts = json.loads(about)
        self.search = Search.from_json(facts["search"])
        file = decoder_of(path)
        if not file.is_file():
            raise ConfigError(
                f"expected the decoder of {path.name} at {file}, there is none",
                "copy it with the file, as `run.export(path)` does",
            )
        if checksum(file) != facts["decoder"]:
            raise StoreDamaged(
                f"expected {file} to be the decoder that {path.name} was exported with, it is another",
                "copy both from the same export",
            )
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = ort.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

    def write(self, sources: Sequence[str], texts: Any, encode: Callable[[Mapping[str, Array]], Array]) -> list[str]:
        """A text for each source; `texts` makes the feeds of the encoder, `encode` is that encoder."""
        if not sources:
            return []
        lengths = np.array([max(len(said.ids), 1) for said in texts.core.encode_batch(list(sources))])
        said = [""] * len(sources)
        for part in self.search.parts(lengths):
            feeds = texts.feeds([sources[row] for row in part])
            hidden, mask = encode(feeds), feeds[MASK]

            def ask(ids: Array, hidden: Array = hidden, mask: Array = mask) -> Array:
                logits: Array = self.session.run([LOGITS], {HIDDEN: hidden, MASK: mask, IDS: ids})[0]
                return logits

            made = self.search.greedy(ask, len(part), int(mask.shape[1]))
            for row, text in zip(part.tolist(), texts.core.decode_batch(made, skip_special_tokens=True), strict=True):
                said[row] = text.strip()
        return said
