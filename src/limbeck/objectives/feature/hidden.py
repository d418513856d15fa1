"""Hidden: match the hidden states and the embeddings of a transformer, layer by layer, through a linear map.

Paper      Jiao et al., TinyBERT: Distilling BERT for Natural Language Understanding, 2020, arXiv:1909.10351
Needs      taps with positions [B, T, D] of both sides, named in pairs; by convention `hidden.I`, 0 the embeddings;
           widths may differ, tokens must be the same
Formula    sum over pairs of the mean over entries of (W h_s - h_t)^2, mean over valid positions
Zero at    W h_s == h_t; W starts as the identity where the widths agree
Defaults   projection "shared": one W for all pairs, as in the authors' code; the paper has another for the embeddings,
           which is "each"
Pitfalls   padding is left out of sum and count, in the authors' code it counts; a map is used at equal widths too,
           unless projection is "none"; the scale of a sum of pairs grows with their number
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.feature.hint import hint_rows
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import PairProjectors, projected
from limbeck.objectives.operands import answered
from limbeck.objectives.tokens import same_width, token_pair, token_shapes
from limbeck.objectives.weighing import blank, masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def hidden_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean squared distance of states [B, T, D] over valid positions, summed over layers of one width."""
    layers = [
        hint_rows(blank(own, mask), blank(other, mask), positions=True)
        for own, other in zip(student, teacher, strict=True)
    ]
    return masked_mean(torch.stack(layers).sum(dim=0), mask)


@dataclass(frozen=True, kw_only=True)
class Hidden(Objective):
    """Hidden states over `pairs` of (tap of the student, tap of the teacher)."""

    pairs: tuple[tuple[str, str], ...]
    projection: Literal["shared", "each", "none"] = "shared"
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True, tokens=True)

    def __post_init__(self) -> None:
        Fields(self).pairs("pairs").choice("projection", ("shared", "each", "none")).check()

    def student_needs(self) -> Needs:
        return Needs(taps=tuple(dict.fromkeys(own for own, _ in self.pairs)))

    def teacher_needs(self) -> Needs:
        return Needs(taps=tuple(dict.fromkeys(other for _, other in self.pairs)))

    def heads(self, shapes: Shapes) -> nn.Module | None:
        found = token_shapes(shapes, self.pairs)
        return None if self.projection == "none" else PairProjectors(found, self.projection)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        losses, valid = [], None
        for number, pair in enumerate(self.pairs):
            own, answers, valid = token_pair(student, teacher, pair)
            own = projected(head, own, number)
            same_width(own, answers, pair)
            losses.append(hint_rows(own, answers, positions=True))
        return weigh(torch.stack(losses).sum(dim=0), batch, valid)
