"""HiddenCosine: turn the student's hidden states into the directions of the teacher's.

Paper      Sanh et al., DistilBERT, a distilled version of BERT, 2019, arXiv:1910.01108
Needs      one tap with positions [B, T, D] of each side, usually the last hidden states; widths may differ
Formula    1 - cos(P h_s, h_t), mean over valid positions
Zero at    every P h_s is a positive multiple of h_t
Defaults   projection "auto": P is there where the widths differ, else the states are compared as they are; the authors
           weigh it 1 beside 5 for the KL at temperature 2 and 2 for the masked language model
Pitfalls   it does not see lengths; padding is left out of sum and count; a state of length 0 has no direction, it
           costs 1 and gets no gradient
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import PairProjectors, projected
from limbeck.objectives.operands import answered
from limbeck.objectives.tokens import directions, same_width, token_pair, token_shapes
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def cosine_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of vectors [..., D]: one value a vector [...]."""
    same_shape(student, teacher)
    return 1 - (directions(raised(student)) * directions(raised(teacher.detach()))).sum(dim=-1)


def cosine_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of 1 - cosine over valid positions of [B, T, D]; `mask` is [B, T]."""
    return masked_mean(cosine_rows(blank(student, mask), blank(teacher, mask)), mask)


@dataclass(frozen=True, kw_only=True)
class HiddenCosine(Objective):
    """Directions of hidden states; `pair` names (tap of the student, tap of the teacher)."""

    pair: tuple[str, str]
    projection: Literal["auto", "none"] = "auto"
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True, tokens=True)

    def __post_init__(self) -> None:
        Fields(self).pair("pair").choice("projection", ("auto", "none")).check()

    def student_needs(self) -> Needs:
        return Needs(taps=(self.pair[0],))

    def teacher_needs(self) -> Needs:
        return Needs(taps=(self.pair[1],))

    def heads(self, shapes: Shapes) -> nn.Module | None:
        found = PairProjectors(token_shapes(shapes, [self.pair]), "auto")
        return found if found.trains and self.projection == "auto" else None

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        own, answers, valid = token_pair(student, answered(teacher), self.pair)
        own = projected(head, own)
        same_width(own, answers, self.pair)
        return weigh(cosine_rows(own, answers), batch, valid)
