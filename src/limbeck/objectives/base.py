"""The base of every loss: an objective is a value; objectives are weighted and added.

    0.1 * CE() + 0.9 * KD(temperature=4)

Four rules make an objective:
1. its fields are its hyper-parameters and nothing else; it is frozen, equal values are equal objects;
2. it declares what it needs from the student and from the teacher;
3. `loss` returns a sum and a count, never a mean: whoever calls it divides by the count over everything that
   belongs to one step (micro-batches, ranks);
4. modules that it trains come from `heads`; somebody else owns, moves, saves and drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.signals import MAIN, Batch, Needs, Signals



@dataclass(frozen=True)
class Shapes:
    """What `heads` may know: shapes without the batch dimension, and the teacher's last layers where they are open.

    `projections` maps an output of the teacher to its (weight [C, E], bias [C] or None).
    """

    student_taps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    teacher_taps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    student_outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    teacher_outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    projections: Mapping[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Traits:
    """What a loss promises about itself; the contract suite holds it to every word.

    zero_at_equal        the loss is 0 where the student says what the teacher says
    constant_at_equal    else: why it is not ("entropy of the teacher", "labels")
    temperature_squared  "gradient": scale is constant in T for T >> logits; "none": there is no temperature
    shift_invariant      adding a constant to all logits of a row changes nothing
    row_wise             the loss of a batch is the sum of the losses of its rows (False where `batchwise`)
    unequal_widths       student and teacher taps may differ in width
    labels               which targets it reads: "none", "class", "multilabel" or "real"
    """

    zero_at_equal: bool = True
    constant_at_equal: str = ""
    temperature_squared: str = "none"
    shift_invariant: bool = False
    row_wise: bool = True
    unequal_widths: bool = False
    labels: str = "none"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A loss as a value. Subclasses add hyper-parameters as fields and write `loss`."""

    batchwise: ClassVar[bool] = False
    traits: ClassVar[Traits] = Traits()

    @property
    def name(self) -> str:
        """Short name for logs, the lower-case class name."""
        return type(self).__name__.lower()

    @property
    def teaches(self) -> bool:
        """Whether the teacher has a part in this loss; terms that do not are all that the control keeps."""
        return self.teacher_needs() != Needs()

    def student_needs(self) -> Needs:
        """What the student must give."""
        raise NotImplementedError(f"{type(self).__name__} must say what it needs from the student")

    def teacher_needs(self) -> Needs:
        """What the teacher must give; nothing by default."""
        return Needs()

    def heads(self, shapes: Shapes) -> nn.Module | None:
        """Modules to train beside the student; a head with `keep = True` stays in the saved student."""
        return None

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        """Total weight of what `loss` sums over, known before the student has run (scalar)."""
        return total_weight(batch, teacher.mask if teacher is not None else None)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        """Return (sum, count) over the batch."""
        raise NotImplementedError(f"{type(self).__name__} must define its loss")

    def __mul__(self, weight: Weight) -> Sum:
        return Sum((Term(weight, self),))

    def __rmul__(self, weight: Weight) -> Sum:
        return Sum((Term(weight, self),))

    def __add__(self, other: Objective | Sum) -> Sum:
        return as_sum(self) + as_sum(other)

    def __radd__(self, other: int) -> Sum:
        return as_sum(self)


@dataclass(frozen=True)
class Ramp:
    """A weight that moves linearly from `start` to `end` between the fractions `begin` and `until` of the steps."""

    start: float
    end: float
    until: float = 1.0
    begin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.until <= 1:
            raise ConfigError(
                f"expected 0 <= begin < until <= 1 in a ramp, got begin={self.begin} and until={self.until}",
                "both are fractions of the training steps",
            )

    def at(self, progress: float) -> float:
        """The weight at a fraction of training (0 to 1)."""
        share = (progress - self.begin) / (self.until - self.begin)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def __mul__(self, objective: Objective) -> Sum:
        return Sum((Term(self, objective),))


Weight: TypeAlias = float | Ramp


@dataclass(frozen=True)
class Term:
    """An objective with its weight in a sum."""

    weight: Weight
    objective: Objective

    def weight_at(self, progress: float) -> float:
        """The weight at a fraction of training (0 to 1)."""
        return self.weight.at(progress) if isinstance(self.weight, Ramp) else float(self.weight)


