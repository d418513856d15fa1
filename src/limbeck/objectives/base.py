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

from torch import Tensor, nn

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.objectives.weighing import labelled_weight, mean_of, positions, total_weight, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals

__all__ = [
    "FunctionTerm", "LossFunction", "Objective", "Ramp", "Shapes", "Sum", "Term", "Traits", "Weight",
    "as_sum", "labelled_weight", "mean_of", "ramp", "term", "total_weight", "weigh",
]  # fmt: skip


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
    constant_at_equal    else: why it is not ("the teacher's entropy", "labels")
    temperature_squared  "gradient": scale is constant in T for T >> logits; "none": there is no temperature
    shift_invariant      adding a constant to all logits of a row changes nothing
    row_wise             the loss of a batch is the sum of the losses of its rows (False where `batchwise`)
    unequal_widths       student and teacher taps may differ in width
    labels               which targets it reads: "none", "class", "multilabel", "real", "score" (one number a row) or
                         "sequence" (class ids above 0, fewer than there are positions)
    direction            "forward": the gradient is affine in the teacher's probabilities, as in KL(teacher || student);
                         "reverse": it is affine in the teacher's log-probabilities, as in KL(student || teacher)
    sums_over_classes    a class that neither side believes in changes nothing: the sum over classes is no mean
    independent_labels   its classes are independent labels (sigmoid), not one choice (softmax)
    positions            it takes outputs or taps with positions [B, T, ...] and a mask [B, T]
    tokens               it takes nothing else: every tap has positions [B, T, D]
    texts                its outputs are the embeddings of both texts of a row side by side, [B, 2·D]
    answers_per_label    numbers of an output for each label, side by side: quantiles, a mean and a variance
    """

    zero_at_equal: bool = True
    constant_at_equal: str = ""
    temperature_squared: str = "none"
    shift_invariant: bool = False
    row_wise: bool = True
    unequal_widths: bool = False
    labels: str = "none"
    direction: str = ""
    sums_over_classes: bool = False
    independent_labels: bool = False
    positions: bool = True
    tokens: bool = False
    texts: bool = False
    answers_per_label: int = 1


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A loss as a value. Subclasses add hyper-parameters as fields and write `loss`."""

    batchwise: ClassVar[bool] = False
    least_rows: ClassVar[int] = 1  # of a batch, for a loss that compares its rows
    kinds: ClassVar[tuple[str, ...]] = ()  # kinds of task that it is made for; empty: any
    traits: ClassVar[Traits] = Traits()

    @property
    def name(self) -> str:
        """Short name for logs, the lower-case class name."""
        return type(self).__name__.lower()

    @property
    def teaches(self) -> bool:
        """Whether the teacher has a part in this loss; terms that do not are all that the control keeps."""
        return self.teacher_needs() != Needs()

    @property
    def multiples(self) -> tuple[int, int]:
        """What the widths of the student's and of the teacher's taps must be multiples of: numbers of heads."""
        return 1, 1

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
        """Total weight of what `loss` sums over, known before the student has run (scalar).

        Equal to the count that `loss` returns: rows, or valid positions where the teacher answers position by position.
        """
        return total_weight(batch, self.counted(teacher) if teacher is not None else None)

    def counted(self, teacher: Signals) -> Tensor | None:
        """The mask [B, T] over what counts, from the first thing that the loss asks of the teacher; None: rows."""
        needs = self.teacher_needs()
        for name in needs.outputs:
            return positions(teacher.outputs[name], teacher.mask_of(name))
        for name in needs.taps:
            return positions(teacher.taps[name], teacher.mask)
        return None

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
        return as_sum(self) if other == 0 else as_sum(other)  # type: ignore[arg-type]  # 0: the start of sum([...])


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

    @property
    def mean(self) -> float:
        """The weight averaged over training."""
        moving = (self.start + self.end) / 2 * (self.until - self.begin)
        return self.start * self.begin + moving + self.end * (1 - self.until)

    def __mul__(self, other: Objective | Sum) -> Sum:
        terms = as_sum(other).terms
        if any(isinstance(each.weight, Ramp) for each in terms):
            raise ConfigError("expected plain weights in a sum that a ramp multiplies, got a ramp", "keep one of them")
        return Sum(tuple(Term(self._scaled(each.weight_at(0.0)), each.objective) for each in terms))

    __rmul__ = __mul__

    def _scaled(self, factor: float) -> Ramp:
        return self if factor == 1 else Ramp(self.start * factor, self.end * factor, self.until, self.begin)


def ramp(start: float, end: float, *, until: float = 1.0, begin: float = 0.0) -> Ramp:
    """A weight that moves linearly: `ramp(0, 0.9, until=0.2) * KD()` reaches 0.9 after a fifth of the steps."""
    return Ramp(start, end, until, begin)


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
        return self if other == 0 else as_sum(other)  # type: ignore[arg-type]

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


LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class FunctionTerm(Objective):
    """A user's function of (student logits, teacher logits) that returns one loss per row [B]."""

    fn: LossFunction
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(zero_at_equal=False, constant_at_equal="a user's function", positions=False)

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
            raise ShapeMismatch(
                f"expected `{self.name}` to return one loss per row, shape ({len(batch)},), got {tuple(values.shape)}",
                "do not reduce over the batch in a function given to lb.term: the trainer divides by the global count",
            )
        return weigh(values, batch)


def term(fn: LossFunction, *, on: str = MAIN) -> FunctionTerm:
    """Make an objective of a function (student logits [B, C], teacher logits [B, C]) -> losses [B]."""
    return FunctionTerm(fn=fn, on=on)
