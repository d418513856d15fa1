"""AttentionScores: match the attention of a transformer before the softmax, head by head.

Paper      Jiao et al., TinyBERT: Distilling BERT for Natural Language Understanding, 2020, arXiv:1909.10351
Needs      taps `query.I` and `key.I` [B, T, heads * d] of the named layers of both sides; equally many heads, their
           width d may differ; no heads to train
Formula    sum over pairs of layers of the mean over heads of (q_s k_s / sqrt(d_s) - q_t k_t / sqrt(d_t))^2, mean over
           pairs of valid positions
Zero at    equal scores
Defaults   none: layers and numbers of heads are those of the models; the authors take every third layer of twelve
Pitfalls   a pair of positions counts where both are valid, so that a row weighs as the square of its length; the
           authors count padding as zeros and divide by all pairs; scores come from the projections, so that what a
           model adds later (relative positions, rotation, a causal mask) is not seen; memory grows with heads * T^2
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import answered
from limbeck.objectives.tokens import scaled_products, split_heads, token_pair
from limbeck.objectives.weighing import weighted_sum
from limbeck.signals import MAIN, Batch, Needs, Signals


def attention_positions(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared distance of scores [B, H, T, T], mean over heads, summed over valid keys: one value a query [B, T]."""
    same_shape(student, teacher)
    own, answers = raised(student), raised(teacher.detach())
    if mask is not None:
        both = (mask[:, :, None] & mask[:, None, :]).unsqueeze(1)
        own, answers = torch.where(both, own, 0.0), torch.where(both, answers, 0.0)
    return (own - answers).square().mean(dim=1).sum(dim=-1)


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared distance of scores [B, H, T, T] over heads and pairs of valid positions; `mask` is [B, T]."""
    if mask is None:
        mask = torch.ones(student.shape[0], student.shape[-1], dtype=torch.bool, device=student.device)
    return attention_positions(student, teacher, mask).sum() / mask.sum(dim=1).square().sum().clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class AttentionScores(Objective):
    """Scores before the softmax over `pairs` of (layer of the student, layer of the teacher), counted from 1."""

    pairs: tuple[tuple[int, int], ...]
    student_heads: int
    teacher_heads: int
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True, tokens=True)

    def __post_init__(self) -> None:
        fields = Fields(self).layer_pairs("pairs").positive("student_heads").positive("teacher_heads")
        if not fields.problems and self.student_heads != self.teacher_heads:
            fields.note(
                "student_heads",
                f"expected as many heads as the teacher's {self.teacher_heads}, got {self.student_heads}",
                "scores are compared head by head; MiniLM takes models with other numbers of heads",
            )
        fields.check()

    @property
    def multiples(self) -> tuple[int, int]:
        return self.student_heads, self.teacher_heads

    def student_needs(self) -> Needs:
        return Needs(taps=_taps(own for own, _ in self.pairs))

    def teacher_needs(self) -> Needs:
        return Needs(taps=_taps(other for _, other in self.pairs))

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        teacher = answered(teacher)
        return pair_weight(batch, self.counted(teacher))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        teacher = answered(teacher)
        losses, valid = [], None
        for pair in self.pairs:
            queries = token_pair(student, teacher, _names("query", pair))
            keys = token_pair(student, teacher, _names("key", pair))
            valid = queries[2]
            own = _scores(queries[0], keys[0], self.student_heads, pair[0], "student")
            answers = _scores(queries[1], keys[1], self.teacher_heads, pair[1], "teacher")
            losses.append(attention_positions(own, answers, valid))
        return weighted_sum(torch.stack(losses).sum(dim=0), batch, valid), pair_weight(batch, valid)


def pair_weight(batch: Batch, mask: Tensor | None) -> Tensor:
    """Total weight of the pairs of valid positions (scalar)."""
    assert mask is not None  # taps with positions have one
    pairs = mask.sum(dim=1).square().to(torch.float32)
    return pairs.sum() if batch.weight is None else (pairs * batch.weight).sum()


def _names(what: str, layers: tuple[int, int]) -> tuple[str, str]:
    return f"{what}.{layers[0]}", f"{what}.{layers[1]}"


def _taps(layers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{what}.{layer}" for layer in dict.fromkeys(layers) for what in ("query", "key"))


def _scores(query: Tensor, key: Tensor, heads: int, layer: int, side: str) -> Tensor:
    if query.shape != key.shape:
        raise ShapeMismatch(
            f"expected 'query.{layer}' and 'key.{layer}' of the {side} to be equally wide, got {query.shape[-1]} and "
            f"{key.shape[-1]}",
            "models whose heads share keys are not taken; repeat the keys in the tap, or use MiniLM",
        )
    return scaled_products(split_heads(query, heads, f"query.{layer}"), split_heads(key, heads, f"key.{layer}"))
