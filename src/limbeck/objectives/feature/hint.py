"""Hint: match an inner feature of the teacher through a projector that is trained along.

Paper      Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015, arXiv:1412.6550
Needs      one tap of each side: vectors [B, D], tokens [B, T, D] or maps [B, D, H, W]; widths and sizes may differ
Formula    mean over entries of (P(f_s) - f_t)^2, P linear on vectors and tokens, a 1x1 convolution on maps
Zero at    P(student) == teacher; the projector starts as the identity where the widths agree
Defaults   projector "auto" (one is made); the CIFAR runs of CRD weigh it 100
Pitfalls   the scale of features is the teacher's own, so weights do not carry over between pairs; between different
           architectures hints of inner maps often hurt; maps of another size are pooled or interpolated after P
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import Projector, shapes_of_pair, tap_of
from limbeck.objectives.operands import answered
from limbeck.objectives.weighing import blank, masked_mean, valid_mask, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def hint_rows(student: Tensor, teacher: Tensor, positions: bool = False) -> Tensor:
    """Squared distance of taps of one shape, mean over entries: one value a row, or a position [B, T]."""
    same_shape(student, teacher)
    gap = (raised(student) - raised(teacher.detach())).square()
    return gap.mean(dim=-1) if positions else gap.flatten(1).mean(dim=1)


def hint_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared distance of taps of one shape; with a mask [B, T], over valid positions of [B, T, D]."""
    return masked_mean(hint_rows(blank(student, mask), blank(teacher, mask), mask is not None), mask)


@dataclass(frozen=True, kw_only=True)
class Hint(Objective):
    """An inner feature of the teacher; `pair` names (tap of the student, tap of the teacher)."""

    pair: tuple[str, str]
    projector: Literal["auto", "none"] = "auto"
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True)

    def __post_init__(self) -> None:
        Fields(self).pair("pair").choice("projector", ("auto", "none")).check()

    def student_needs(self) -> Needs:
        return Needs(taps=(self.pair[0],))

    def teacher_needs(self) -> Needs:
        return Needs(taps=(self.pair[1],))

    def heads(self, shapes: Shapes) -> nn.Module | None:
        if self.projector == "none":
            return None
        return Projector(*shapes_of_pair(shapes.student_taps, shapes.teacher_taps, self.pair))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        answers = tap_of(teacher, self.pair[1], "teacher").detach()
        mask = valid_mask(student, teacher, answers)
        own = blank(tap_of(student, self.pair[0], "student"), mask)
        own = own if head is None else head(own)
        return weigh(hint_rows(own, blank(answers, mask), mask is not None), batch, mask)
