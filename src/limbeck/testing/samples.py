"""Inputs for the contract suite: the signals and the batch that an objective asks for, of any size and dtype."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.runtime import seeded
from limbeck.objectives.base import Objective, Shapes, mean_of
from limbeck.objectives.weighing import shape_of
from limbeck.signals import MAIN, Batch, Needs, Output, Signals

SOME_POSITIONS = 4


@dataclass(frozen=True)
class Sample:
    """One batch with the signals of both sides and the head of the objective."""

    objective: Objective
    student: Signals
    teacher: Signals
    batch: Batch
    head: nn.Module | None

    def parts(self) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        return self.objective.loss(self.student, self.teacher, self.batch, self.head)

    def value(self) -> Tensor:
        """The mean."""
        return mean_of(*self.parts())

    def measured(self) -> tuple[float, list[Tensor]]:
        """The mean and its gradient with respect to every signal of the student."""
        fresh, leaves = self.with_leaves()
        value = fresh.value()
        grads = torch.autograd.grad(value, leaves, allow_unused=True)
        filled = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]
        return float(value.detach()), filled

    def with_leaves(self) -> tuple[Sample, list[Tensor]]:
        """The same with the student's tensors as leaves of a fresh graph, and these leaves."""
        leaves: list[Tensor] = []

        def leaf(value: Tensor) -> Tensor:
            leaves.append(value.detach().clone().requires_grad_())
            return leaves[-1]

        return self.student_as(leaf), leaves

    def student_as(self, change: Callable[[Tensor], Tensor]) -> Sample:
        """The same with every tensor of the student's outputs and taps changed."""
        return dataclasses.replace(self, student=_mapped(self.student, change))

    def teacher_as(self, change: Callable[[Tensor], Tensor]) -> Sample:
        """The same with every tensor of the teacher's outputs and taps changed."""
        return dataclasses.replace(self, teacher=_mapped(self.teacher, change))

    def rows(self, index: Tensor) -> Sample:
        """Some rows, in that order."""
        pick = _Picker(index)
        batch = dataclasses.replace(
            self.batch,
            keys=self.batch.keys[index.numpy()],
            targets=pick.all(self.batch.targets),
            label_mask=pick.all(self.batch.label_mask),
            weight=pick(self.batch.weight),
        )
        return dataclasses.replace(
            self, student=pick.signals(self.student), teacher=pick.signals(self.teacher), batch=batch
        )

    def with_batch(self, **changes: Any) -> Sample:
        """The same with other fields of the batch."""
        return dataclasses.replace(self, batch=dataclasses.replace(self.batch, **changes))


class _Picker:
    """Takes rows of whatever has rows."""

    def __init__(self, index: Tensor) -> None:
        self.index = index

    def __call__(self, value: Tensor | None) -> Tensor | None:
        return None if value is None else value[self.index]

    def all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value[self.index] for name, value in values.items()}

    def signals(self, signals: Signals) -> Signals:
        return dataclasses.replace(
            signals, outputs=self.all(signals.outputs), taps=self.all(signals.taps), mask=self(signals.mask)
        )


