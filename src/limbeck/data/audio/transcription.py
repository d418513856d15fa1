"""Transcription: the characters that are said in a clip, by connectionist temporal classification.

    task           targets                              answers                on disk
    Transcription  int64 [N, U] ids of characters, -1   logits [B, T, C]       logits of each clip's frames (ragged)
                   behind the last

The first of the C classes is the blank; a path of one class a frame spells a text once repeats are merged and blanks
left out (Graves et al., ICML 2006). What is judged, and kept in predictions, is the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.audio.ctc import best_path, greedy, prefix_beams
from limbeck.data.audio.spelling import cer, wer
from limbeck.data.labels import as_labels, check_names
from limbeck.data.rows import Array, Rows
from limbeck.data.task import Measure, TaskKind
from limbeck.data.texts import is_missing_text

BLANK, NONE = 0, -1
BLANK_NAME = "<blank>"


@dataclass(frozen=True)
class Transcription(TaskKind):
    """Texts for clips; `characters` are the classes behind the blank. `beams` above 1 decode by prefix beam search."""

    characters: tuple[str, ...]
    beams: int = 1
    kind: ClassVar[str] = "transcription"
    metrics: ClassVar[tuple[str, ...]] = ("wer", "cer")
    hard: ClassVar[str] = "CTC"
    objective: ClassVar[str] = "0.5 * CTC + 0.5 * KD(temperature=1)"
    losses: ClassVar[tuple[str, ...]] = ("classification",)
    judged_as: ClassVar[str] = "generation"
    meaning: ClassVar[str] = "classes"
    decided: ClassVar[bool] = True
    positions: ClassVar[bool] = True
    aligned: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ("beams",)

    def __post_init__(self) -> None:
        check_names(self.characters, "characters", at_least=1)
        if not isinstance(self.beams, int) or self.beams < 1:
            raise ConfigError(
                f"expected at least one beam, got {self.beams!r}", "beams=1 takes the best class of each frame"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return (BLANK_NAME, *self.characters)

    @property
    def size(self) -> int:
        """Width of the output: the characters and the blank."""
        return len(self.characters) + 1

    @property
    def columns(self) -> tuple[str, ...]:
        """One text a row."""
        return ("transcript",)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the characters given, or those of the training transcripts."""
        if names is not None:
            return cls(tuple(name for name in names if name != BLANK_NAME))
        texts, _ = _texts(raw)
        found = sorted({sign for text in texts for sign in text})
        if not found:
            raise ConfigError("expected transcripts, all are empty", "check how they were read")
        return cls(tuple(found))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(tuple(spec["characters"]), int(spec.get("beams", 1)))

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": list(self.characters), "beams": self.beams}

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Ids int64 [N, U], -1 behind the last, and mask bool [N]; a missing or empty transcript has mask False.

        Raises ConfigError for a character that the training transcripts have not.
        """
        texts, mask = _texts(raw)
        place = {sign: number + 1 for number, sign in enumerate(self.characters)}
        ids = np.full((len(texts), max([1, *map(len, texts)])), NONE, dtype=np.int64)
        for row, text in enumerate(texts):
            strange = [sign for sign in text if sign not in place]
            if strange:
                raise ConfigError(
                    f"expected the {len(self.characters)} characters of the training transcripts, got {strange[0]!r} "
                    f"in row {row}: {text[:40]!r}",
                    "spell it out, or name all characters in order with classes=[...]",
                )
            ids[row, : len(text)] = [place[sign] for sign in text]
        return ids, mask

    def unlabelled(self, rows: int) -> Array:
        """Ids int64 [N, 1] of no character."""
        return np.full((rows, 1), NONE, dtype=np.int64)

    def predict(self, answers: Any) -> Array:
        """Texts [N] of the logits [T, C] of the frames of each clip."""
        return _objects([self._spelt(self._decoded(np.asarray(logits))) for logits in answers])

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """Texts, object [N]."""
        return self.predict(answers)

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """The transcripts, object [N]; empty where there is none."""
        return _objects([self._spelt(ids[ids != NONE]) for ids in rows.targets[head]])

    def decisions(self, answers: Array) -> Array:
        """What a teacher heard, as targets int64 [N, U]."""
        found = [self._decoded(np.asarray(logits)) for logits in answers]
        ids = np.full((len(found), max([1, *map(len, found)])), NONE, dtype=np.int64)
        for row, said in enumerate(found):
            ids[row, : len(said)] = said
        return ids

    def confidence(self, answers: Any) -> Array:
        """Mean log-probability float64 [N] of the best class of each frame of each clip."""
        return np.array([best_path(np.asarray(logits))[1] for logits in answers], dtype=np.float64)

    def measures(self) -> Mapping[str, Measure]:
        return {"wer": wer(), "cer": cer()}

    def trivial(self, y_train: Array, rows: int) -> Array:
        """Nothing, for every clip."""
        return np.full(rows, "", dtype=object)

    def _decoded(self, logits: Array) -> Sequence[int]:
        return greedy(logits, BLANK) if self.beams == 1 else prefix_beams(logits, BLANK, self.beams)

    def _spelt(self, ids: Sequence[int] | Array) -> str:
        return "".join(self.characters[int(number) - 1] for number in ids)


def _texts(raw: Any) -> tuple[list[str], Array]:
    """Transcripts in one form of Unicode (NFC) with single spaces, and which rows have one."""
    values = as_labels(raw)
    if values.ndim != 1:
        raise ConfigError(f"expected one transcript a row, got {values.shape[1]} columns", "name one column as target")
    texts = []
    for row, value in enumerate(values):
        if isinstance(value, int | float | np.number) and not is_missing_text(value):
            value = str(value)
        if not isinstance(value, str) and not is_missing_text(value):
            raise ConfigError(f"expected a transcript in row {row}, got {value!r}", "name the column of the texts")
        texts.append(" ".join(unicodedata.normalize("NFC", value).split()) if isinstance(value, str) else "")
    return texts, np.array([bool(text) for text in texts], dtype=bool)


def _objects(values: Sequence[str]) -> Array:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
