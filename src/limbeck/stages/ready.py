"""What would end a run at once, looked at before any work: features that are not there, exports that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from limbeck.core.errors import ConfigError
from limbeck.core.specs import refuse
from limbeck.data.embedded import SCORES
from limbeck.data.writing import idle_settings
from limbeck.models.parts.student import PartsStudent
from limbeck.models.predict import answering
from limbeck.models.student import Student
from limbeck.models.taps import list_taps, run
from limbeck.models.text.tagging import TAGGING, refuse_whole_texts
from limbeck.objectives.base import Sum
from limbeck.stages.bases import looked_at, named, taught_of
from limbeck.stages.judged import has_embeddings
from limbeck.stages.per_task import PerTaskTeacher, alone
from limbeck.stages.several import EnsembleTeacher, SourceTeacher, TableTeacher
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork
from limbeck.stages.teachers import GivenTeacher, Teacher, refuse_inner

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.data.tasks import Task
    from limbeck.recipe import Recipe
    from limbeck.stages.job import Settings


def refuse_unready(settings: Settings, data: Data, teacher: Teacher, student: Student, objective: Sum) -> None:
    """Refuse what would end a run at once; a run and the check before it ask the same."""
    from limbeck.data.generation import generation_in
    from limbeck.stages.noise import refuse_noise
    from limbeck.stages.text_ready import refuse_generation

    writes = generation_in(data.tasks) is not None
    refuse(list(idle_settings(writes, settings.writing, settings.codec, data.view is not None)), "the run")
    refuse_noise(settings.noise, data, settings.folds)
    refuse_one_group(data)
    if writes:
        refuse_generation(settings, objective, student, teacher, data.texts)
    if settings.exports(data.tasks):
        refuse_export(student)
    if isinstance(teacher, PerTaskTeacher):
        teacher.refuse_tasks(data)
    refuse_teacher(teacher, data.tasks)
    refuse_blind(teacher, data.tasks)
    refuse_silent_words(teacher, student, data)
    refuse_taps(objective, student, teacher)
    refuse_half(settings, teacher)
    look_at_tables(teacher, data)


def refuse_one_group(data: Data) -> None:
    """Refuse test rows that are all of one group, over which there is no interval; raises ConfigError."""
    if data.test is None or data.test.groups is None:
        return
    for head in data.tasks:
        found = np.unique(data.test.groups[data.test.label_mask[head]])
        if len(found) == 1:
            raise ConfigError(
                f"expected test rows of '{head}' from two groups or more, all of them are of the group '{found[0]}': "
                "rows of one group count as one, and one shows no spread",
                "give test rows of more groups, or leave groups out; windows of times need a test stretch that is at "
                "least twice as long as history and horizon together",
            )


def refuse_taps(objective: Sum, student: Student, teacher: Teacher) -> None:
    """Refuse an objective that reads an inner feature which student or teacher have not.

    Raises MissingSignal naming the feature, NotSupported for a teacher without inner features.
    """
    mine, theirs = objective.student_needs(), objective.teacher_needs()
    if mine.taps or mine.attention:
        module = student.blank()
        with answering(module):
            run(module, probe(student), mine.taps, mine.attention)
    if (theirs.taps or theirs.attention) and not _has_inside(teacher):
        refuse_inner(theirs, f"a teacher of kind {teacher.describe()['kind']}")


def refuse_teacher(teacher: Teacher, tasks: Mapping[str, Task]) -> None:
    """Refuse a teacher that cannot embed texts for a task on embeddings; raises ConfigError."""
    from limbeck.stages.answered import AnsweredTeacher

    if not has_embeddings(tasks):
        return
    alone = isinstance(teacher, TaughtNetwork) and teacher.members == 1
    if not (alone or isinstance(teacher, GivenTeacher | SourceTeacher | AnsweredTeacher)):
        kind = teacher.describe()["kind"]
        raise ConfigError(
            f"expected one teacher that embeds texts for {', '.join(task.kind for task in tasks.values())}, got one of "
            f"kind {kind}",
            "give st:FOLDER, a SentenceTransformer, a function that embeds both columns, or answers of one of these; "
            f"embeddings of several models have no mean; {SCORES}",
        )


def refuse_blind(teacher: Teacher, tasks: Mapping[str, Task]) -> None:
    """Refuse a teacher that cannot have scores for the pixels of images, for a task of masks; raises ConfigError."""
    if not any(task.kind == "segmentation" for task in tasks.values()):
        return
    if isinstance(teacher, TableTeacher | TaughtEstimator):
        kind = "a table of predictions" if isinstance(teacher, TableTeacher) else "an estimator"
        raise ConfigError(
            f"expected a teacher with scores for every pixel of an image, got {kind}",
            "give a network such as unet(width=16), a torch module or a function that returns [B, C, H, W], or the "
            "answers of another run (a transfer set)",
        )


def refuse_silent_words(teacher: Teacher, student: Student, data: Data) -> None:
    """Refuse a teacher or a student that answers for whole texts where a task asks for every word."""
    kinds = {head: task.kind for head, task in data.tasks.items()}
    if TAGGING not in kinds.values():
        return
    refuse_teacher_of_words(teacher, data)
    refuse_whole_texts(student.blank(), kinds, f"the student {student.label}")


def refuse_teacher_of_words(teacher: Teacher, data: Data) -> None:
    """Refuse a teacher, or a member of one, that answers for whole texts or rows where a task asks for every word.

    Raises ConfigError.
    """
    kinds = {head: task.kind for head, task in data.tasks.items()}
    if TAGGING not in kinds.values():
        return
    if isinstance(teacher, EnsembleTeacher):
        for member, _ in teacher.members:
            refuse_teacher_of_words(member, data)
    elif isinstance(teacher, PerTaskTeacher):
        for head, part in teacher.parts.items():
            if head in data.tasks:
                refuse_teacher_of_words(part, alone(data, head))
    elif isinstance(teacher, TaughtNetwork):
        refuse_whole_texts(looked_at(teacher.what, data), kinds, f"the teacher {named(teacher)}")
    elif isinstance(teacher, TaughtEstimator):
        refuse_whole_texts(teacher.estimator, kinds, "the teacher")
    elif isinstance(teacher, GivenTeacher):
        refuse_whole_texts(teacher.model, kinds, "the teacher")


def refuse_export(student: Student) -> None:
    """Raise NotSupported for a student that no ONNX file can hold, or whose tokenizer cannot stand beside one."""
    from limbeck.compress.tokenizer import core_of
    from limbeck.models.audio.pretrained import refuse_graph

    encoders = student.encoders.values() if isinstance(student, PartsStudent) else [student.encoder]
    for encoder in encoders:
        if encoder is not None:
            core_of(encoder)
    if student.encoder is None and student.origin is not None:
        refuse_graph(student.blank())


def refuse_half(settings: Settings, teacher: Teacher) -> None:
    """Raise ConfigError where a teacher that is no network should answer in bf16."""
    other = None if settings.label_dtype == "fp32" else _no_network(teacher)
    if other is not None:
        raise ConfigError(
            f"expected a network as the teacher that labels in {settings.label_dtype}, got one of kind "
            f"{other.describe()['kind']}",
            "leave label.dtype (label_dtype in Python) at fp32: only torch modules can answer in bf16",
        )


def _no_network(teacher: Teacher) -> Teacher | None:
    """The first part of a teacher that is no network; None where all are."""
    if isinstance(teacher, TaughtNetwork) or (isinstance(teacher, GivenTeacher) and teacher.is_network):
        return None
    parts: list[Teacher] = []
    if isinstance(teacher, EnsembleTeacher):
        parts = [member for member, _ in teacher.members]
    elif isinstance(teacher, PerTaskTeacher):
        parts = list(teacher.parts.values())
    if not parts:
        return teacher
    return next((found for part in parts if (found := _no_network(part)) is not None), None)


def look_at_tables(teacher: Teacher, data: Data) -> None:
    """Read the tables of predictions of a teacher and match them with the rows; raises what these raise.

    A weighting of several teachers that does not fit the tasks is refused here too.
    """
    if isinstance(teacher, TableTeacher):
        teacher.look(data)
    elif isinstance(teacher, EnsembleTeacher):
        teacher.refuse_tasks(data)
        for member, _ in teacher.members:
            look_at_tables(member, data)
    elif isinstance(teacher, PerTaskTeacher):
        for head, part in teacher.parts.items():
            if head in data.tasks:  # others are refused by the teacher itself
                look_at_tables(part, alone(data, head))


def _has_inside(teacher: Teacher) -> bool:
    if isinstance(teacher, SourceTeacher):
        return True  # it says itself what it has, when it is asked
    if isinstance(teacher, TaughtNetwork):
        return teacher.members == 1
    return isinstance(teacher, GivenTeacher) and teacher.is_network


def probe(student: Student) -> Any:
    """Two rows of zeros that fit a student."""
    if isinstance(student, PartsStudent):
        return {name: part[:2] * 0 for name, part in student.probe().items()}
    return torch.zeros((2, *student.in_shape), dtype=torch.float32 if student.encoder is None else torch.int32)


def recipe_taps(recipe: Recipe) -> dict[str, dict[str, list[int]]]:
    """Inner features of a recipe's student and of its teachers that are networks: name -> shape without the batch."""
    from limbeck.stages.recipes import make_student, make_teacher, read_data

    data = read_data(recipe)
    student = make_student(recipe, data, make_teacher(recipe))
    found = {f"student  {recipe.student}": taps_of(student)}
    for spec in recipe.teacher:
        if spec.kind == "zoo":
            network = taught_of(spec.model, data)
            found[f"teacher  {spec.model}"] = taps_of(network)
    return found


def taps_of(student: Student) -> dict[str, list[int]]:
    """The inner features of a network that an objective can name, with their shapes (without the batch)."""
    module = student.blank()
    found = {name: list(shape) for name, shape in list_taps(module, probe(student)).items()}
    short = getattr(module, "tap_paths", {})
    return {name: found[path] for name, path in short.items() if path in found} | found
