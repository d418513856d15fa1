"""Teachers that know only some of a task's classes: which these are, and losses that leave the others out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Task
from limbeck.objectives.base import Objective, Sum
from limbeck.stages.answered import AnsweredTeacher
from limbeck.stages.per_task import PerTaskTeacher
from limbeck.stages.several import EnsembleTeacher, TableTeacher
from limbeck.stages.teachers import GivenTeacher


def among_known(objective: Sum, teacher: Any, tasks: Mapping[str, Task]) -> Sum:
    """An objective that compares the classes which the teacher knows; raises ConfigError for losses that cannot."""
    known = known_to(teacher, tasks)
    if not known:
        return objective
    terms = []
    for term in objective:
        on = str(getattr(term.objective, "on", ""))
        partial = on in known and term.objective.teaches
        terms.append(replace(term, objective=_among(term.objective, on, known[on], tasks[on])) if partial else term)
    return Sum(tuple(terms))


def _among(loss: Objective, head: str, known: tuple[int, ...], task: Task) -> Objective:
    if "among" not in {each.name for each in fields(loss)}:
        absent = ", ".join(name for number, name in enumerate(task.names) if number not in known)
        raise ConfigError(
            f"expected a loss that can leave classes out, since the teacher does not know {absent} of '{head}', got "
            f"{type(loss).__name__}",
            "use KD, or map a class of the teacher to each of the task's",
        )
    return replace(loss, among=known)  # type: ignore[call-arg]


def known_to(teacher: Any, tasks: Mapping[str, Task]) -> dict[str, tuple[int, ...]]:
    """Ids of the classes that a teacher with a mapping knows, by task, where it does not know all of them."""
    if isinstance(teacher, AnsweredTeacher | EnsembleTeacher | GivenTeacher | TableTeacher):
        return teacher.known(tasks)
    if isinstance(teacher, PerTaskTeacher):
        found: dict[str, tuple[int, ...]] = {}
        for head, part in teacher.parts.items():
            if head in tasks:
                found |= known_to(part, {head: tasks[head]})
        return found
    return {}
