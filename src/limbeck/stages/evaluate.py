"""The evaluate stage: predictions in, scorecard out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from limbeck.core.files import write_json
from limbeck.core.findings import Finding
from limbeck.data.embedded import EMBEDDED
from limbeck.data.entries import filled
from limbeck.data.rows import Rows
from limbeck.data.tasks import Task
from limbeck.evaluate import scorecard
from limbeck.evaluate.evidence import Evidence, Validation
from limbeck.evaluate.show import finite
from limbeck.stages import answers
from limbeck.stages.folds import costs_of, validations
from limbeck.stages.folds import judged as judged_arms
from limbeck.stages.forced import listens
from limbeck.stages.job import Job, metric_identity
from limbeck.stages.judged import judged
from limbeck.stages.label import TRANSFER, stored_answers, without_inputs
from limbeck.stages.noise import answers_in_noise, ask_in_noise, noise_card
from limbeck.stages.pixels import few_for
from limbeck.stages.sliced import slices_for, slices_identity
from limbeck.stages.words import Truth
from limbeck.stages.writing import shown
from limbeck.transfer.store import Store
from limbeck.transfer.texts import read as read_texts

SCORECARD = "scorecard.json"
SHIPPED = "a student of the first seed, trained on all rows with the same settings"


def evaluate(job: Job) -> dict[str, Any]:
    """Judge the run: read the predictions of all arms, write scorecard.json and return it."""
    ask_in_noise(job)
    inputs = {
        **({} if job.folded is None else {"folds": job.run.stage("folds", {}).fingerprint}),
        "train": job.run.stage("train", {}).fingerprint,
        "label": job.run.stage("label", {}).fingerprint,
        "metric": metric_identity(job.data),
        "margin": job.settings.margin,
        "findings": [finding.to_json() for finding in job.findings],
        "ignore": list(job.settings.ignore),
        **slices_identity(job.test),
        **({"noise": job.run.stage("noise", {}).fingerprint} if job.settings.noise else {}),
    }
    stage = job.run.stage("evaluate", inputs, outputs=(SCORECARD,))
    if not stage.done:
        with stage:
            card = _scorecard(job)
            for snr, said in answers_in_noise(job).items():
                for head in job.data.tasks:
                    line = finite(noise_card(replace(_evidence(job, head, said, {}), slices=None), snr))
                    card["tasks"][head].setdefault("noise", []).append(line)
            write_json(job.run.path(SCORECARD), card)
    return scorecard.Scorecard.read(job.run.path(SCORECARD)).data


def _scorecard(job: Job) -> dict[str, Any]:
    tests = {arm: answers.read(job.run, answers.TEST, arm, seeds, job.test) for arm, seeds in judged_arms(job).items()}
    held = _held(job)
    facts = job.run.stage("train", {}).facts
    card = scorecard.build(
        {head: _evidence(job, head, tests, held) for head in job.data.tasks},
        name=job.settings.name,
        seeds=job.settings.seed_list,
        costs=facts["costs"] if job.folded is None else costs_of(job, facts["costs"]),
        findings=[*job.findings, *(Finding.from_json(f) for f in facts.get("findings", []))],
        ignore=job.settings.ignore,
        overlaps=job.data.overlaps,
        margin=job.settings.margin,
        provenance=_provenance(job, facts),
    )
    for head, counted in facts.get("heard", {}).items():
        card["tasks"][head]["heard"] = counted
    return card


def _held(job: Job) -> dict[str, Validation]:
    """Answers to validation rows and their truth by task, where there are labels."""
    if job.folded is not None:
        return validations(job, tuple(judged_arms(job)))
    rows, found = job.data.validation, {}
    said = {arm: answers.read(job.run, answers.VALIDATION, arm, seeds, rows) for arm, seeds in judged_arms(job).items()}
    for head, task in job.data.tasks.items():
        truth = Truth.of(rows, head, task)
        checked = truth.labelled
        if checked.any() and task.kind != "generation":
            arms = {arm: outputs[head][:, checked] for arm, outputs in said.items()}
            found[head] = Validation(truth.y[checked], arms)
    return found


def _evidence(job: Job, head: str, tests: Mapping[str, Mapping[str, Any]], held: Mapping[str, Validation]) -> Evidence:
    task, data = job.data.tasks[head], job.data
    test = Truth.of(job.test, head, task, data.corpus)
    labelled = without_inputs(data.train.take(data.train.label_mask[head]))
    truth = Truth.of(labelled, head, task)
    return Evidence(
        task=task.outcome,
        y=test.y,
        arms={arm: outputs[head] for arm, outputs in tests.items()},
        mask=test.labelled,
        weights=test.weight,
        groups=test.groups,
        y_train=None if task.kind == "retrieval" else _known(labelled, head, task),
        validation=held.get(head),
        stored=_stored(job, head, labelled, truth),
        sources=shown(job.test) if task.kind == "generation" else None,
        metric=data.metric if head == next(iter(data.tasks)) else None,
        sentences=test.sentences,
        slices=slices_for(job.test, test.sentences),
        folds=job.settings.folds,
    )


def _known(labelled: Rows, head: str, task: Task) -> Any:
    """The labels of training rows, those that miss an entry filled."""
    truth = Truth.of(filled(labelled, head), head, task)
    return truth.y[truth.labelled]


def _stored(job: Job, head: str, labelled: Rows, truth: Truth) -> tuple[Any, Any] | None:
    """The answers that training used on labelled rows, beside their labels; None where pairs are all there is."""
    task = job.data.tasks[head]
    if task.kind == "retrieval" or not truth.labelled.any():
        return None
    if task.kind == "generation":
        return _stored_texts(job, head, labelled)
    store = Store(job.run.path(TRANSFER))
    some = few_for(labelled, {head: task}, len(labelled))
    if len(some) < len(labelled):
        labelled, truth = some, Truth.of(some, head, task)
    values = stored_answers(job, store, labelled)[head]
    if task.judged_as or task.kind in EMBEDDED:
        values = judged(task, task.to_training(values), labelled)
    return values[truth.labelled], truth.y[truth.labelled]


def _stored_texts(job: Job, head: str, labelled: Rows) -> tuple[Any, Any] | None:
    """The teacher's texts for labelled rows, beside their references; None where it wrote none for them."""
    if not listens(job.objective):
        return None
    said, _ = read_texts(job.run.path(TRANSFER)).of(labelled.keys)
    return said, labelled.targets[head]


def _provenance(job: Job, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "objective": facts["objective"],
        "auto": facts["auto"],
        "data": job.data.describe(),
        "teacher": job.teacher.describe(),
        "student": job.student.describe(),
        "start": facts.get("start"),
        "steps": facts["steps"],
        "exported_seed": facts["best_seed"],
        **({} if job.folded is None else {"folds": job.folded.folds.count, "shipped": SHIPPED}),
    }
