"""Texts for texts (translation, summarisation): the task, and the columns that usually hold sources and targets.

The key of a row is the hash of its source alone, because that is all that a teacher sees when it writes a text: two
rows with one source and different targets share the teacher's text. Answers token by token are another thing: with
teacher forcing the target is an input of the decoder, so that they belong to source and target together, and a store
of them is keyed by both (`forced_keys`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import xxhash

from limbeck.core.errors import ConfigError
from limbeck.data.columns import NamedColumns
from limbeck.data.labels import as_labels
from limbeck.data.rows import Array
from limbeck.data.task import TaskKind
from limbeck.data.texts import as_texts, is_free, is_missing_text, is_text_list

if TYPE_CHECKING:
    from limbeck.data.raw import Raw

PAIRS = (
    ("source", "target"), ("document", "summary"), ("article", "highlights"), ("text", "summary"),
    ("dialogue", "summary"), ("article", "summary"), ("abstract", "summary"),
)  # fmt: skip
SUMMARIES = ("summary", "highlights")
FOLDED = "translation"  # a column of {"de": ..., "en": ...}
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,8})*")


@dataclass(frozen=True)
class Generation(TaskKind):
    """A text for each text, or for each clip where they are `spoken`; `target` names the column of the texts.

    Targets are texts, object [N], and so are answers; what training sees are their tokens under a student's tokenizer.
    """

    target: str = "target"
    spoken: bool = False
    kind: ClassVar[str] = "generation"
    metrics: ClassVar[tuple[str, ...]] = ("bleu", "chrf", "rouge_l")
    hard: ClassVar[str] = "CE"
    objective: ClassVar[str] = "SequenceKD"
    meaning: ClassVar[str] = "classes"
    losses: ClassVar[tuple[str, ...]] = ("classification",)  # a token is a choice among the classes of a vocabulary
    decided: ClassVar[bool] = True

    @property
    def default_metric(self) -> str:
        """Wer for what is spoken, rouge_l for summaries, bleu for everything else."""
        if self.spoken:
            return "wer"
        return "rouge_l" if self.target.lower() in SUMMARIES else "bleu"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def size(self) -> int:
        """0: as wide as the vocabulary, which a student's tokenizer decides."""
        return 0

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Texts object [N] and mask bool [N]; a missing or empty text has mask False: there the teacher writes.

        Raises ConfigError for labels that are no texts, and where every text is empty.
        """
        values = as_labels(raw)
        if values.ndim != 1:
            raise ConfigError(
                f"expected one target text a row, got {values.shape[1]} columns", "name one column as the target"
            )
        texts = np.array(["" if is_missing_text(value) else value for value in values], dtype=object)
        odd = [row for row, value in enumerate(texts) if not isinstance(value, str)]
        if odd:
            raise ConfigError(
                f"expected target texts in '{self.target}', got {texts[odd[0]]!r} in row {odd[0]}",
                "name the column that holds the texts with columns.target",
            )
        mask = np.array([bool(text.strip()) for text in texts], dtype=bool)
        if len(texts) and not mask.any():
            raise ConfigError(
                f"expected target texts in '{self.target}', all {len(texts)} are empty",
                "check how they were read; rows without a target go under unlabeled",
            )
        return texts, mask

    def predict(self, texts: Any) -> Array:
        """Texts as they are."""
        return np.asarray(texts, dtype=object)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task, named after the column of the texts to be written."""
        return cls(str(columns[0]) if len(columns) == 1 else "target")

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls(spec["target"], bool(spec.get("spoken", False)))

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "target": self.target} | ({"spoken": True} if self.spoken else {})


def unfolded(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose column `translation` of mappings {language: text} became one column a language, in their order."""
    if FOLDED not in frame.columns or not len(frame):
        return frame
    cells = frame[FOLDED].tolist()
    if not all(isinstance(cell, Mapping) for cell in cells):
        return frame
    languages = list(dict.fromkeys(str(name) for cell in cells for name in cell))
    place = list(frame.columns).index(FOLDED)
    made = frame.drop(columns=FOLDED)
    for number, name in enumerate(languages):
        made.insert(place + number, name, [cell.get(name) for cell in cells])
    return made


def pair_in(frame: pd.DataFrame) -> NamedColumns | None:
    """The columns of source and target by their usual names, or of two languages; None where there are none."""
    known = {str(name).lower(): str(name) for name in frame.columns}
    for source, target in PAIRS:
        if source in known and target in known and _of_pair(frame, known[source], known[target]):
            return NamedColumns(inputs=(known[source],), target=known[target])
    named = [str(name) for name in frame.columns if _LANGUAGE.fullmatch(str(name))]
    names = [name for name in named if is_text_list(frame[name]) and is_free(frame[name])]
    if len(names) == 2:
        return NamedColumns(inputs=(names[0],), target=names[1])
    return None


def _of_pair(frame: pd.DataFrame, source: str, target: str) -> bool:
    return is_text_list(frame[source]) and is_text_list(frame[target]) and is_free(frame[target])


def is_pair(raw: Raw, head: str) -> bool:
    """Whether one column of texts and labels that are free text are named as source and target are."""
    columns = raw.label_columns.get(head, ())
    inputs = raw.inputs
    if not isinstance(inputs, pd.DataFrame) or raw.kind != "text" or len(columns) != 1 or inputs.shape[1] != 1:
        return False
    frame = pd.DataFrame({"source": inputs.iloc[:, 0].to_numpy(), "target": np.asarray(raw.labels[head])})
    names = str(inputs.columns[0]).lower(), columns[0].lower()
    languages = all(_LANGUAGE.fullmatch(name) for name in names)
    if names not in PAIRS and not languages:
        return False
    return _of_pair(frame, "source", "target") and (not languages or is_free(frame["source"]))


def as_sources(raws: Mapping[str, Raw], tasks: Mapping[str, Any]) -> dict[str, Raw]:
    """The splits with one column of texts each, whatever these look like, where a task writes texts.

    Raises ConfigError for other inputs.
    """
    if generation_in(tasks) is None:
        return dict(raws)
    return {split: _as_source(raw, split) for split, raw in raws.items()}


def _as_source(raw: Raw, split: str) -> Raw:
    frame = raw.inputs
    if raw.kind == "audio":
        return raw
    if isinstance(frame, pd.DataFrame) and frame.shape[1] == 1 and is_text_list(frame.iloc[:, 0]):
        if raw.kind == "text":
            return raw
        table, said = as_texts({str(frame.columns[0]): frame.iloc[:, 0]}, split)
        return replace(raw, kind="text", inputs=table, notes=(*raw.notes, *said))
    got = f"rows of kind {raw.kind}"
    if isinstance(frame, pd.DataFrame):
        got = f"the columns {', '.join(map(str, frame.columns))}"
    raise ConfigError(
        f"expected one column of source texts in {split} for generation, got {got}",
        "name it with columns.inputs and the texts to be written with columns.target",
    )


def forced_keys(keys: Array, targets: Sequence[str]) -> Array:
    """Keys [N, 2] uint64 of source and target together: of what a decoder says along a given target."""
    made = np.empty((len(keys), 2), dtype=np.uint64)
    for row, (key, target) in enumerate(zip(np.ascontiguousarray(keys), targets, strict=True)):
        digest = xxhash.xxh3_128_digest(b"limbeck-forced-1" + key.tobytes() + target.encode())
        made[row] = np.frombuffer(digest, dtype=">u8")
    return made


def generation_in(tasks: Mapping[str, Any]) -> str | None:
    """The name of the task that writes texts, None where no task does."""
    return next((head for head, task in tasks.items() if task.kind == Generation.kind), None)
