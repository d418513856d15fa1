"""MiniLM: match how the positions of a text relate to one another in the queries, keys and values of one layer.

Paper      Wang et al., MiniLMv2: Multi-Head Self-Attention Relation Distillation, 2021, arXiv:2012.15828
Needs      taps `query.I`, `key.I` and `value.I` [B, T, D] of one layer of each side; widths and numbers of attention
           heads may differ, both widths must be multiples of `relation_heads`; no heads to train
Formula    sum over QQ, KK, VV of KL(teacher || student) of softmax(x x' / sqrt(d)) over keys, d the width of a relation
           head, mean over relation heads and valid queries of a row, mean over rows; no temperature
Zero at    equal relations: the vectors of a head may be rotated
Defaults   relation_heads 48 (base models; the paper takes 64 for large ones); the last layer of the student, the
           teacher's last (base) or an upper middle one (large)
Pitfalls   padded keys are masked before the softmax and padded queries do not count; a row counts as one, however long
           it is; nothing trains what lies above the student's layer; memory grows with relation_heads * T^2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import kl, raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import answered
from limbeck.objectives.tokens import scaled_products, split_heads, token_pair
from limbeck.objectives.weighing import masked_mean, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals

RELATIONS = ("query", "key", "value")


def relation_rows(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(teacher || student) of relations [B, A, T, T] before the softmax, mean over heads and valid queries [B]."""
    own, answers = (_without_padding(raised(side), mask) for side in (student, teacher.detach()))
    queries = kl(own, answers).mean(dim=1)
    kept = torch.where(mask, queries, torch.zeros_like(queries)).sum(dim=1)
    return kept / mask.sum(dim=1).clamp(min=1)


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """One relation [B, A, T, T] before the softmax: mean over heads, valid queries of a row, and rows (scalar)."""
    if mask is None:
        mask = torch.ones(student.shape[0], student.shape[-1], dtype=torch.bool, device=student.device)
    return masked_mean(relation_rows(student, teacher, mask), mask.any(dim=1))


@dataclass(frozen=True, kw_only=True)
class MiniLM(Objective):
    """Relations between positions; `layers` are (the student's, the teacher's), counted from 1."""

    layers: tuple[int, int]
    relation_heads: int = 48
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True, tokens=True)

    def __post_init__(self) -> None:
        Fields(self).layers("layers").positive("relation_heads").check()

    @property
    def multiples(self) -> tuple[int, int]:
        return self.relation_heads, self.relation_heads

    def student_needs(self) -> Needs:
        return Needs(taps=tuple(f"{what}.{self.layers[0]}" for what in RELATIONS))

    def teacher_needs(self) -> Needs:
        return Needs(taps=tuple(f"{what}.{self.layers[1]}" for what in RELATIONS))

    def counted(self, teacher: Signals) -> Tensor | None:
        """Rows with a valid position."""
        valid = super().counted(teacher)
        return None if valid is None else valid.any(dim=1)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        losses, present = [], None
        for what in RELATIONS:
            pair = (f"{what}.{self.layers[0]}", f"{what}.{self.layers[1]}")
            own, answers, valid = token_pair(student, teacher, pair)
            present = valid.any(dim=1)
            left, right = (
                split_heads(own, self.relation_heads, pair[0]),
                split_heads(answers, self.relation_heads, pair[1]),
            )
            losses.append(relation_rows(scaled_products(left, left), scaled_products(right, right), valid))
        return weigh(torch.stack(losses).sum(dim=0), batch, present)


def _without_padding(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores whose padded queries are 0 and whose padded keys have no probability.

    The lowest finite number and not -inf: a row without any valid key must not make NaN of the softmax.
    """
    queries = torch.where(mask[:, None, :, None], scores, torch.zeros_like(scores))
    return queries.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