@dataclass(frozen=True)
class Sum:
    """A weighted sum of objectives: what a student is trained on."""

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        for term in self.terms:
            values = (term.weight.start, term.weight.end) if isinstance(term.weight, Ramp) else (term.weight,)
            for value in values:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                    raise ConfigError(
                        f"expected the weight of {term.objective.name} to be a finite number >= 0, got {value!r}",
                        "write it before the term, as in 0.1 * CE() + 0.9 * KD()",
                    )

    def __add__(self, other: Objective | Sum) -> Sum:
        return Sum(self.terms + as_sum(other).terms)

    def __radd__(self, other: int) -> Sum:
        return self

    def __mul__(self, weight: float) -> Sum:
        if any(isinstance(term.weight, Ramp) for term in self.terms):
            raise ConfigError(
                "expected plain weights in a sum that is multiplied, got a ramp",
                "multiply the ends of the ramp instead",
            )
        return Sum(tuple(Term(weight * float(term.weight), term.objective) for term in self.terms))  # type: ignore[arg-type]

    __rmul__ = __mul__

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def labels(self) -> tuple[str, ...]:
        """A distinct name for each term: "ce", "kd", "kd-2"."""
        seen: dict[str, int] = {}
        names = []
        for term in self.terms:
            base = term.objective.name
            seen[base] = seen.get(base, 0) + 1
            names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
        return tuple(names)

    def student_needs(self) -> Needs:
        """What all terms together need from the student."""
        return _all_needs(term.objective.student_needs() for term in self.terms)

    def teacher_needs(self) -> Needs:
        """What all terms together need from the teacher."""
        return _all_needs(term.objective.teacher_needs() for term in self.terms)

    def without_teacher(self) -> Sum:
        """The terms in which the teacher has no part: what the control is trained on."""
        return Sum(tuple(term for term in self.terms if not term.objective.teaches))

    @property
    def batchwise(self) -> bool:
        """Whether a term looks at the relations within a batch."""
        return any(term.objective.batchwise for term in self.terms)


def as_sum(value: Objective | Sum) -> Sum:
    """Turn a single objective into a sum of weight 1."""
    if isinstance(value, Sum):
        return value
    if isinstance(value, Objective):
        return Sum((Term(1.0, value),))
    raise ConfigError(
        f"expected an objective or a sum of objectives, got {type(value).__name__}",
        "write for example 0.1 * CE() + 0.9 * KD(temperature=4), or wrap a function with lb.term(fn)",
    )


def _all_needs(needs: Iterator[Needs]) -> Needs:
    total = Needs()
    for need in needs:
        total = total | need
    return total


def total_weight(batch: Batch, mask: Tensor | None = None) -> Tensor:
    """Total weight of the rows of a batch, or of its valid positions where there is a mask [B, T] (scalar)."""
    if mask is None:
        if batch.weight is not None:
            return batch.weight.sum()
        return torch.tensor(float(len(batch)))
    weights = mask.to(torch.float32)
    if batch.weight is not None:
        weights = weights * batch.weight[:, None]
    return weights.sum()


def weigh(losses: Tensor, batch: Batch, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum per-row losses [B] or per-position losses [B, T] under the row weights and the mask.

    Masked positions contribute nothing to value or gradient, whatever stands there, NaN included.
    """
    if mask is not None:
        losses = torch.where(mask, losses, torch.zeros_like(losses))
    if batch.weight is not None:
        weight = batch.weight.to(losses.dtype)
        losses = losses * (weight if losses.dim() == 1 else weight[:, None])
    return losses.sum(), total_weight(batch, mask)


def labelled_weight(batch: Batch, on: str = MAIN) -> Tensor:
    """Total weight of the rows (or positions) that carry a label for one task (scalar)."""
    mask = batch.label_mask.get(on)
    if mask is None:
        return total_weight(batch)
    weights = mask.to(torch.float32)
    if batch.weight is not None:
        weights = weights * (batch.weight if mask.dim() == 1 else batch.weight[:, None])
    return weights.sum()


LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class FunctionTerm(Objective):
    """A user's function of (student logits, teacher logits) that returns one loss per row [B]."""

    fn: LossFunction
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(zero_at_equal=False, constant_at_equal="a user's function")

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.fn, "__name__", "function")

    def student_needs(self) -> Needs:
        return Needs(outputs=(self.on,))

    def teacher_needs(self) -> Needs:
        return Needs(outputs=(self.on,))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        assert teacher is not None
        values = self.fn(student.outputs[self.on], teacher.outputs[self.on])  # type: ignore[arg-type]
        if values.shape != (len(batch),):
            raise ConfigError(
                f"expected `{self.name}` to return one loss per row, shape ({len(batch)},), got {tuple(values.shape)}",
                "do not reduce over the batch in a function given to lb.term: the trainer divides by the global count",
            )
        return weigh(values, batch)


def term(fn: LossFunction, *, on: str = MAIN) -> FunctionTerm:
    """Make an objective of a function (student logits [B, C], teacher logits [B, C]) -> losses [B]."""
    return FunctionTerm(fn=fn, on=on)
