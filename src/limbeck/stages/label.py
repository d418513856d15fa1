"""The label stage: the teacher answers every row once; training rows become the transfer set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.generation import generation_in
from limbeck.data.rows import Rows
from limbeck.evaluate import checks
from limbeck.evaluate.quality import metric_for
from limbeck.objectives.base import Sum
from limbeck.signals import Batch, Needs, TeacherSource
from limbeck.stages import answers
from limbeck.stages.job import Job
from limbeck.stages.writing import label_texts
from limbeck.transfer.codecs import Codec, codec_of
from limbeck.transfer.label import label as label_rows
from limbeck.transfer.manifest import Identity
from limbeck.transfer.store import Store

TRANSFER = "transfer"
TEACHER = "teacher"
_BATCH = 1024
_AUTO_ROWS = 20_000  # enough for a mean entropy


def label(job: Job) -> Store | None:
    """Answer training, validation and test rows; raises ConfigError where the teacher knows nothing of the task.

    None where answers are texts, which lie in a store of their own.
    """
    if generation_in(job.data.tasks) is not None:
        label_texts(job)
        return None
    heads = tuple(job.data.tasks)
    source = job.teacher.source(job, Needs(outputs=heads))
    ident = Identity(
        teacher=job.teacher.fingerprint(),
        preprocessing=job.data.preprocess.fingerprint,
        view=None if job.data.view is None else job.data.view.fingerprint,
    )
    outputs = (TRANSFER, *(answers.file_name(split, TEACHER, 0) for split in (answers.VALIDATION, answers.TEST)))
    inputs = {
        "teacher": ident.teacher,
        "preprocessing": ident.preprocessing,
        "view": ident.view,
        "views": job.data.views,
        "data": job.data.fingerprint,
        "codec": job.settings.codec,
    }
    stage = job.run.stage("label", inputs, outputs=outputs, mends=(TRANSFER,))
    if not stage.done:
        with stage:
            store = _label_pool(job, source, ident)
            for split, rows in ((answers.VALIDATION, job.data.validation), (answers.TEST, job.test)):
                answers.write(job.run, split, TEACHER, 0, rows, ask(job, source, rows))
            stage.note(answers=len(store), bytes_per_answer=store.row_bytes)
    store = Store(job.run.path(TRANSFER))
    refuse_ignorant(job, store)
    return store


def _label_pool(job: Job, source: TeacherSource, ident: Identity) -> Store:
    rows = job.pool
    with job.console.progress("label", len(rows) * max(job.data.views, 1)) as bar:
        told = [0]

        def progress(done: int, total: int) -> None:
            bar.advance(done - told[0])
            told[0] = done

        return label_rows(
            source,
            rows,
            job.run.path(TRANSFER),
            prepare=lambda inputs: inputs,  # sources prepare raw rows themselves
            heads=job.data.tasks,
            identity=ident,
            views=max(job.data.views, 1),
            view=job.data.view,
            codecs=codecs_of(job),
            batch_size=_BATCH,
            progress=progress,
        )


def codecs_of(job: Job) -> dict[str, Codec]:
    """How the answers of each task are stored, where the run says it; "auto" leaves it to the store."""
    if job.settings.codec == "auto":
        return {}
    dtype = {"fp16": "float16", "fp32": "float32"}[job.settings.codec]
    return {head: codec_of(task.kind, dtype) for head, task in job.data.tasks.items()}


def ask(job: Job, source: TeacherSource, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """Answers [N, C] of a source for rows as they are (logits, natural units)."""
    parts: dict[str, list[Any]] = {head: [] for head in job.data.tasks}
    for start in range(0, len(rows), _BATCH):
        part = rows.take(np.arange(start, min(start + _BATCH, len(rows))))
        outputs = source.answer(Batch(keys=part.keys, teacher_inputs=part.inputs)).outputs
        for head, task in job.data.tasks.items():
            values = outputs[head].detach().float().cpu().numpy()  # type: ignore[union-attr]
            parts[head].append(np.asarray(task.to_natural(values), dtype=np.float32))
    return {
        head: np.concatenate(each) if each else np.empty((0, job.data.tasks[head].size), np.float32)
        for head, each in parts.items()
    }


def stored_answers(job: Job, store: Store, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """What the store holds for rows under view 0: logits, natural units."""
    outputs = store.gather(store.find(rows.keys))
    return {head: np.asarray(outputs[head], dtype=np.float32) for head in job.data.tasks}


def refuse_ignorant(job: Job, store: Store) -> None:
    """Refuse a teacher that is no better than a constant on the labelled rows; silenced by ignoring LB201."""
    if "LB201" in job.settings.ignore:
        return
    said = stored_answers(job, store, job.data.train)
    for head, task in job.data.tasks.items():
        mask = job.data.train.label_mask[head]
        y, given = answers.truth(job.data.train, head, task)[mask], said[head][mask]
        if len(y) < 2:
            continue
        order = checks.class_order(task, y, given, "labelled rows")
        if order is not None:
            raise ConfigError(
                f"expected the teacher to speak of the classes in their order: {order.measured}", order.todo
            )
        metric = metric_for(task, None)
        score, constant = metric(given, y, None), metric.trivial_baseline(task, y, y)
        better = score > constant if metric.higher_is_better else score < constant
        if not better:
            raise ConfigError(
                f"expected a teacher that knows the task, its {metric.name} on {len(y)} labelled rows is {score:.3f}, "
                f"a constant answer has {constant:.3f}",
                "train it first (lb.teach), or look at what it takes as input and at the order of its classes; "
                "to go on all the same, ignore LB201",
            )


def resolve_objective(job: Job, store: Store) -> Sum:
    """The objective with every "auto" replaced by what the teacher's answers on the distillation rows suggest."""
    import torch

    from limbeck.objectives.response.temperature import resolve_auto

    rows = job.pool
    if len(rows) > _AUTO_ROWS:
        rows = rows.take(np.linspace(0, len(rows) - 1, _AUTO_ROWS).astype(np.int64))
    said: Mapping[str, Any] = {head: torch.from_numpy(v) for head, v in stored_answers(job, store, rows).items()}
    resolved, reasons = resolve_auto(job.objective, said)
    job.reasons = list(reasons)
    return resolved
