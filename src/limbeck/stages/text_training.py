"""Training where answers are texts: tables of forced texts, a teacher beside the student, validation by writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from limbeck.core.findings import Finding
from limbeck.data.rows import Array, Rows
from limbeck.evaluate.quality import metric_for
from limbeck.models.student import Student
from limbeck.models.text.decoding import Decoding, Writing, write
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.objectives.base import Sum
from limbeck.signals import Batch, Needs, Signals, TeacherSource
from limbeck.stages.forced import Spoken, forced_for, forced_table, references
from limbeck.stages.job import Job
from limbeck.stages.token_answers import stored_tokens
from limbeck.stages.writers import network_of
from limbeck.stages.writing import TRANSFER, as_array, head_of, spoken_for
from limbeck.train.feed import Table

if TYPE_CHECKING:
    from limbeck.stages.train import Training

_VALIDATED = 512  # rows that are written for at each validation
_MEASURED = 64  # sources that costs are measured on


def prepare_texts(job: Job) -> tuple[Training, dict[str, object], list[Finding]]:
    """The tables of all arms, the teacher where it runs beside the student, and what the rules dropped."""
    from limbeck.stages.train import Training

    spoken, facts, finding = spoken_for(job)
    needs = job.objective.teacher_needs()
    asked, stored = asks_live(job.objective), job.settings.writing.topk is not None
    source: TeacherSource = _Silent()
    if asked and stored:
        source = stored_tokens(job.run.path(TRANSFER), job.student, head_of(job))
    elif asked:
        source = live_source(job, needs)
    tables = text_tables(job, spoken, live=asked and not stored, stored=asked and stored)
    steps = int(job.train.total_steps(len(references(job.pool, head_of(job)))).value)
    training = Training(job, source, tables, steps, text_validator(job, job.student))
    return training, facts, [] if finding is None else [finding]


def writes(job: Job) -> dict[str, object]:
    """What asking a student of this run later needs to know: the task, the column of sources, how it searches."""
    if job.data.train.kind == "audio":
        return {
            "head": head_of(job),
            "column": "",
            "decoding": job.settings.writing.testing,
            "rate": job.data.train.rate,
        }
    rows = job.data.train.inputs
    return {"head": head_of(job), "column": str(rows.columns[0]), "decoding": job.settings.writing.testing}  # type: ignore[union-attr]


class _Silent:
    """A teacher that has said everything before training: it wrote the targets."""

    def have(self) -> Needs:
        return Needs()

    def answer(self, batch: Batch) -> Signals:
        return Signals({})


def text_tables(job: Job, spoken: Spoken | None, *, live: bool, stored: bool) -> dict[str, tuple[Table, int]]:
    """The table of each arm by its name, and how many of its rows belong to labelled sources."""
    head, pool = head_of(job), job.pool
    made = {}
    for arm in job.arms:
        forced, labelled = forced_for(arm, pool, head, spoken)
        made[arm.name] = (
            forced_table(pool, forced, head, job.student, live=live and arm.teaches, stored=stored and arm.teaches),
            labelled,
        )
    return made


def taught_table(job: Job, student: Student) -> tuple[Table, int]:
    """The labelled training rows with their references, for a teacher that is trained here."""
    gold = references(job.data.train, head_of(job))
    return forced_table(job.data.train, gold, head_of(job), student), len(gold)


def asks_live(objective: Sum) -> bool:
    """Whether a term wants the teacher's logits or inner features while the student trains."""
    return objective.teacher_needs() != Needs()


def live_source(job: Job, needs: Needs) -> TeacherSource:
    """The teacher running beside the student, along the same texts."""
    from limbeck.transfer.source import Live

    network = network_of(job.teacher)
    assert network is not None
    return Live(network, job.data.tasks, taps=needs.taps, attention=needs.attention, output="logits", units="training")


def texts_of(job: Job, module: nn.Module, rows: Rows) -> dict[str, Array]:
    """What a network writes for rows, object [N] by task."""
    assert isinstance(module, Seq2SeqNetwork)
    encoded = torch.from_numpy(module.encoder.encode(rows.inputs))
    return {head_of(job): as_array(write(module, encoded, Decoding(**job.settings.writing.testing)))}


def text_validator(job: Job, student: Student) -> Callable[[nn.Module], float]:
    """The metric of greedy texts on at most 512 validation rows."""
    head = head_of(job)
    task, rows = job.data.tasks[head], job.data.validation
    places = np.flatnonzero(rows.label_mask[head])
    places = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), _VALIDATED)).astype(int))]
    rows = rows.take(places)
    assert student.encoder is not None
    encoded = torch.from_numpy(student.encoder.encode(rows.inputs))
    metric = metric_for(task, job.data.metric, rows.targets[head])
    how = Decoding(**{**job.settings.writing.testing, "beams": 1})

    def validate(module: nn.Module) -> float:
        assert isinstance(module, Seq2SeqNetwork)
        value = metric(as_array(write(module, encoded, how)), rows.targets[head], rows.weight)
        return value if metric.higher_is_better else -value

    return validate


def writing_cost(job: Job, module: nn.Module) -> tuple[nn.Module, torch.Tensor]:
    """A network as it is used, and sources to measure it on."""
    assert isinstance(module, Seq2SeqNetwork)
    rows = job.data.validation.take(np.arange(min(_MEASURED, len(job.data.validation))))
    how = Decoding(**job.settings.writing.testing)
    return Writing(module, how), torch.from_numpy(module.encoder.encode(rows.inputs))
