"""CE: cross-entropy with the labels, the hard loss of classification.

Paper      Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, arXiv:1512.00567 (label smoothing)
Needs      logits of the student; class ids; no teacher
Formula    mean over labelled rows of -sum_c t_c log q_c, t = (1 - eps) onehot(y) + eps / C
Zero at    never: only a student that is certain of every label comes near
Defaults   no smoothing, all classes weigh the same
Pitfalls   the mean runs over labelled rows only, unlabelled rows do not thin it out; class weights divide by the sum
           of the weights of the labels that are there, as in torch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.divergences import raised
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.weighing import blank, labels_of, total_weight, weighted_sum
from limbeck.signals import MAIN, Batch, Needs, Signals


def ce_rows(
    student: Tensor, labels: Tensor, label_smoothing: float = 0.0, class_weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy [...] of logits [..., C] with class ids [...]."""
    logits = raised(student)
    if logits.dim() > 2:
        logits = logits.movedim(-1, 1)
    weight = None if class_weight is None else class_weight.to(logits)
    return F.cross_entropy(logits, labels.long(), weight, reduction="none", label_smoothing=label_smoothing)


def ce_loss(
    student: Tensor, labels: Tensor, label_smoothing: float = 0.0, class_weight: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of logits [B, C] with class ids [B], weighted by class [C] where weights are given."""
    losses = ce_rows(student, labels, label_smoothing, class_weight)
    return losses.mean() if class_weight is None else losses.sum() / class_weight[labels].sum()


@dataclass(frozen=True, kw_only=True)
class CE(Objective):
    """Cross-entropy with the labels; `class_weight` holds one weight for each class."""

    on: str = MAIN
    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="class"
    )

    def __post_init__(self) -> None:
        Fields(self).number("label_smoothing", low=0, below=1).weights("class_weight").check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        shape = tuple(batch.targets[self.on].shape) if self.on in batch.targets else ()
        targets, mask = labels_of(batch, self.on, shape)
        return self._count(batch, targets, mask)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self.on, tuple(logits.shape[:-1]))
        if self.class_weight is not None and len(self.class_weight) != logits.shape[-1]:
            raise ShapeMismatch(
                f"expected {logits.shape[-1]} class weights for the output '{self.on}', got {len(self.class_weight)}",
                "class_weight holds one number for each class, in the order of the classes",
            )
        losses = ce_rows(blank(logits, mask), targets, self.label_smoothing, self._class_weight(targets))
        return weighted_sum(losses, batch, mask), self._count(batch, targets, mask)

    def _class_weight(self, like: Tensor) -> Tensor | None:
        return None if self.class_weight is None else torch.tensor(self.class_weight, device=like.device)

    def _count(self, batch: Batch, targets: Tensor, mask: Tensor | None) -> Tensor:
        weight = self._class_weight(targets)
        if weight is None:
            return total_weight(batch, mask)
        return weighted_sum(weight[targets.long()], batch, mask)
