"""The train stage: every arm for every seed, through the one loop; a killed stage goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from limbeck.core.console import Progress as Bar
from limbeck.core.errors import StoreDamaged
from limbeck.core.files import checksum, read_json, write_json
from limbeck.core.findings import Finding
from limbeck.core.runtime import derive_seed
from limbeck.data.generation import generation_in
from limbeck.data.ondisk import OnDisk
from limbeck.data.rows import Rows, in_memory
from limbeck.data.words import word_counts
from limbeck.evaluate.cost import module_cost, training_cost
from limbeck.models.keras_network import KerasNetwork
from limbeck.models.outputs import AsLogits
from limbeck.models.saved import config_of, load, save, whole
from limbeck.models.student import Student
from limbeck.objectives.base import Sum
from limbeck.signals import TeacherSource
from limbeck.stages import answers, start
from limbeck.stages.arms import CONTROL, PSEUDO, STUDENT, Arm, plain_sum
from limbeck.stages.bases import taught_of
from limbeck.stages.job import Job, metric_identity
from limbeck.stages.label import resolve_objective
from limbeck.stages.pixels import in_parts, masked
from limbeck.stages.scoring import predictions, validator
from limbeck.stages.sound import with_real_time
from limbeck.stages.tables import encoder_of, labelled_first, order_for, table_of
from limbeck.stages.text_training import prepare_texts, taught_table, writes, writing_cost
from limbeck.stages.transcripts import heard_by
from limbeck.stages.words import decided_words, lengths_of
from limbeck.train import checkpoint
from limbeck.train.feed import Feed, Table
from limbeck.train.loop import Fitted, Progress, fit
from limbeck.train.plan import FINE_TUNING_RATE, TrainSpec
from limbeck.train.steps import Learner
from limbeck.transfer.source import Stored
from limbeck.transfer.store import Store

_AT_ONCE = 1 << 14  # rows whose answers are read together
FACTS = "facts.json"  # of one training, beside its weights


@dataclass(frozen=True)
class Training:
    """What every arm of a run shares; made once."""

    job: Job
    source: TeacherSource
    tables: Mapping[str, tuple[Table, int]]  # by arm: the table and its number of labelled rows
    steps: int
    validate: Callable[[nn.Module], float]


def train(job: Job, store: Store | None) -> None:
    """Train all arms over all seeds and write their predictions."""
    if store is not None:
        job.objective = resolve_objective(job, store)
    if suited(job.train, job.student) != job.train:
        job.reasons.append(f"learning rate {FINE_TUNING_RATE:g}: the student is a pretrained model of transformers")
    from limbeck.objectives import dump

    text = dump(job.objective)
    inputs = {
        "label": job.run.stage("label", {}).fingerprint,
        "data": job.data.fingerprint,
        "student": job.student.fingerprint,
        "objective": text,
        "train": job.train,
        "seeds": list(job.seeds),
        "arms": [arm.name for arm in job.arms],
        "metric": metric_identity(job.data),
    }
    if store is None:  # texts
        inputs["writing"] = job.settings.writing
    files = [name for arm in job.arms for seed in job.seeds for name in answered(job, arm.name, seed)]
    stage = job.run.stage("train", inputs, outputs=(*(arm.name for arm in job.arms), *files))
    if stage.done:
        return
    with stage:
        for name in dict.fromkeys("/".join(file.split("/")[:2]) for file in stage.removed):
            job.console.warn(f"{name} is not as it was written: it is made again")
        found: list[Finding] = []
        if store is None:
            training, wrote, found = prepare_texts(job)
            stage.note(writing=wrote, writes=writes(job))
        else:
            training = prepare(job, store)
            stage.note(heard=heard_by(job, store))
        stage.note(start=start.look(job))
        stage.note(objective=text, auto=job.reasons, steps=training.steps)
        with job.console.progress("train", training.steps * len(job.arms) * len(job.seeds)) as bar:
            for seed in job.seeds:
                for arm in job.arms:
                    train_arm(training, arm, seed, bar)
        _note(job, stage, found)


def prepare(job: Job, store: Store) -> Training:
    """Encode rows, choose the source of answers and the number of steps."""
    needs = job.objective.teacher_needs()
    live = bool(needs.taps or needs.attention or needs.on_policy or needs.teacher_input_grad)
    source: TeacherSource = job.teacher.source(job, needs) if live else Stored(store, job.data.tasks)
    take = (lambda inputs: inputs) if live else None  # a live teacher prepares raw rows itself
    views = job.data.view is not None and job.data.views > 0
    pool, labelled = labelled_first(job.pool)
    few = pool.take(np.arange(labelled))
    tables = {
        STUDENT: (table_of(job.data, pool, job.student, views=views, teacher_inputs=take), labelled),
        "few": (table_of(job.data, few, job.student, views=views, teacher_inputs=take), labelled),
    }
    if any(arm.pseudo for arm in job.arms):
        tables[PSEUDO] = (
            table_of(job.data, pool, job.student, views=views, pseudo=_pseudo(job, store, pool)),
            labelled,
        )
    steps = int(job.train.total_steps(labelled).value)
    return Training(job, source, tables, steps, validator(job, job.student))


def _pseudo(job: Job, store: Store, pool: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """The teacher's decisions as labels, for the tasks that have decisions."""
    from limbeck.stages.label import stored_answers, stored_words

    if isinstance(pool.inputs, OnDisk):  # answers of all rows would be large
        parts = [_pseudo(job, store, replace(pool, inputs=pool.keys).take(at)) for at in _stretches(len(pool))]
        return {head: np.concatenate([part[head] for part in parts]) for head in parts[0]}
    if masked(job.data.tasks):
        return in_parts(pool, job.data.tasks, lambda part, _: _decided_masks(job, store, part))
    said = stored_answers(job, store, pool)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for head, task in job.data.tasks.items():
        if task.kind == "tagging":
            read = stored_words(job, store, pool, head)
            found[head] = decided_words(said[head], word_counts(pool.inputs), read)
        elif task.decided:
            found[head] = task.decisions(said[head])
    return found


