"""Students of an estimator: trained in memory, or by a whole run that also trains the control and judges both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.run import Run
from limbeck.data.data import Data
from limbeck.models.predict import answering
from limbeck.models.student import Student
from limbeck.objectives.base import Objective, Sum
from limbeck.sklearn import teachers
from limbeck.stages.arms import plain_sum
from limbeck.stages.bases import student_of
from limbeck.stages.tables import encoder_of, table_of
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork
from limbeck.stages.teachers import GivenTeacher
from limbeck.stages.train import rebuilt
from limbeck.stages.verbs import distill, objective_of
from limbeck.train.feed import Feed, Table
from limbeck.train.loop import fit
from limbeck.train.plan import TrainSpec
from limbeck.train.steps import Learner
from limbeck.transfer.source import Live

Source = GivenTeacher | TaughtEstimator | TaughtNetwork
_AT_ONCE = 1 << 13  # rows that are answered together


@dataclass(frozen=True)
class Asked:
    """What an estimator was asked for, with its data: `held` says whether validation rows were split off."""

    data: Data
    held: bool
    teacher: Source
    student: Any
    objective: str | Objective | Sum
    plan: TrainSpec
    seeds: int
    seed: int
    labels: Callable[[Any], Any]  # class ids or standardised numbers [N, ...] as the user wrote them [N]


@dataclass(frozen=True)
class Learned:
    """A student that answers in training space, the teacher it learned from, and what is known of both."""

    network: nn.Module
    teacher: Any
    facts: dict[str, Any]
    scorecard: dict[str, Any] | None = None


def learn(asked: Asked) -> Learned:
    """Train students in memory on what the teacher says of the training rows, and keep the one that validates best."""
    data, student = asked.data, student_of(asked.student, asked.data, asked.teacher)
    objective = objective_of(asked.objective, data, asked.teacher)
    model, said = _taught(asked)
    told = replace(table_of(data, data.train, student), teacher_inputs=said)  # the answers are all that it is asked
    source = Live(lambda answers: answers, data.tasks, output="logits", units="training")
    found = [_trained(asked, student, objective, told, source, asked.seed + n) for n in range(asked.seeds)]
    scores = [fitted.best_score for _, fitted in found]
    best = max(range(len(found)), key=lambda n: -np.inf if scores[n] is None else scores[n])
    network, fitted = found[best]
    facts = {
        "steps": fitted.steps, "best_step": fitted.best_step, "seed": asked.seed + best,
        "validation_loss": None if fitted.best_score is None else -fitted.best_score,
        "seconds": sum(each.seconds for _, each in found),
    }  # fmt: skip
    return Learned(network, model, facts)


def run(asked: Asked, out: str | Path | None) -> Learned:
    """Distil in a run with its control, judged on the test rows; the folder is kept where `out` names one."""
    source = _fitted(asked, asked.teacher)
    with TemporaryDirectory() if out is None else nullcontext(str(out)) as place:
        folder = Path(place) / "run" if out is None else Path(place)
        done = distill(
            source, asked.student, asked.data, objective=asked.objective, train=asked.plan, teacher_train=asked.plan,
            seeds=asked.seeds, seed=asked.seed, onnx="auto" if out is not None else False, out=folder, overwrite=True,
            until="evaluate" if out is None else "report",
        )  # fmt: skip
        facts = Run.read(folder).stage("train", {}).facts
        student, seed = student_of(asked.student, asked.data, source), int(facts["best_seed"])
        network = rebuilt(student, seed, folder / "student" / f"seed-{seed}")
        card = done.scorecard
    model = source.members_taught[0].model if isinstance(source, TaughtNetwork) else source.model
    told = {"steps": facts["steps"], "seed": seed, "verdict": card.get("verdict"), "folder": None}
    return Learned(network, model, told | ({} if out is None else {"folder": str(folder)}), card)


def answered(network: nn.Module, inputs: np.ndarray[Any, Any], double: bool) -> np.ndarray[Any, Any]:
    """What a student says of encoded rows [N, F], as float64 [N, C].

    In double precision the rows that are asked about together change nothing.
    """
    dtype, parts = torch.float64 if double else torch.float32, []
    with answering(network):
        for start in range(0, len(inputs), _AT_ONCE):
            said = _output(network(torch.as_tensor(inputs[start : start + _AT_ONCE], dtype=dtype)))
            parts.append(said.double().numpy())
    return np.concatenate(parts)


def _taught(asked: Asked) -> tuple[Any, Tensor]:
    """The trained teacher and its answers to the training rows, in training space."""
    data, teacher = asked.data, asked.teacher
    if isinstance(teacher, TaughtNetwork):
        own = Student.of(teacher.what, data.preprocess.shape, {h: t.size for h, t in data.tasks.items()})
        table = table_of(data, data.train, own)
        module, _ = _trained(asked, own, plain_sum(data.tasks), table, None, asked.seed)
        with answering(module):
            return module, _output(module(table.inputs)).float()
    given = _fitted(asked, teacher)
    assert isinstance(given, GivenTeacher)
    return given.model, teachers.answers(given, data)


def _fitted(asked: Asked, teacher: Source) -> GivenTeacher | TaughtNetwork:
    """The teacher, an estimator fitted."""
    if not isinstance(teacher, TaughtEstimator):
        return teacher
    return GivenTeacher(teachers.fitted(teacher.estimator, asked.data, asked.labels, asked.seed))


def _trained(
    asked: Asked, student: Student, objective: Sum, table: Table, source: Live | None, seed: int
) -> tuple[nn.Module, Any]:
    """One training, without files."""
    size = min(asked.plan.batch_size, len(table))
    feed = Feed.of(table, labelled=len(table), batch_size=size, seed=seed)
    learner = Learner.build(student.build(seed), objective, ("main",), feed.batch(0), source=source, seed=seed)
    validate = _validator(asked.data, student) if asked.held else None
    fitted = fit(learner, source, feed, replace(asked.plan, batch_size=size), validate=validate, seed=seed)
    return learner.deployed().eval().cpu(), fitted


def _validator(data: Data, student: Student) -> Callable[[nn.Module], float]:
    """Minus the loss on the labels of the validation rows: finer than a share of decisions, where rows are few."""
    rows = data.validation
    inputs: Any = encoder_of(data, student)(rows.inputs)
    y = torch.as_tensor(rows.targets["main"])
    weight = torch.ones(len(rows)) if rows.weight is None else torch.as_tensor(rows.weight)
    decided = data.tasks["main"].decided

    def validate(module: nn.Module) -> float:
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        said = _output(module(inputs.to(device))).cpu()
        losses = F.cross_entropy(said, y, reduction="none") if decided else ((said - y) ** 2).mean(1)
        return -float((losses * weight).sum() / weight.sum())

    return validate


def _output(raw: Any) -> Tensor:
    from limbeck.models.outputs import to_outputs

    said: Tensor = to_outputs(raw, ("main",))["main"]
    return said