def make_sample(
    objective: Objective,
    *,
    rows: int = 6,
    classes: int = 7,
    positions: int = 0,
    widths: tuple[int, int] = (5, 5),
    scale: float = 2.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    weighted: bool = False,
) -> Sample:
    """Random signals of the size that an objective asks for; `positions` adds the dimension T and a ragged mask.

    An objective that takes nothing but tokens always gets positions, one on texts none.
    Widths are taken times the number of its heads.
    """
    positions = positions or (SOME_POSITIONS if objective.traits.tokens else 0)
    positions = 0 if objective.traits.texts else positions
    own, other = (width * heads for width, heads in zip(widths, objective.multiples, strict=True))
    draw = torch.Generator().manual_seed(seed)
    lead = (rows, positions) if positions else (rows,)

    texts, each = objective.traits.texts, objective.traits.answers_per_label
    mine, theirs = (2 * own, 2 * other) if texts else (classes * each, classes * each)  # of outputs

    def normal(width: int) -> Tensor:
        return (scale * torch.randn(*lead, width, generator=draw, dtype=torch.float64)).to(dtype)

    mask = None
    if positions:
        mask = torch.arange(positions)[None, :] < torch.randint(1, positions + 1, (rows, 1), generator=draw)
    on = getattr(objective, "on", MAIN)
    student_needs, teacher_needs = objective.student_needs(), objective.teacher_needs()
    names = tuple(dict.fromkeys((on, *student_needs.outputs, *teacher_needs.outputs)))
    student = Signals({n: normal(mine) for n in names}, {t: normal(own) for t in student_needs.taps}, mask=mask)
    teacher = Signals({n: normal(theirs) for n in names}, {t: normal(other) for t in teacher_needs.taps}, mask=mask)
    targets, label_mask = _labels(objective, on, lead, classes, draw, dtype)
    batch = Batch(
        keys=np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1),
        targets=targets,
        label_mask={name: known if mask is None else known & mask for name, known in label_mask.items()},
        weight=torch.randint(1, 8, (rows,), generator=draw) / 4 if weighted else None,
    )
    return Sample(objective, student, teacher, batch, make_head(objective, student, teacher, dtype))


def _labels(
    objective: Objective, on: str, lead: tuple[int, ...], classes: int, draw: torch.Generator, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    kind = objective.traits.labels
    if kind == "none":
        return {}, {}
    if kind == "class":
        target = torch.randint(0, classes, lead, generator=draw)
    elif kind == "sequence":
        known = (torch.arange(lead[1]) % 2 == 0).expand(lead)
        return {on: torch.randint(1, classes, lead, generator=draw)}, {on: known.clone()}
    elif kind == "multilabel":
        target = torch.randint(0, 2, (*lead, classes), generator=draw).to(torch.float32)
    else:
        classes = 1 if kind == "score" else classes
        target = torch.randn(*lead, classes, generator=draw, dtype=torch.float64).to(dtype)
    return {on: target}, {on: torch.ones(lead, dtype=torch.bool)}


def make_head(
    objective: Objective, student: Signals, teacher: Signals, dtype: torch.dtype, seed: int = 0
) -> nn.Module | None:
    """The head of an objective for signals of these shapes, from a seed."""
    with seeded(seed):
        projections: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name, output in teacher.outputs.items():
            for tap in list(teacher.taps.values())[:1]:
                width = tap.shape[1] if tap.dim() == 4 else tap.shape[-1]
                projections[name] = (torch.randn(shape_of(output)[-1], width), None)
        shapes = Shapes(
            student_taps={name: tuple(tap.shape[1:]) for name, tap in student.taps.items()},
            teacher_taps={name: tuple(tap.shape[1:]) for name, tap in teacher.taps.items()},
            student_outputs={name: shape_of(output)[1:] for name, output in student.outputs.items()},
            teacher_outputs={name: shape_of(output)[1:] for name, output in teacher.outputs.items()},
            projections=projections,
        )
        head = objective.heads(shapes)
    return None if head is None else head.to(dtype)


def equal_sides(sample: Sample) -> Sample:
    """The same with a teacher that says what the student says."""
    taps = dict(zip(sample.teacher.taps, sample.student.taps.values(), strict=False))
    said = Signals(sample.student.outputs, taps, mask=sample.student.mask)
    return dataclasses.replace(sample, teacher=said)


def asked_for(signals: Signals, needs: Needs) -> Signals:
    """Only what was asked for; the rest is gone."""
    outputs = {name: signals.outputs[name] for name in needs.outputs}
    return dataclasses.replace(signals, outputs=outputs, taps={name: signals.taps[name] for name in needs.taps})


def _mapped(signals: Signals, change: Callable[[Tensor], Tensor]) -> Signals:
    def each(value: Output) -> Output:
        return change(value) if isinstance(value, Tensor) else value

    outputs = {name: each(value) for name, value in signals.outputs.items()}
    return dataclasses.replace(signals, outputs=outputs, taps={n: change(tap) for n, tap in signals.taps.items()})
