"""SequenceKD: cross-entropy with the text that the teacher wrote for the source, token by token.

Paper      Kim and Rush, Sequence-Level Knowledge Distillation, EMNLP 2016, arXiv:1606.07947
Needs      logits of the student along the teacher's text; the text stands in the batch, the teacher does not run
Formula    -sum_i log q(y_i | y_<i, x) over the tokens of the teacher's text y, divided by the number of tokens
Zero at    never: only a student that is certain of every token comes near
Defaults   no smoothing; beside it CE trains on the references, without it they are not trained on
Pitfalls   it is no loss on the teacher's distribution: with a teacher that writes badly it teaches bad texts; texts
           that repeat themselves or stop early should be filtered out
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import dense, dense_needs, output_of
from limbeck.objectives.response.ce import ce_rows
from limbeck.objectives.weighing import blank, labels_of, total_weight, weighted_sum
from limbeck.signals import MAIN, Batch, Needs, Signals

_WRITTEN = ".written"


def written(on: str) -> str:
    """The name of the targets that hold what the teacher wrote for a task."""
    return f"{on}{_WRITTEN}"


@dataclass(frozen=True, kw_only=True)
class SequenceKD(Objective):
    """The teacher's own text as the target."""

    on: str = MAIN
    label_smoothing: float = 0.0
    kinds: ClassVar[tuple[str, ...]] = ("generation",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="class"
    )

    def __post_init__(self) -> None:
        Fields(self).number("label_smoothing", low=0, below=1).check()

    @property
    def teaches(self) -> bool:
        """The teacher's part is done before training: it wrote the targets."""
        return True

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        name = self._targets(batch)
        shape = tuple(batch.targets[name].shape) if name in batch.targets else ()
        return total_weight(batch, labels_of(batch, name, shape)[1])

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        logits = dense(output_of(student, self.on, "student"), "student")
        targets, mask = labels_of(batch, self._targets(batch), tuple(logits.shape[:-1]))
        losses = ce_rows(blank(logits, mask), targets, self.label_smoothing)
        return weighted_sum(losses, batch, mask), total_weight(batch, mask)

    def _targets(self, batch: Batch) -> str:
        """The teacher's texts of the batch; in a batch that holds nothing else they are its targets."""
        name = written(self.on)
        return name if name in batch.targets else self.on
