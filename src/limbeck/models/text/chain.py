"""Students of text by name: a chain of steps, parsed and never evaluated.

    keep_layers(2)                                     the run's teacher with two of its layers
    hf:FOLDER | keep_layers(3, how='importance') | vocabulary(8000)
    vocabulary(8000) | static(dim=64)                  one vector for each token, read off the teacher
    keep_layers(2) | frozen                            its encoder as it is, linear heads are trained
    bag_of_words(dim=64, hidden=[64]) | max_length(64) nothing of a teacher but its tokenizer
    st:FOLDER | keep_layers(2)                         a model of sentence-transformers, for tasks on embeddings

A chain without a base starts from the run's teacher, as it is after it was taught. Nothing here imports torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest
from limbeck.models.text.steps import (
    NAMES,
    STEPS,
    BagOfWords,
    Frozen,
    KeepLayers,
    MaxLength,
    Static,
    Step,
    TextCNN,
    Vocabulary,
)

PREFIX, SENTENCES = "hf:", "st:"  # of transformers, of sentence-transformers
BASES = (PREFIX, SENTENCES)
_LAST, _FIRST = (Static, Frozen), (BagOfWords, TextCNN)
_BY_PLACE = (KeepLayers, Vocabulary, MaxLength)  # their first setting is written without its name
_EXAMPLE = "for example keep_layers(2) | vocabulary(8000), or hf:FOLDER | static(dim=64)"


@dataclass(frozen=True)
class Chain:
    """A base ("hf:...", "st:..." or "" for the run's teacher) and the steps that are done to it, in their order."""

    base: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Chain:
        """Read a chain; raises ConfigError with every problem in it."""
        parts = [part.strip() for part in text.split("|")]
        base = parts.pop(0) if parts[0].startswith(BASES) else ""
        problems: list[Problem] = []
        steps: list[Step] = []
        for part in parts:
            step = _step(part, problems)
            if step is not None:
                steps.append(step)
        if base in BASES:
            problems.append(Problem(base, f"expected a folder or a name after {base}, got nothing"))
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
    return f"{NAMES[type(step)]}({', '.join(written)})" if written else NAMES[type(step)]


def is_chain(text: str, others: Sequence[str] = ()) -> bool:
    """Whether a text is a chain or was meant as one; `others` are names that mean something else."""
    name = text.partition("|")[0].partition("(")[0].strip()
    if "|" in text or name in STEPS or text.startswith(BASES):
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
        name = NAMES[type(step)]
        if any(type(other) is type(step) for other in steps[:number]):
            yield Problem(name, "expected each step once, got it twice", "write it once")
        elif isinstance(step, _FIRST) and (base or number):
            yield Problem(name, "expected it at the start, it is made of no other model", f"write {name}(...) alone")
        after = [NAMES[type(other)] for other in steps[number + 1 :] if not isinstance(other, MaxLength)]
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


def base_name(base: str) -> str:
    """The folder or name behind "hf:" or "st:"."""
    return base.partition(":")[2]
