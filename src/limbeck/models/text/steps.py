"""The steps of a chain, each a frozen value that knows what is wrong with its settings; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HOW = ("uniform", "first_last", "importance")
Layers = int | tuple[int, ...]
Complaints = Iterator[tuple[str, str]]  # a setting and what is wrong with it


@dataclass(frozen=True)
class KeepLayers:
    """Some of the layers with their weights: a number of them or their numbers from 0."""

    keep: Layers | None = None
    how: str = "uniform"
    encoder: Layers | None = None
    decoder: Layers | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        for name in ("keep", "encoder", "decoder"):
            value = getattr(self, name)
            numbers = isinstance(value, tuple) and bool(value) and all(_whole(n, 0) for n in value)
            if not (value is None or numbers or _whole(value, 1)):
                yield name, f"expected a number of layers or a list of their numbers, got {value!r}"
        if self.how not in HOW:
            yield "how", f"expected one of {', '.join(HOW)}, got {self.how!r}"
        if self.keep is None and self.encoder is None and self.decoder is None:
            yield "keep", "expected how many layers to keep, got nothing"


@dataclass(frozen=True)
class Shrink:
    """Less width, fewer heads, a smaller FFN; the most important units stay."""

    width: int | None = None
    heads: int | None = None
    ffn: int | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        given = [name for name in ("width", "heads", "ffn") if getattr(self, name) is not None]
        for name in given:
            if not _whole(getattr(self, name), 1):
                yield name, f"expected a whole number >= 1, got {getattr(self, name)!r}"
        if not given:
            yield "width", "expected width, heads or ffn, got nothing"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that the training texts need most, tokenizer and embeddings."""

    size: int | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        if not _whole(self.size, 1):
            yield "size", f"expected a number of tokens, got {self.size!r}"


@dataclass(frozen=True)
class MaxLength:
    """Texts are cut at so many tokens (128 without it)."""

    tokens: int | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        if not _whole(self.tokens, 1):
            yield "tokens", f"expected a number of tokens >= 1, got {self.tokens!r}"


@dataclass(frozen=True)
class Static:
    """A vector of `dim` numbers for each token, read off the encoder; their mean, `hidden` layers, linear heads.

    For tasks on embeddings the mean, brought to length 1, is the embedding.
    """

    dim: int = 128
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        yield from _sizes(self, "dim")
        yield from _layers(self)


@dataclass(frozen=True)
class Frozen:
    """The encoder as it is; its mean over tokens goes into linear heads, which alone are trained."""

    def complaints(self) -> Complaints:
        """Nothing can be wrong."""
        yield from ()


@dataclass(frozen=True)
class BagOfWords:
    """The mean of trained embeddings through `hidden` layers.

    `vocabulary` learns a tokenizer of so many lower-cased word pieces; without it the teacher's is taken, and where it
    has none, one of 8,000 is learnt.
    """

    dim: int = 64
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.1
    vocabulary: int | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        yield from _sizes(self, "dim", "vocabulary")
        yield from _layers(self)


@dataclass(frozen=True)
class TextCNN:
    """Convolutions of several widths over embeddings and their maxima over the text (Kim 2014, arXiv:1408.5882).

    For a task on words what they find at each word, without the maxima.
    """

    dim: int = 64
    filters: int = 64
    widths: tuple[int, ...] = (2, 3, 4)
    dropout: float = 0.2
    vocabulary: int | None = None

    def complaints(self) -> Complaints:
        """What is wrong with the settings."""
        yield from _sizes(self, "dim", "filters", "vocabulary")
        yield from _layers(self, "widths")


Step = KeepLayers | Shrink | Vocabulary | MaxLength | Static | Frozen | BagOfWords | TextCNN
STEPS: Mapping[str, type[Step]] = {
    "keep_layers": KeepLayers,
    "shrink": Shrink,
    "vocabulary": Vocabulary,
    "max_length": MaxLength,
    "static": Static,
    "frozen": Frozen,
    "bag_of_words": BagOfWords,
    "text_cnn": TextCNN,
}
NAMES = {cls: name for name, cls in STEPS.items()}


def _sizes(step: Any, *names: str) -> Complaints:
    for name in names:
        value = getattr(step, name)
        if not (value is None and name == "vocabulary") and not _whole(value, 1):
            yield name, f"expected a whole number >= 1, got {value!r}"


def _layers(step: Any, name: str = "hidden") -> Complaints:
    sizes = getattr(step, name)
    if not (isinstance(sizes, tuple) and all(_whole(n, 1) for n in sizes) and (sizes or name == "hidden")):
        yield name, f"expected a list of whole numbers >= 1, got {list(sizes) if isinstance(sizes, tuple) else sizes!r}"
    share = step.dropout
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        yield "dropout", f"expected a number from 0 up to 1, got {share!r}"


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
