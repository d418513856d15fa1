"""Several teachers that answer as one, and how a user says how they are weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limbeck.core.findings import Finding
from limbeck.signals import Needs, TeacherSource
from limbeck.stages.taught import added
from limbeck.stages.teachers import NO_COST, Teacher, refuse_inner
from limbeck.transfer.weighting import check_weighting

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.data.data import Data
    from limbeck.stages.job import Job


@dataclass(frozen=True)
class Teachers:
    """Several teachers as one, and how their answers are weighed: `lb.Teachers([one, other], weighting="entropy")`.

    `teachers` are teachers in any form, or pairs (teacher, weight). `weighting` "mean" takes the mean of their
    probabilities by these weights; the others weigh every row by itself: "entropy" gives more to those that are sure
    (EBKD), "confidence" to those that are right about the row's label (CA-MKD, arXiv 2201.00007; rows without a label,
    and rows on which the teacher is judged, are weighed by entropy), and with "routing" the surest answers alone.
    Raises ConfigError for a weighting that there is not, or for no teachers.
    """

    teachers: Sequence[Any]
    weighting: str = "mean"

    def __post_init__(self) -> None:
        from limbeck.transfer.ensemble import check_weights

        check_weighting(self.weighting)
        check_weights([1.0] * len(self.teachers), len(self.teachers))


@dataclass
class EnsembleTeacher:
    """Several teachers that answer as one, by a weighted mean of probabilities or values."""

    members: Sequence[tuple[Teacher, float]]
    weighting: str = "mean"
    _labels: str | None = field(default=None, repr=False, compare=False)  # a hash of those that weigh answers

    def __post_init__(self) -> None:
        from limbeck.transfer.ensemble import check_weights

        check_weighting(self.weighting)
        check_weights([weight for _, weight in self.members], len(self.members), self.weighting)

    def describe(self) -> dict[str, Any]:
        told: dict[str, Any] = {} if self.weighting == "mean" else {"weighting": self.weighting}
        members = [{"weight": weight} | teacher.describe() for teacher, weight in self.members]
        return {"kind": "ensemble", "members": members} | told

    def known(self, tasks: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Ids of the classes that any member knows where that is not all of them, by task."""
        found = {}
        each = self._known(tasks)
        for head, task in tasks.items():
            if all(head in ids for ids in each):
                union = tuple(sorted({number for ids in each for number in ids[head]}))
                if len(union) < task.size:
                    found[head] = union
        return found

    def _known(self, tasks: Mapping[str, Any]) -> list[dict[str, tuple[int, ...]]]:
        from limbeck.stages.partial import known_to

        return [known_to(teacher, tasks) for teacher, _ in self.members]

    def refuse_tasks(self, data: Data) -> None:
        """Refuse a weighting that the tasks or the classes of the members do not allow; raises ConfigError."""
        from limbeck.transfer.ensemble import refuse_routing

        check_weighting(self.weighting, data.tasks)
        if self.weighting == "routing":
            refuse_routing(self._known(data.tasks))

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        from limbeck.data.rows import digest

        self.refuse_tasks(job.data)
        self._labels = digest(job.pool) if self.weighting == "confidence" else None
        found = []
        for place, (teacher, _) in enumerate(self.members):
            found += teacher.teach(job, folder / f"teacher-{place}")
        return found

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        from limbeck.transfer.source import Ensemble

        refuse_inner(needs, "an ensemble")
        sources = [teacher.source(job, needs) for teacher, _ in self.members]
        weights = [weight for _, weight in self.members]
        tasks = job.data.tasks
        return Ensemble(sources, weights, heads=tasks, weighting=self.weighting, known=self._known(tasks))

    def fingerprint(self) -> str:
        from limbeck.models.fingerprint import object_hash

        told: list[Any] = [[teacher.fingerprint(), weight] for teacher, weight in self.members]
        return object_hash(told if self.weighting == "mean" else {self.weighting: told, "labels": self._labels})

    def cost(self, job: Job) -> dict[str, Any]:
        costs = [teacher.cost(job) for teacher, _ in self.members]
        return dict(NO_COST) if any(c["latency"] is None for c in costs) else added(costs)
