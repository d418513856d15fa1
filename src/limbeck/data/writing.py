"""How texts are written and which of a teacher's texts a student learns from: the settings of a generation run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from limbeck.core.errors import Problem
from limbeck.core.specs import at_least, refuse


@dataclass(frozen=True, kw_only=True)
class WriteSpec:
    """How the teacher writes its texts for training, which of them are left out, and how test rows are answered.

    beams           hypotheses of the beam search in which the teacher writes for training; 1 is greedy
    temperature     the teacher draws its texts at this temperature instead; None: no sampling
    test_beams      beams of every arm on validation and test rows
    length_penalty  scores of hypotheses are divided by their length to this power
    max_length      most tokens of a text; a text never gets longer than twice its source and 16 tokens more
    topk            the K most probable tokens at each position are stored once, for losses on the teacher's
                    probabilities (biased: the rest is one bucket); None: it runs beside the student
    tokens          sources and hypotheses of one part of the work, in tokens with their padding
    length_ratio    least and greatest length against the source, in characters; "auto": from half of what 1 % of the
                    references stay below to twice what 1 % exceed, any where fewer than 20 are known; None: any
    repetition      greatest share of words that repeat an earlier pair of words; None: any
    min_logprob     least mean log-probability of a token under the teacher; None: any
    min_similarity  least likeness to the reference (sentence chrF, 0 to 1), where there is one; None: any
    """

    beams: int = 4
    temperature: float | None = None
    test_beams: int = 1
    length_penalty: float = 1.0
    max_length: int = 128
    topk: int | None = None
    tokens: int = 8192
    length_ratio: tuple[float, float] | Literal["auto"] | None = "auto"
    repetition: float | None = 0.5
    min_logprob: float | None = None
    min_similarity: float | None = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 1, "beams", "test_beams", "max_length", "tokens", "topk")
        at_least(problems, self, 0, "temperature", above=True)
        at_least(problems, self, 0, "repetition", "min_similarity", "length_penalty")
        if self.temperature is not None and self.beams > 1:
            what = f"expected beams: 1 with a temperature of {self.temperature}, got {self.beams}"
            problems.append(Problem("beams", what, "a text is either searched for or drawn"))
        ratio = self.length_ratio
        if isinstance(ratio, str) and ratio != "auto":
            problems.append(Problem("length_ratio", f"expected auto or two numbers, got {ratio!r}", "leave it out"))
        elif isinstance(ratio, tuple) and not (len(ratio) == 2 and 0 <= ratio[0] < ratio[1]):
            what = f"expected a least and a greatest ratio, got {list(ratio)}"
            problems.append(Problem("length_ratio", what, "for example [0.2, 5.0]"))
        for name in ("min_logprob",):
            if (value := getattr(self, name)) is not None and not (math.isfinite(value) and value <= 0):
                problems.append(Problem(name, f"expected a log-probability of at most 0, got {value}"))
        refuse(problems, "writing")

    @property
    def decoding(self) -> dict[str, Any]:
        """What decides the teacher's texts: part of their identity."""
        return {
            "beams": self.beams, "temperature": self.temperature, "length_penalty": self.length_penalty,
            "max_length": self.max_length, "tokens": self.tokens,
        }  # fmt: skip

    @property
    def testing(self) -> dict[str, Any]:
        """What decides how every arm answers validation and test rows."""
        return {
            "beams": self.test_beams, "length_penalty": self.length_penalty, "max_length": self.max_length,
            "tokens": self.tokens,
        }  # fmt: skip


def idle_settings(writes: bool, writing: WriteSpec, codec: str, view: bool) -> Iterator[Problem]:
    """Settings that a run would ignore: those of `writing` where no task `writes` texts, others where one does.

    A setting that is left at its default is none.
    """
    default = WriteSpec()
    given = {field.name: getattr(writing, field.name) for field in fields(writing)}
    changed = {name: value for name, value in given.items() if value != getattr(default, name)}
    if changed and not writes:
        got = ", ".join(f"{name} {value}" for name, value in changed.items())
        what = f"expected none for a task that writes no texts, got {got}"
        yield Problem("writing", what, "leave it out; it belongs to task: generation")
    if writes and codec != "auto":
        what = f"expected auto for a task that writes texts, got {codec}"
        yield Problem("codec", what, "leave it out: texts are stored as they are, the most probable tokens in fp16")
    if writes and view:
        what = "expected none for a task that writes texts, got one"
        yield Problem("data.view", what, "leave view and views out: sources are not augmented")
