"""CTC: the labels of a sequence whose places nobody knows, by all the paths that spell them.

Paper      Graves et al., Connectionist Temporal Classification, ICML 2006
Needs      logits [B, T, C] of the student at every frame, class 0 is the blank; class ids [B, U]; no teacher
Formula    sum over labelled rows of -log sum over paths of prod_t q_t(path_t), over the number of their labels
Zero at    never: only a student that is certain of one path comes near
Defaults   none
Pitfalls   the mean runs over characters, so that long rows weigh more, as in an error rate; a row with fewer frames
           than labels (and repeats) has no path: it counts, with loss 0, as in torch with zero_infinity
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.weighing import blank, label_mask, positions, total_weight, weighted_sum
from limbeck.signals import MAIN, Batch, Needs, Signals

BLANK = 0


def ctc_rows(logits: Tensor, frames: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Negative log-likelihood [B] of labels [B, U] where `known`, under logits [B, T, C] where `frames` [B, T].

    Labels and frames may stand anywhere in their rows; rows without labels, or without a path, give 0.
    """
    left, there = _gathered(blank(logits, frames), frames)
    ids, count = _gathered(blank(labels, known)[..., None], known)
    given = (count > 0) & (there > 0)
    logprobs = left.log_softmax(-1).transpose(0, 1)
    losses = F.ctc_loss(
        logprobs, ids[..., 0].long(), there.clamp(min=1), count, blank=BLANK, reduction="none", zero_infinity=True
    )
    return torch.where(given, losses, torch.zeros_like(losses))


def ctc_loss(logits: Tensor, frames: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Mean over all known labels of the rows' negative log-likelihoods."""
    return ctc_rows(logits, frames, labels, known).sum() / known.sum().clamp(min=1)


def _gathered(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Values [B, T, D] with those under the mask in front, in their order, and how many these are [B]."""
    order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
    return values.gather(1, order[..., None].expand_as(values)), mask.sum(1)


@dataclass(frozen=True, kw_only=True)
class CTC(Objective):
    """The labels of a sequence by all the paths that spell them."""

    on: str = MAIN
    kinds: ClassVar[tuple[str, ...]] = ("transcription",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="sequence", tokens=True
    )

    def __post_init__(self) -> None:
        Fields(self).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        if self.on not in batch.targets:
            return torch.tensor(0.0)
        return total_weight(batch, label_mask(batch, self.on))

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        frames = positions(logits, student.mask_of(self.on))
        known = label_mask(batch, self.on) if self.on in batch.targets else None
        if frames is None or known is None or known.dim() != 2:
            raise ShapeMismatch(
                f"expected logits [B, T, C] and labels [B, U] for CTC on '{self.on}', got {list(logits.shape)} and "
                f"{None if known is None else list(known.shape)}",
                "give a network that answers at every frame, and a task of kind transcription",
            )
        losses = ctc_rows(logits, frames, batch.targets[self.on], known)
        return weighted_sum(losses, batch), total_weight(batch, known)
