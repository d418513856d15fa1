"""What would end a run at once, looked at before any work: inner features that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from limbeck.core.errors import ConfigError
from limbeck.models.predict import answering
from limbeck.models.student import Student
from limbeck.models.taps import list_taps, run
from limbeck.objectives.base import Sum
from limbeck.stages.several import SourceTeacher
from limbeck.stages.taught import TaughtNetwork
from limbeck.stages.teachers import GivenTeacher, Teacher, refuse_inner

if TYPE_CHECKING:
    from limbeck.recipe import Recipe


def refuse_taps(objective: Sum, student: Student, teacher: Teacher) -> None:
    """Refuse an objective that reads an inner feature which student or teacher have not.

    Raises MissingSignal naming the feature, NotSupported for a teacher without inner features.
    """
    mine, theirs = objective.student_needs(), objective.teacher_needs()
    if mine.taps or mine.attention:
        module = student.build(0)
        with answering(module):
            run(module, probe(student), mine.taps, mine.attention)
    if (theirs.taps or theirs.attention) and not _has_inside(teacher):
        refuse_inner(theirs, f"a teacher of kind {teacher.describe()['kind']}")


def refuse_export(student: Student) -> None:
    """Raise ConfigError for a student that has no ONNX export."""
    if student.encoder is not None:
        raise ConfigError(
            f"expected no ONNX of a student of text ({student.label}), limbeck cannot export one yet",
            "say `export: {onnx: false}` (onnx=False in Python); student/seed-N loads in transformers",
        )


def _has_inside(teacher: Teacher) -> bool:
    if isinstance(teacher, SourceTeacher):
        return True  # it says itself what it has, when it is asked
    if isinstance(teacher, TaughtNetwork):
        return teacher.members == 1
    return isinstance(teacher, GivenTeacher) and teacher.is_network


def probe(student: Student) -> torch.Tensor:
    """Two rows of zeros that fit a student."""
    return torch.zeros((2, *student.in_shape), dtype=torch.float32 if student.encoder is None else torch.int32)


def recipe_taps(recipe: Recipe) -> dict[str, dict[str, list[int]]]:
    """Inner features of a recipe's student and of its teachers that are networks: name -> shape without the batch."""
    from limbeck.stages.recipes import make_student, read_data

    data = read_data(recipe)
    student = make_student(recipe, data)
    found = {f"student  {recipe.student}": taps_of(student)}
    for spec in recipe.teacher:
        if spec.kind == "zoo":
            network = Student.of(spec.model, student.in_shape, student.out_sizes, kinds=student.kinds, texts=data.texts)
            found[f"teacher  {spec.model}"] = taps_of(network)
    return found


def taps_of(student: Student) -> dict[str, list[int]]:
    """The inner features of a network that an objective can name, with their shapes (without the batch)."""
    return {name: list(shape) for name, shape in list_taps(student.build(0), probe(student)).items()}
