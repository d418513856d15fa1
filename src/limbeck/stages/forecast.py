"""What `limbeck check` can know before work: data, objective, teacher, time, memory, what the test set can show."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limbeck.core.findings import Finding
from limbeck.core.parts import plain

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.models.student import Student
    from limbeck.recipe import Recipe
    from limbeck.train.plan import TrainSpec

_TIMED_STEPS, _WARM_UP = 25, 5
_WANTED_POINTS = 0.01  # a test set that cannot show one point is said


@dataclass(frozen=True)
class CheckReport:
    """What a check found, and an estimate of the run in plain data (seconds, bytes, shares)."""

    findings: tuple[Finding, ...]
    estimate: Mapping[str, Any]


def check_recipe(recipe: Recipe) -> CheckReport:
    """Read the data, build the models, time a few steps; raises ConfigError for what would end the run at once."""
    from limbeck.stages.arms import arms_of
    from limbeck.stages.folds import few_rows, teacher_finding
    from limbeck.stages.pixels import stored_bytes
    from limbeck.stages.ready import refuse_unready
    from limbeck.stages.recipes import make_objective, make_student, make_teacher, read_data, settings_of
    from limbeck.stages.text_length import cut_findings
    from limbeck.stages.verbs import check_data, with_folds

    teacher, folds = make_teacher(recipe), recipe.evaluate.folds
    data, folded = with_folds(
        read_data(recipe), folds, teacher,
        lambda rows, teaches: (make_student(recipe, rows, teaches), make_objective(recipe, rows, teaches)),
    )  # fmt: skip
    check_data(data)
    student, objective = make_student(recipe, data, teacher), make_objective(recipe, data, teacher)
    refuse_unready(settings_of(recipe), data, teacher, student, objective)
    more = recipe.evaluate.attribution in ("auto", True)
    arms = arms_of(objective, data.tasks, unlabeled=data.unlabeled is not None, attribution=more)
    labelled = int(max(mask.sum() for mask in data.train.label_mask.values()))
    steps = recipe.train.total_steps(labelled)
    per_step = seconds_a_step(student, data, recipe.train)
    students = len(arms) * recipe.seeds * (folds or 1) + (folds is not None)  # and the one that is shipped
    training = per_step * int(steps.value) * students
    teaching = _teaching_seconds(recipe, data, labelled) * (1 if folds is None else folds + 1)
    smallest = smallest_gain(data, recipe.seeds, folds)
    found = [
        *data.findings,
        *few_rows(data, folds),
        *([] if folded is None else teacher_finding(teacher)),
        *cut_findings(data, student, recipe.writing),
    ]
    found = [finding for finding in found if finding.code not in recipe.checks.ignore]
    if smallest is not None and smallest > _WANTED_POINTS and "LB106" not in recipe.checks.ignore:
        found.append(_small_test(data, recipe.seeds, smallest))
    estimate = {
        "seconds": round(training + teaching, 1),
        "teach_seconds": round(teaching, 1),
        "train_seconds": round(training, 1),
        "seconds_per_step": per_step,
        "steps": steps.value,
        "steps_reason": steps.reason,
        "arms": [arm.name for arm in arms],
        "students": students,
        "memory_bytes": _memory(data, student),
        **({"transfer_set_bytes": stored} if (stored := stored_bytes(data, recipe.codec)) else {}),
        "parameters": student.describe()["parameters"],
        "test_rows": len(data.test) if data.test is not None else 0,
        "smallest_gain": smallest,
    }
    return CheckReport(tuple(found), estimate)


def seconds_a_step(student: Student, data: Data, plan: TrainSpec) -> float:
    """Seconds of one training step, the median of some on the first rows."""
    import numpy as np
    import torch

    from limbeck.data.generation import generation_in
    from limbeck.data.rows import in_memory
    from limbeck.models.outputs import to_outputs
    from limbeck.stages.forced import forced_table, references
    from limbeck.stages.tables import encoded

    rows = data.train.take(np.arange(plan.batch_size) % len(data.train))
    rows = replace(rows, inputs=in_memory(rows.inputs))
    module, head = copy.deepcopy(student.blank()), generation_in(data.tasks)
    inputs: Any = encoded(data, rows, student)
    if head is not None:  # with the texts that are written
        inputs = forced_table(rows, references(rows, head), head, student).inputs
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    taken: list[float] = []
    module.train()
    for _ in range(_WARM_UP + _TIMED_STEPS):
        started = time.perf_counter()
        loss = torch.stack(
            [out.float().square().mean() for out in to_outputs(module(plain(inputs)), list(data.tasks)).values()]
        )
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[_WARM_UP:]))  # a median: other work on the machine makes single steps slow


def _teaching_seconds(recipe: Recipe, data: Data, labelled: int) -> float:
    """Seconds to train the built-in networks among the teachers; others cannot be known."""
    from limbeck.stages.bases import taught_of

    total = 0.0
    for spec in recipe.teacher:
        if spec.kind == "zoo":
            plan = spec.train or recipe.train
            network = taught_of(spec.model, data)
            total += seconds_a_step(network, data, plan) * int(plan.total_steps(labelled).value) * spec.members
    return total


def smallest_gain(data: Data, seeds: int, folds: int | None = None) -> float | None:
    """The smallest gain in accuracy that the test rows can show with 80 % power; None for other metrics.

    With folds they count as fewer, because the models of different folds have most of their rows in common.
    """
    from limbeck.evaluate.components import crossed
    from limbeck.evaluate.power import minimal_gain

    first = next(iter(data.tasks.values()))
    if data.test is None or first.kind != "classification" or seeds < 3:
        return None
    rows = len(data.test) if folds is None else max(2, round(len(data.test) / crossed(folds)))
    return float(minimal_gain(rows, seeds))


def _small_test(data: Data, seeds: int, smallest: float) -> Finding:
    rows = len(data.test) if data.test is not None else 0
    return Finding(
        "LB106",
        "tip",
        "small differences cannot be shown with this test set",
        f"{rows} test rows and {seeds} seeds show a gain of {100 * smallest:.1f} points or more",
        "a smaller gain would end as 'no reliable difference' four times in five or more often",
        "add test rows or seeds, or expect a verdict only where the gain is larger",
        {"rows": rows, "seeds": seeds, "smallest_gain": smallest},
    )


def _memory(data: Data, student: Student) -> int:
    """Bytes of the encoded rows and of weights, gradients and optimiser state of one student."""
    import math

    from limbeck.data.ondisk import OnDisk
    from limbeck.models.parts.student import PartsStudent

    splits = (data.train, data.unlabeled, data.validation, data.test)
    rows = sum(len(split) for split in splits if split is not None and not isinstance(split.inputs, OnDisk))
    width = math.prod(data.preprocess.shape) if student.encoder is None else student.encoder.max_length
    if isinstance(student, PartsStudent):
        width = sum(e.max_length for e in student.encoders.values())
        width += sum(math.prod(shape) for name, shape in student.shapes.items() if name not in student.encoders)
    return 4 * rows * width + 16 * int(student.describe()["parameters"])
