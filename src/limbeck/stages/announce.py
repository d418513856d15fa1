"""What a run in Python says before it starts where it would be silent for long: how many steps there are to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.core.runtime import choose_device
from limbeck.models.student import Student
from limbeck.objectives.base import Sum
from limbeck.stages.arms import arms_of
from limbeck.stages.bases import taught_of
from limbeck.stages.taught import TaughtNetwork
from limbeck.train.plan import TrainSpec

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.stages.job import Settings
    from limbeck.stages.teachers import Teacher


def long_run(
    settings: Settings, data: Data, teacher: Teacher, student: Student, objective: Sum, train: TrainSpec
) -> str | None:
    """The steps of a run that trains pretrained models of text on the CPU, in a line; None for any other."""
    taught = isinstance(teacher, TaughtNetwork) and taught_of(teacher.what, data).fine_tunes
    if choose_device(train.device).value != "cpu" or not (taught or student.fine_tunes):
        return None
    labelled = int(max(mask.sum() for mask in data.train.label_mask.values())) if data.train.label_mask else 0
    more = settings.attribution in ("auto", True)
    arms = arms_of(objective, data.tasks, unlabeled=data.unlabeled is not None, attribution=more)
    parts = []
    if isinstance(teacher, TaughtNetwork):
        steps = int((teacher.train or train).total_steps(labelled).value)
        parts.append(f"{steps * teacher.members:,} steps of the teacher (teacher_train=)")
    count, steps = len(arms) * settings.seeds, int(train.total_steps(labelled).value)
    parts.append(f"{count} × {steps:,} steps of students and controls (train=)")
    return f"limbeck trains on the CPU: {', '.join(parts)}; console=lb.Console() shows how far it is"
