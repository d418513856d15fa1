"""PKD: match the first token's states of several layers, brought to length 1.

Paper      Sun et al., Patient Knowledge Distillation for BERT Model Compression, EMNLP 2019, arXiv:1908.09355
Needs      taps of both sides in pairs, tokens [B, T, D] or states [B, D]; widths may differ
Formula    sum over pairs of ||P h_s / |P h_s| - h_t / |h_t| ||^2, h the first valid position; mean over rows
Zero at    every P h_s is a positive multiple of h_t
Defaults   projection "auto": P is there where the widths differ; the paper pairs every other layer of the teacher with
           the student's but for the last (`layer_map`), and weighs the term 10 to 1000
Pitfalls   it is twice 1 - cosine, a sum over entries and no mean; with padding on the left the first token is not
           position 0; a state of length 0 gets no gradient
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import PairProjectors, projected, tap_of
from limbeck.objectives.operands import answered
from limbeck.objectives.tokens import directions, first_tokens, same_width, token_pair, token_shapes
from limbeck.objectives.weighing import masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def pkd_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the directions of states [B, D], sum over entries: one value a row [B]."""
    same_shape(student, teacher)
    return (directions(raised(student)) - directions(raised(teacher.detach()))).square().sum(dim=-1)


def pkd_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over rows of the squared distance of directions: of states [B, D], or the first valid of [B, T, D]."""
    if student.dim() != 3:
        return pkd_rows(student, teacher).mean()
    if mask is None:
        mask = torch.ones(student.shape[:2], dtype=torch.bool, device=student.device)
    return masked_mean(pkd_rows(first_tokens(student, mask), first_tokens(teacher, mask)), mask.any(dim=1))


@dataclass(frozen=True, kw_only=True)
class PKD(Objective):
    """First tokens over `pairs` of (tap of the student, tap of the teacher)."""

    pairs: tuple[tuple[str, str], ...]
    projection: Literal["auto", "none"] = "auto"
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True)

    def __post_init__(self) -> None:
        Fields(self).pairs("pairs").choice("projection", ("auto", "none")).check()

    def student_needs(self) -> Needs:
        return Needs(taps=tuple(dict.fromkeys(own for own, _ in self.pairs)))

    def teacher_needs(self) -> Needs:
        return Needs(taps=tuple(dict.fromkeys(other for _, other in self.pairs)))

    def heads(self, shapes: Shapes) -> nn.Module | None:
        found = PairProjectors(token_shapes(shapes, self.pairs, dims=(1, 2)), "auto")
        return found if found.trains and self.projection == "auto" else None

    def counted(self, teacher: Signals) -> Tensor | None:
        """Rows with a valid position."""
        valid = super().counted(teacher)
        return None if valid is None else valid.any(dim=1)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        losses = []
        for number, pair in enumerate(self.pairs):
            own, answers = _first(student, teacher, pair)
            own = projected(head, own, number)
            same_width(own, answers, pair)
            losses.append(pkd_rows(own, answers))
        return weigh(torch.stack(losses).sum(dim=0), batch, self.counted(teacher))


def _first(student: Signals, teacher: Signals, pair: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """The states [B, D] of a pair; the teacher is detached."""
    own, answers = tap_of(student, pair[0], "student"), tap_of(teacher, pair[1], "teacher").detach()
    if own.dim() == answers.dim() == 2:
        return own, answers
    own, answers, valid = token_pair(student, teacher, pair)
    return first_tokens(own, valid), first_tokens(answers, valid)