def _stretches(rows: int) -> list[np.ndarray[Any, Any]]:
    return [np.arange(start, min(start + _AT_ONCE, rows)) for start in range(0, rows, _AT_ONCE)]


def _decided_masks(job: Job, store: Store, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    from limbeck.stages.label import stored_answers

    said = stored_answers(job, store, rows)
    return {head: task.decisions(said[head]) for head, task in job.data.tasks.items() if task.decided}


def table_for(training: Training, arm: Arm) -> tuple[Table, int]:
    """The rows of an arm and how many of them carry labels."""
    if arm.pseudo or "few" not in training.tables:  # texts have a table for each arm
        return training.tables[arm.name]
    return training.tables[STUDENT if arm.unlabeled else "few"]


def train_arm(training: Training, arm: Arm, seed: int, bar: Bar) -> None:
    """Train one arm for one seed, unless it stands there already."""
    job, folder = training.job, training.job.run.path(arm.name, f"seed-{seed}")
    if done(job, arm.name, seed, folder):
        checkpoint.clear(folder / "checkpoints")
        bar.skip(training.steps)
        return
    table, labelled = table_for(training, arm)
    feed = Feed.of(
        table,
        labelled=labelled,
        batch_size=job.train.batch_size,
        unlabeled_batch=job.train.unlabeled_batch,
        seed=seed,
        views=job.data.views if job.data.view is not None else 0,
        order=order_for(job.data),
    )
    source = training.source if arm.teaches else None
    plan = replace(job.train, patience=None)  # an arm that stopped later would have had more chances
    module, fitted = fit_network(
        job, job.student, arm.objective, feed, source, plan, training.steps, seed, folder, training.validate,
        bar=bar, label=arm.name,
    )  # fmt: skip
    for split, rows, more in job.splits:
        said = predictions(job, module, rows, more)
        answers.write(job.run, split, arm.name, seed, rows, said, lengths_of(rows, job.data.tasks))
    keep(job, module, job.student, fitted, folder, answered(job, arm.name, seed))


def fit_network(
    job: Job, student: Student, objective: Sum, feed: Feed, source: TeacherSource | None, spec: TrainSpec, steps: int,
    seed: int, folder: Path, validate: Callable[[nn.Module], float], *, bar: Bar | None, label: str,
) -> tuple[nn.Module, Fitted]:  # fmt: skip
    """Train a network and return it in evaluation mode; the checkpoints lie in the folder until it is kept."""
    spec = suited(spec, student)
    learner = Learner.build(
        student.build(seed), objective, tuple(job.data.tasks), feed.batch(0), source=source, seed=seed
    )
    told = [0]

    def show(progress: Progress) -> None:
        if bar is not None:
            bar.advance(progress.step - told[0], {"loss": progress.loss})
            told[0] = progress.step

    fitted = fit(
        learner, source, feed, spec, validate=validate, folder=folder / "checkpoints", seed=seed, steps=steps,
        events=lambda name, value, step: job.run.event("train", name, value, arm=label, seed=seed, step=step),
        progress=show, say=job.console.detail,
    )  # fmt: skip
    if bar is not None:
        bar.advance(steps - told[0])
    return learner.deployed().eval(), fitted


def suited(spec: TrainSpec, student: Student) -> TrainSpec:
    """The plan with its learning rate, where that is left open and the student is a model of transformers."""
    if spec.learning_rate != "auto" or spec.optimizer == "sgd" or not student.fine_tunes:
        return spec
    return replace(spec, learning_rate=FINE_TUNING_RATE)


def answered(job: Job, arm: str, seed: int) -> list[str]:
    """Names of the files that hold the predictions of one arm and seed."""
    return [answers.file_name(split, arm, seed) for split, *_ in job.splits]


def keep(
    job: Job, module: nn.Module, student: Student, fitted: Fitted, folder: Path, written: Sequence[str] = ()
) -> None:
    """Save a trained network beside the facts of its training, and drop its checkpoints.

    Of the predictions that it has `written` the facts hold the checksums: run.json knows them only when all arms are
    trained.
    """
    facts = {
        "seconds": fitted.seconds,
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "best_score": fitted.best_score,
        "late_gain": fitted.late_gain,
        "skipped": fitted.skipped,
        "final_losses": fitted.history[-1] if fitted.history else {},
        "predictions": {name: checksum(job.run.path(name)) for name in written},
    }
    write_json(folder / FACTS, facts)
    names = {head: task.names for head, task in job.data.tasks.items()}
    network = module.inner if isinstance(module, AsLogits) else module
    if isinstance(network, KerasNetwork):
        network.takes = job.data.preprocess.spec
    save(module, folder, source=student, names=names)  # config.json is its last file: it says that all of it is there
    checkpoint.clear(folder / "checkpoints")


def done(job: Job, arm: str, seed: int, folder: Path) -> bool:
    """Whether an arm was trained and has answered, and all of that is still as it was written."""
    if not kept(folder):
        return False
    try:
        noted = read_json(folder / FACTS)["predictions"]
        return all(checksum(job.run.path(name)) == noted[name] for name in answered(job, arm, seed))
    except (StoreDamaged, KeyError, TypeError, OSError):
        return False


def kept(folder: Path) -> bool:
    """Whether a folder holds a trained network, with the weights that were written."""
    try:
        return whole(folder, read_json(config_of(folder)))
    except (StoreDamaged, KeyError, TypeError, OSError):
        return False


def teach_network(job: Job, what: Any, spec: TrainSpec, member: int, folder: Path) -> nn.Module:
    """Train a network on the labelled rows as a teacher, or read the one that stands there."""
    student = taught_of(what, job.data)
    if kept(folder):
        checkpoint.clear(folder / "checkpoints")  # killed just before that
        return rebuilt(student, member, folder)
    views = job.data.views if job.data.view is not None else 0
    if generation_in(job.data.tasks) is not None:
        table, labelled = taught_table(job, student)
    else:
        rows, labelled = labelled_first(job.data.train, job.data.tasks)  # a specialist's own rows alone
        table = table_of(job.data, rows.take(np.arange(labelled)), student, views=views > 0)
    seed = derive_seed("teacher", job.settings.seed, member)  # never that of a student of the same architecture
    feed = Feed.of(
        table, labelled=labelled, batch_size=spec.batch_size, seed=seed, views=views, order=order_for(job.data)
    )
    steps = int(spec.total_steps(labelled).value)
    objective = plain_sum(job.data.tasks)
    with job.console.progress(f"teach {member}", steps) as bar:
        module, fitted = fit_network(
            job,
            student,
            objective,
            feed,
            None,
            spec,
            steps,
            seed,
            folder,
            validator(job, student),
            bar=bar,
            label="teacher",
        )
    keep(job, module, student, fitted, folder)
    return module


def best_seed(job: Job) -> int:
    """The seed whose student validated best; the first of equals."""
    return int(job.run.stage("train", {}).facts["best_seed"])


def load_student(job: Job, seed: int) -> nn.Module:
    """A trained student that answers in training space."""
    return rebuilt(job.student, seed, job.run.path(STUDENT, f"seed-{seed}"))


def rebuilt(student: Student, seed: int, folder: Path) -> nn.Module:
    """The saved weights in a network that answers in training space (its final activation taken off)."""
    if student.encoder is not None:
        return load(folder)
    module = student.build(seed)
    load(folder, like=module.inner if isinstance(module, AsLogits) else module)
    return module.eval()


def _note(job: Job, stage: Any, found: Sequence[Finding]) -> None:
    """Keep in run.json what evaluation needs: costs of each arm, the best seed, findings."""
    facts = {
        arm.name: [read_json(job.run.path(arm.name, f"seed-{seed}", FACTS)) for seed in job.seeds] for arm in job.arms
    }
    scores = [entry["best_score"] for entry in facts[STUDENT]]
    best = max(range(len(scores)), key=lambda i: -np.inf if scores[i] is None else scores[i])
    held = job.data.validation.take(np.arange(min(64, len(job.data.validation))))
    held = replace(held, inputs=in_memory(held.inputs))
    shipped = load_student(job, job.seeds[best])
    if generation_in(job.data.tasks) is not None:
        cost = with_real_time(module_cost(*writing_cost(job, shipped)), held)
    else:
        cost = with_real_time(module_cost(shipped, encoder_of(job.data, job.student)(held.inputs)), held)
    costs: dict[str, Any] = {"teacher": with_real_time(job.teacher.cost(job), job.data.train)}
    for arm in job.arms:
        seconds = sum(entry["seconds"] for entry in facts[arm.name])
        steps = max(entry["steps"] for entry in facts[arm.name])
        own = cost if arm.name in (STUDENT, CONTROL) else {}
        costs[arm.name] = own | training_cost(seconds, steps, len(job.seeds))
    findings = [*found, *_still_improving(facts[STUDENT])]
    stage.note(best_seed=job.seeds[best], costs=costs, findings=[finding.to_json() for finding in findings])


def _still_improving(facts: list[dict[str, Any]]) -> list[Finding]:
    """LB303, where the last fifth of training raised the best validation score beyond the noise between seeds."""
    gains = np.array([entry["late_gain"] for entry in facts if entry["late_gain"] is not None])
    if len(gains) < 2 or not gains.mean() > 2 * gains.std(ddof=1) / len(gains) ** 0.5:
        return []
    return [
        Finding(
            "LB303",
            "tip",
            "still improving when training stopped",
            f"the last fifth of training raised the students' best validation score by {gains.mean():.3g} on average",
            "a longer training may give a better student; distillation rewards patience",
            "set train.steps higher, for example twice as many",
            {"gain": float(gains.mean()), "seeds": len(gains)},
        )
    ]
