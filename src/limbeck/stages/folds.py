"""Runs with folds: students and controls of each fold in a run folder of its own, their answers put together.

folds/1/ ... folds/k/   each a run up to its trained students: the rows of the fold are its test rows
predictions/            the answers to all rows, each by models that have not seen it: what the verdict is made of
teacher/ student/       trained on all rows with the same settings, for the first seed: what is shipped
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.files import read_json
from limbeck.core.findings import Finding
from limbeck.core.run import Run
from limbeck.data.data import Data
from limbeck.data.folds import KINDS, Folds
from limbeck.data.split import labelled_rows
from limbeck.evaluate.cost import training_cost
from limbeck.evaluate.evidence import TEACHER, Validation
from limbeck.models.student import Student
from limbeck.objectives.base import Sum
from limbeck.stages import answers
from limbeck.stages.answered import AnsweredTeacher
from limbeck.stages.arms import CONTROL, STUDENT
from limbeck.stages.job import Folded, Job, metric_identity
from limbeck.stages.per_task import PerTaskTeacher
from limbeck.stages.several import EnsembleTeacher
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork
from limbeck.stages.teachers import Teacher
from limbeck.stages.words import Truth

Parts: TypeAlias = "tuple[Student, Sum]"

FOLDER, STAGE = "folds", "folds"
FACTS = "facts.json"
TESTED, LABELLED = 50, 200  # rows, below which folds are worth a tip


def fresh(teacher: Teacher) -> Teacher:
    """The same teacher, not taught yet where a run teaches it."""
    if isinstance(teacher, EnsembleTeacher):
        return EnsembleTeacher([(fresh(member), weight) for member, weight in teacher.members], teacher.weighting)
    if isinstance(teacher, PerTaskTeacher):
        return PerTaskTeacher({head: fresh(part) for head, part in teacher.parts.items()})
    if isinstance(teacher, TaughtNetwork):
        return replace(teacher, _given=[], _taught_on=None)
    if isinstance(teacher, TaughtEstimator):
        return replace(teacher, _given=None, _taught_on=None)
    return copy.copy(teacher)


def brought(teacher: Teacher) -> list[Teacher]:
    """The parts of a teacher that were trained before the run, so that nobody knows which rows they have seen."""
    if isinstance(teacher, EnsembleTeacher):
        return [found for member, _ in teacher.members for found in brought(member)]
    if isinstance(teacher, PerTaskTeacher):
        return [found for part in teacher.parts.values() for found in brought(part)]
    return [] if isinstance(teacher, TaughtNetwork | TaughtEstimator) else [teacher]


def folded_of(data: Data, count: int, teacher: Teacher, make: Callable[[Data, Teacher], Parts]) -> Folded:
    """The folds of some data, and `make` for the rows of one with a teacher that is taught anew.

    Raises ConfigError or NotSupported for data, tasks and teachers that folds are not for.
    """
    refuse_answered(teacher)

    def of(rows: Data) -> tuple[Teacher, Student, Sum]:
        again = fresh(teacher)
        return (again, *make(rows, again))

    return Folded(Folds.cut(data, count), of)


def refuse_answered(teacher: Teacher) -> None:
    """Refuse the answers of an earlier run, which are of one teacher to its own splits; raises ConfigError."""
    if any(isinstance(part, AnsweredTeacher) for part in brought(teacher)):
        raise ConfigError(
            "expected a teacher that is trained within each fold, got the answers of an earlier run",
            "name the teacher itself, or give test rows instead of folds",
        )


def teacher_finding(teacher: Teacher) -> list[Finding]:
    """LB135, where a teacher comes trained: it may have seen the rows that its student is tested on."""
    parts = brought(teacher)
    if not parts:
        return []
    names = ", ".join(str(part.describe().get("model") or part.describe()["kind"]) for part in parts)
    return [
        Finding(
            "LB135",
            "tip",
            "the teacher was not trained within the folds",
            f"{names} answers all folds as it came; whether it has seen the labels of these rows is not known",
            "a teacher that has seen a row hands its label on to students that are tested on it: the gain would be "
            "memory, not knowledge",
            "give a teacher that is trained here (a network by name, an unfitted estimator); pass over this where it "
            "was trained on other rows",
        )
    ]


def few_rows(data: Data, folds: int | None) -> list[Finding]:
    """LB136, where the test rows show nothing and there are so few rows that folds would be better."""
    if folds is not None or data.test is None or any(task.kind not in KINDS for task in data.tasks.values()):
        return []
    tested, labelled = len(data.test), sum(int(labelled_rows(rows).sum()) for rows in (data.train, data.validation))
    if tested >= TESTED or labelled + tested >= LABELLED:
        return []
    return [
        Finding(
            "LB136",
            "tip",
            "few rows: a test set that is split off shows nothing",
            f"{tested} of {labelled + tested} labelled rows are test rows",
            "so few test rows show only very large differences; with folds every row is tested, and trains too",
            "say evaluate.folds: 5 (folds=5 in Python) without test rows",
            {"test_rows": tested, "labelled_rows": labelled + tested},
        )
    ]


def train_folds(job: Job) -> None:
    """Train all arms and seeds in each fold, and put the answers of all folds together in predictions/."""
    from limbeck.objectives import dump

    assert job.folded is not None and job.settings.folds is not None
    inputs = {
        "data": job.data.fingerprint, "folds": job.settings.folds, "teacher": job.teacher.describe(),
        "student": job.student.fingerprint, "objective": dump(job.objective), "train": job.train,
        "seeds": list(job.settings.seed_list),
        "arms": [arm.name for arm in job.judged_arms], "metric": metric_identity(job.data),
        "codec": job.settings.codec, "dtype": job.settings.label_dtype,
    }  # fmt: skip
    files = [answers.file_name(answers.TEST, arm, seed) for arm, seeds in judged(job).items() for seed in seeds]
    stage = job.run.stage(STAGE, inputs, outputs=(FOLDER, *files))
    if stage.done:
        return
    with stage:
        for number in range(job.folded.folds.count):
            _train_fold(job, job.folded, number)
        for arm, seeds in judged(job).items():
            for seed in seeds:
                _put_together(job, job.folded, arm, seed)
        stage.note(costs=_costs(job))


def judged(job: Job) -> dict[str, tuple[int, ...]]:
    """The arms of a verdict and the seeds of each."""
    return {TEACHER: (0,)} | {arm.name: job.settings.seed_list for arm in job.judged_arms}


def fold_folder(job: Job, number: int) -> Path:
    """Where a fold (from 0) lies: folds/1 and so on."""
    return job.run.path(FOLDER, str(number + 1))


def _train_fold(job: Job, folded: Folded, number: int) -> None:
    from limbeck.stages.verbs import run_job

    data = folded.folds.fold(number)
    teacher, student, objective = folded.make(data)
    job.console.say(f"fold {number + 1} of {folded.folds.count}: {len(data.test or ())} rows are tested")
    ignore = (*job.settings.ignore, "LB136")  # that its test rows are few is why there are folds
    name = f"{job.settings.name} fold {number + 1}"
    settings = replace(job.settings, folds=None, onnx=False, name=name, ignore=ignore)
    run_job(
        settings, data, teacher, student, objective, job.train, fold_folder(job, number), overwrite=False,
        until="train", console=job.console,
    )  # fmt: skip


def _put_together(job: Job, folded: Folded, arm: str, seed: int) -> None:
    """The answers of one arm and seed to all rows, from the folds that tested them."""
    out: dict[str, np.ndarray[Any, Any]] = {}
    for number in range(folded.folds.count):
        inside = folded.folds.judged == number
        rows = job.test.take(inside)
        said = answers.read(Run.read(fold_folder(job, number)), answers.TEST, arm, (seed,), rows)
        for head, values in said.items():
            if head not in out:
                out[head] = np.zeros((len(job.test), *values.shape[2:]), dtype=values.dtype)
            out[head][inside] = values[0]
    answers.write(job.run, answers.TEST, arm, seed, job.test, out)


def _costs(job: Job) -> dict[str, Any]:
    """What the training of each arm cost, over all folds and seeds."""
    assert job.folded is not None
    count, found = job.folded.folds.count, {}
    for arm in job.judged_arms:
        facts = [
            read_json(fold_folder(job, number) / arm.name / f"seed-{seed}" / FACTS)
            for number in range(count)
            for seed in job.settings.seed_list
        ]
        seconds, steps = sum(each["seconds"] for each in facts), max(each["steps"] for each in facts)
        found[arm.name] = training_cost(seconds, steps, len(facts))
    return found


def costs_of(job: Job, costs: Mapping[str, Any]) -> dict[str, Any]:
    """The costs of the arms of a run with folds, where `costs` are those of what is shipped."""
    spent = job.run.stage(STAGE, {}).facts["costs"]
    like = {
        name: value for name, value in costs[STUDENT].items() if not name.startswith("training") and name != "seeds"
    }
    own = {arm: like if arm in (STUDENT, CONTROL) else {} for arm in spent}
    return {TEACHER: costs[TEACHER]} | {arm: own[arm] | spent[arm] for arm in spent}


def validations(job: Job, arms: Sequence[str]) -> dict[str, Validation]:
    """The validation rows of all folds one after the other, by task: what temperature scaling is fitted on."""
    assert job.folded is not None
    truths: dict[str, list[Any]] = {head: [] for head in job.data.tasks}
    said: dict[str, dict[str, list[Any]]] = {head: {arm: [] for arm in arms} for head in job.data.tasks}
    for number in range(job.folded.folds.count):
        data: Data = job.folded.folds.fold(number)
        run = Run.read(fold_folder(job, number))
        found = {
            arm: answers.read(run, answers.VALIDATION, arm, seeds, data.validation)
            for arm, seeds in judged(job).items()
        }
        for head, task in data.tasks.items():
            truth = Truth.of(data.validation, head, task)
            truths[head].append(truth.y[truth.labelled])
            for arm in arms:
                said[head][arm].append(found[arm][head][:, truth.labelled])
    return {
        head: Validation(
            np.concatenate(truths[head]), {arm: np.concatenate(each, axis=1) for arm, each in said[head].items()}
        )
        for head in job.data.tasks
        if sum(map(len, truths[head]))
    }
