"""SimKD: the student learns the teacher's last features and then uses the teacher's own classifier.

Paper      Chen et al., Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022, arXiv:2203.14001
Needs      the tap before the last layer of each side, and that last layer of the teacher (weight, bias)
Formula    mean over entries of (P(f_s) - f_t)^2; the student answers W P(f_s) + b with the teacher's W, b
Zero at    P(student) == teacher; the projector starts as the identity where the widths agree
Defaults   no hard loss and no KD beside it
Pitfalls   the student keeps P and the teacher's classifier when it is saved, and its own last layer learns nothing;
           the authors' P is three convolutions with batch norm, here it is one linear map or 1x1 convolution, so
           that the loss stays a sum over rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from limbeck.core.errors import MissingSignal, ShapeMismatch
from limbeck.objectives.base import Objective, Shapes, Traits
from limbeck.objectives.feature.hint import hint_rows
from limbeck.objectives.fields import Fields
from limbeck.objectives.heads import Projector, ReusedClassifier, shapes_of_pair, tap_of
from limbeck.objectives.operands import answered
from limbeck.objectives.weighing import blank, valid_mask, weigh
from limbeck.signals import MAIN, Batch, Needs, Signals


def simkd_loss(projected: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of the student's projected features and the teacher's, one shape."""
    return hint_rows(projected, teacher).mean()


@dataclass(frozen=True, kw_only=True)
class SimKD(Objective):
    """The teacher's last features, for its classifier to read; `pair` names (student's tap, teacher's tap)."""

    pair: tuple[str, str]
    on: str = MAIN
    traits: ClassVar[Traits] = Traits(unequal_widths=True)

    def __post_init__(self) -> None:
        Fields(self).pair("pair").check()

    def student_needs(self) -> Needs:
        return Needs(taps=(self.pair[0],))

    def teacher_needs(self) -> Needs:
        return Needs(taps=(self.pair[1],))

    def heads(self, shapes: Shapes) -> ReusedClassifier:
        if self.on not in shapes.projections:
            raise MissingSignal(
                f"expected the teacher's last layer for the output '{self.on}', it is not open",
                "teacher-head reuse needs a torch teacher whose output comes from a linear layer; use Hint otherwise",
            )
        student, teacher = shapes_of_pair(shapes.student_taps, shapes.teacher_taps, self.pair)
        classifier = shapes.projections[self.on]
        width = teacher[0] if len(teacher) == 3 else teacher[-1]
        if classifier[0].shape[1] != width:
            raise ShapeMismatch(
                f"expected '{self.pair[1]}' to feed the teacher's last layer, which reads {classifier[0].shape[1]} "
                f"values, got {width}",
                "name the tap just before the last layer as the second of `pair`",
            )
        return ReusedClassifier(self.pair[0], self.on, Projector(student, teacher), classifier)

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(head, ReusedClassifier)
        teacher = answered(teacher)
        answers = tap_of(teacher, self.pair[1], "teacher").detach()
        mask = valid_mask(student, teacher, answers)
        own = head.projector(blank(tap_of(student, self.pair[0], "student"), mask))
        return weigh(hint_rows(own, blank(answers, mask), mask is not None), batch, mask)
