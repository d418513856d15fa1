"""Students of text by name: a chain of steps, parsed and never evaluated.

    keep_layers(2)                                     the run's teacher with two of its layers
    hf:FOLDER | keep_layers(3, how='importance') | vocabulary(8000)
    vocabulary(8000) | static(dim=64)                  one vector for each token, read off the teacher
    keep_layers(2) | frozen                            its encoder as it is, linear heads are trained
    bag_of_words(dim=64, hidden=[64]) | max_length(64) nothing of a teacher but its tokenizer

A chain without a base starts from the run's teacher, as it is after it was taught. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest

PREFIX = "hf:"
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
    """A vector of `dim` numbers for each token, read off the encoder; their mean, `hidden` layers, linear heads."""

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
    """Convolutions of several widths over embeddings and their maxima over the text (Kim 2014, arXiv:1408.5882)."""

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
_NAMES = {cls: name for name, cls in STEPS.items()}
_LAST, _FIRST = (Static, Frozen), (BagOfWords, TextCNN)
_BY_PLACE = (KeepLayers, Vocabulary, MaxLength)  # their first setting is written without its name
_EXAMPLE = "for example keep_layers(2) | vocabulary(8000), or hf:FOLDER | static(dim=64)"


@dataclass(frozen=True)
class Chain:
    """A base ("hf:..." or "" for the run's teacher) and the steps that are done to it, in their order."""

    base: str
    steps: tuple[Step, ...]

    EXAMPLE: ClassVar[str] = _EXAMPLE

    @classmethod
    def parse(cls, text: str) -> Chain:
        """Read a chain; raises ConfigError with every problem in it."""
        parts = [part.strip() for part in text.split("|")]
        base = parts.pop(0) if parts[0].startswith(PREFIX) else ""
        problems: list[Problem] = []
        steps: list[Step] = []
        for part in parts:
            step = _step(part, problems)
            if step is not None:
                steps.append(step)
        if base == PREFIX:
            problems.append(Problem("hf:", "expected a folder or a name after hf:, got nothing"))
        problems += _in_order(base, steps)
        if problems:
            raise ConfigError.of(problems, f"the student '{text}'")
        return cls(base, tuple(steps))

    def __str__(self) -> str:
        return " | ".join([*([self.base] if self.base else []), *map(spelled, self.steps)])

    @property
    def from_nothing(self) -> bool:
        """Whether it takes no weights of another model."""
        return bool(self.steps) and isinstance(self.steps[0], _FIRST)

    @property
    def wants_teacher(self) -> bool:
        """Whether it is made of the run's teacher."""
        return not self.base and not self.from_nothing

    @property
    def max_length(self) -> int | None:
        """Where texts are cut, where it is said."""
        return next((step.tokens for step in self.steps if isinstance(step, MaxLength)), None)


def spelled(step: Step) -> str:
    """A step as it is written, without settings that have their defaults; equal steps have equal texts."""
    first, *_ = [f.name for f in fields(step)] or [""]
    written = []
    for f in fields(step):
        value = getattr(step, f.name)
        if value != f.default:
            shown = repr(list(value) if isinstance(value, tuple) else value)
            written.append(shown if f.name == first and isinstance(step, _BY_PLACE) else f"{f.name}={shown}")
    return f"{_NAMES[type(step)]}({', '.join(written)})" if written else _NAMES[type(step)]


def is_chain(text: str, others: Sequence[str] = ()) -> bool:
    """Whether a text is a chain or was meant as one; `others` are names that mean something else."""
    name = text.partition("|")[0].partition("(")[0].strip()
    if "|" in text or name in STEPS or text.startswith(PREFIX):
        return True
    if ":" in text or name in others:
        return False
    near = suggest(name, [*others, *STEPS])
    return any(near == f"did you mean '{step}'?" for step in STEPS)


def chain_problems(text: str, where: str) -> Iterator[Problem]:
    """What is wrong with a chain, as problems of a recipe."""
    try:
        Chain.parse(text)
    except ConfigError as error:
        for problem in error.problems:
            yield Problem(where, f"{problem.where}: {problem.what}", problem.todo.replace("\n", "; "))


def _in_order(base: str, steps: Sequence[Step]) -> Iterator[Problem]:
    for number, step in enumerate(steps):
        name = _NAMES[type(step)]
        if any(type(other) is type(step) for other in steps[:number]):
            yield Problem(name, "expected each step once, got it twice", "write it once")
        elif isinstance(step, _FIRST) and (base or number):
            yield Problem(name, "expected it at the start, it is made of no other model", f"write {name}(...) alone")
        after = [_NAMES[type(other)] for other in steps[number + 1 :] if not isinstance(other, MaxLength)]
        if isinstance(step, (*_LAST, *_FIRST)) and after:
            yield Problem(name, f"expected nothing but max_length after it, got {', '.join(after)}", "move it back")


def _step(text: str, problems: list[Problem]) -> Step | None:
    wrong = Problem(text or "|", "expected a step such as keep_layers(2)", _EXAMPLE)
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        problems.append(wrong)
        return None
    call = ast.Call(node, [], []) if isinstance(node, ast.Name) else node
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or len(call.args) > 1:
        problems.append(wrong)
        return None
    name = call.func.id
    if name not in STEPS:
        problems.append(
            Problem(name, f"there is no step '{name}'", suggest(name, STEPS) or f"known: {', '.join(STEPS)}")
        )
        return None
    return _made(name, call, problems)


def _made(name: str, call: ast.Call, problems: list[Problem]) -> Step | None:
    cls = STEPS[name]
    known = [f.name for f in fields(cls)]
    given: dict[str, Any] = {}
    before = len(problems)
    for key, node in [
        *((known[0] if known else "", arg) for arg in call.args),
        *((k.arg, k.value) for k in call.keywords),
    ]:
        place = f"{name}.{key}"
        if key not in known:
            problems.append(
                Problem(
                    place, "unknown setting", suggest(str(key), known) or f"known here: {', '.join(known) or 'nothing'}"
                )
            )
            continue
        if key in given:
            problems.append(Problem(place, "expected a value once, got it twice"))
        try:
            value = ast.literal_eval(node)
        except ValueError:
            problems.append(Problem(place, "expected a number, a text or a list", _EXAMPLE))
            continue
        given[str(key)] = tuple(value) if isinstance(value, list) else value
    if len(problems) > before:
        return None
    step = cls(**given)
    problems += [Problem(f"{name}.{key}", what) for key, what in step.complaints()]
    return step if len(problems) == before else None


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


def base_name(base: str) -> str:
    """The folder or name behind "hf:"."""
    return re.sub(f"^{PREFIX}", "", base)
