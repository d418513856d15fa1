"""A teacher of its own for every task of the data: {"kind": classifier, "price": regressor}."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.core.kinds import suggest
from limbeck.signals import Batch, Needs, Signals, TeacherSource
from limbeck.stages.taught import added
from limbeck.stages.teachers import NO_COST, Teacher, refuse_inner

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.stages.job import Job


@dataclass
class PerTaskTeacher:
    """One teacher for each task; each is taught and asked as if its task were the only one."""

    parts: Mapping[str, Teacher]

    def describe(self) -> dict[str, Any]:
        return {"kind": "per task", "teachers": {head: part.describe() for head, part in self.parts.items()}}

    def refuse_tasks(self, data: Data) -> None:
        """Refuse a mapping that has no teacher for a task, or one for none; raises ConfigError."""
        tasks = list(data.tasks)
        problems = [f"there is none for '{head}'" for head in tasks if head not in self.parts] + [
            f"'{head}' is no task" for head in self.parts if head not in tasks
        ]
        if problems:
            near = [suggest(head, tasks) for head in self.parts if head not in tasks]
            raise ConfigError(
                f"expected a teacher for each task ({', '.join(tasks)}), {' and '.join(problems)}",
                next(filter(None, near), "name the entries of the mapping as the tasks are named"),
            )

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        self.refuse_tasks(job.data)
        tasks = list(job.data.tasks)
        return [
            finding for head in tasks for finding in self.parts[head].teach(_alone(job, head), folder / f"task-{head}")
        ]

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        refuse_inner(needs, "a teacher of its own for each task")
        return _Joined(
            {head: self.parts[head].source(_alone(job, head), Needs(outputs=(head,))) for head in job.data.tasks}
        )

    def fingerprint(self) -> str:
        from limbeck.models.fingerprint import object_hash

        return object_hash({head: part.fingerprint() for head, part in self.parts.items()})

    def cost(self, job: Job) -> dict[str, Any]:
        costs = [part.cost(_alone(job, head)) for head, part in self.parts.items()]
        return dict(NO_COST) if any(cost["latency"] is None for cost in costs) else added(costs)


@dataclass(frozen=True)
class _Joined:
    """The answers of one source for each task, side by side."""

    sources: Mapping[str, TeacherSource]

    def have(self) -> Needs:
        """Dense outputs for all tasks."""
        return Needs(outputs=tuple(self.sources))

    @property
    def uses_labels(self) -> bool:
        """Whether the labels of a batch decide what is answered."""
        return any(getattr(source, "uses_labels", False) for source in self.sources.values())

    def answer(self, batch: Batch) -> Signals:
        """Ask the source of each task."""
        said = {head: source.answer(batch) for head, source in self.sources.items()}
        masks = {head: mask for head, each in said.items() if (mask := each.mask_of(head)) is not None}
        return Signals({head: each.outputs[head] for head, each in said.items()}, masks=masks)


def _alone(job: Job, head: str) -> Job:
    """The job with one task; rows keep the labels of all, nobody asks for those of the others."""
    return replace(job, data=alone(job.data, head))


def alone(data: Data, head: str) -> Data:
    """The data with one task."""
    only = copy.copy(data)
    only.tasks = {head: data.tasks[head]}
    return only
