"""The label stage: the teacher answers every row once; training rows become the transfer set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.run import Stage
from limbeck.data.embedded import EMBEDDED, check_width
from limbeck.data.generation import generation_in
from limbeck.data.ondisk import OnDisk
from limbeck.data.retrieval import Retrieval
from limbeck.data.rows import Rows, in_memory
from limbeck.data.similarity import Similarity
from limbeck.data.tagging import Tagging
from limbeck.data.tasks import Task
from limbeck.evaluate import checks
from limbeck.evaluate.answers import CLASSIFICATION, Outcome, Tags
from limbeck.objectives.base import Sum
from limbeck.signals import Batch, Needs, TeacherSource
from limbeck.stages import answers
from limbeck.stages.job import Job
from limbeck.stages.judged import all_judged, documents_of, has_embeddings, judged, judged_beside
from limbeck.stages.label_error import differences, in_words
from limbeck.stages.partial import known_to
from limbeck.stages.pixels import batch_for, codec_for, few_for, in_parts, masked, plan_for, sizes_of
from limbeck.stages.taught import trained_how
from limbeck.stages.teachers import GivenTeacher
from limbeck.stages.words import Truth, flattened, lengths_of, words_read
from limbeck.stages.writing import label_texts
from limbeck.transfer.codecs import Codec, codec_of
from limbeck.transfer.label import label as label_rows
from limbeck.transfer.manifest import Identity
from limbeck.transfer.store import Store

TRANSFER = "transfer"
TEACHER = "teacher"
_BATCH = 1024
_MEASURED = 256  # rows that are answered twice where answers are in half precision
_LOOKED_AT = 2_000  # rows of embeddings
_STREAMED = 50_000  # labelled rows of a stream that are held against the teacher
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
        tokenizer=job.teacher.tokenizer() if isinstance(job.teacher, GivenTeacher) else None,
        view=None if job.data.view is None else job.data.view.fingerprint,
        precision=None if job.settings.label_dtype == "fp32" else job.settings.label_dtype,
    )
    outputs = (TRANSFER, *(answers.file_name(split, TEACHER, 0) for split, *_ in job.splits))
    inputs = {
        "teacher": ident.teacher,
        "preprocessing": ident.preprocessing,
        "view": ident.view,
        "views": job.data.views,
        "data": job.data.fingerprint,
        "codec": job.settings.codec,
        "dtype": job.settings.label_dtype,
    }
    stage = job.run.stage("label", inputs, outputs=outputs, mends=(TRANSFER,))
    if not stage.done:
        with stage:
            label_error(job, stage, source)
            store = _label_pool(job, source, ident)
            for split, rows, more in job.splits:
                said = ask(job, source, rows, more)
                answers.write(job.run, split, TEACHER, 0, rows, said, lengths_of(rows, job.data.tasks))
            known = known_to(job.teacher, job.data.tasks)
            stage.note(
                answers=len(store), bytes_per_answer=store.row_bytes, documents=documents_of(job.data),
                known={head: list(ids) for head, ids in known.items()},
            )  # fmt: skip
    store = Store(job.run.path(TRANSFER))
    refuse_ignorant(job, store)
    return store


def label_error(job: Job, stage: Stage, source: TeacherSource) -> None:
    """Measure on some rows how far answers in half precision are from those in fp32; say it and keep it as facts."""
    if job.settings.label_dtype == "fp32":
        return
    exact = job.teacher.source(
        replace(job, settings=replace(job.settings, label_dtype="fp32")), Needs(outputs=tuple(job.data.tasks))
    )
    rows = job.pool
    rows = rows.take(np.unique(np.linspace(0, len(rows) - 1, _MEASURED).astype(np.int64)))
    right, found = ask(job, exact, rows), ask(job, source, rows)
    measured = {head: differences(right[head], found[head], task.form) for head, task in job.data.tasks.items()}
    for head, each in measured.items():
        job.console.say(f"labels of {head} in {job.settings.label_dtype} against fp32: {in_words(each)}")
    stage.note(label_error=measured)


def _label_pool(job: Job, source: TeacherSource, ident: Identity) -> Store:
    rows = job.pool
    for line in sizes_of(rows, job.data.tasks, max(job.data.views, 1), _dtype(job)):
        job.console.say(line)
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
            heads=_sized(job, source),
            identity=ident,
            views=max(job.data.views, 1),
            view=job.data.view,
            codecs=codecs_of(job),
            batch_size=batch_for(rows, job.data.tasks, _BATCH),
            progress=progress,
            **plan_for(rows, job.data.tasks, _dtype(job)),
        )


def _sized(job: Job, source: TeacherSource) -> dict[str, Task]:
    """The tasks with the width of the teacher's answers, where a task leaves it open; raises ConfigError for none."""
    tasks = dict(job.data.tasks)
    if not has_embeddings(tasks):
        return tasks
    said = _raw(job, source, job.pool.take(np.arange(min(2, len(job.pool)))))
    for head, task in tasks.items():
        if isinstance(task, Similarity | Retrieval):
            check_width(said[head].shape[-1], "the teacher")
            tasks[head] = replace(task, size=int(said[head].shape[-1]))
    return tasks


def codecs_of(job: Job) -> dict[str, Codec]:
    """How the answers of each task are stored, where the run says it; "auto" leaves it to the store."""
    dtype = _dtype(job)
    pixels = {head: codec_for(task, job.pool, dtype) for head, task in job.data.tasks.items()}
    fixed: dict[str, Codec] = {head: codec for head, codec in pixels.items() if codec is not None}
    if job.settings.codec == "auto":
        return fixed
    return {head: codec_of(task.positions, dtype) for head, task in job.data.tasks.items()} | fixed


def _dtype(job: Job) -> str:
    return "float32" if job.settings.codec == "fp32" else "float16"


def ask(job: Job, source: TeacherSource, rows: Rows, corpus: Rows | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Answers [N, C] of a source for rows as they are judged (logits, natural units, cosines, ranks); words [M, C]."""
    if isinstance(source, Judged) and judged_beside(job.data.tasks):
        return {head: source.judged(rows.keys, head) for head in job.data.tasks}
    if masked(job.data.tasks):
        tasks = job.data.tasks
        return in_parts(rows, tasks, lambda part, _: all_judged(tasks, _raw(job, source, part), part))
    more = None if corpus is None else _raw(job, source, corpus)
    return all_judged(job.data.tasks, _raw(job, source, rows), rows, more)


@runtime_checkable
class Judged(Protocol):
    """A source that keeps what was judged of rows whose answers it has not."""

    def judged(self, keys: np.ndarray[Any, Any], head: str) -> np.ndarray[Any, Any]:
        """Numbers [N, 1] of rows by key."""
        ...


def _raw(job: Job, source: TeacherSource, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """Answers float32 [N, C] of a source in training space; of a tagging task [M, C] for all words."""
    parts: dict[str, list[Any]] = {head: [] for head in job.data.tasks}
    size = batch_for(rows, job.data.tasks, _BATCH)
    for start in range(0, len(rows), size):
        part = rows.take(np.arange(start, min(start + size, len(rows))))
        said = source.answer(Batch(keys=part.keys, teacher_inputs=in_memory(part.inputs)))
        for head, task in job.data.tasks.items():
            parts[head].append(flattened(task, head, said, part))
    return {
        head: np.concatenate(each) if each else np.empty((0, job.data.tasks[head].size), np.float32)
        for head, each in parts.items()
    }


def stored_answers(job: Job, store: Store, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """What the store holds for rows under view 0: logits, natural units, embeddings; of a tagging task [M, C] words."""
    places = store.find(rows.keys)
    if not any(task.positions for task in job.data.tasks.values()):
        outputs = store.gather(places)
        return {head: np.asarray(outputs[head], dtype=np.float32) for head in job.data.tasks}
    parts: dict[str, list[Any]] = {head: [] for head in job.data.tasks}
    for start in range(0, max(len(rows), 1), _BATCH):  # padded rows of a whole split would be large
        index = np.arange(start, min(start + _BATCH, len(rows)))
        said = store.signals(places[index])
        for head, task in job.data.tasks.items():
            parts[head].append(flattened(task, head, said, rows.take(index)))
    return {head: np.concatenate(each) for head, each in parts.items()}


def stored_words(job: Job, store: Store, rows: Rows, head: str) -> np.ndarray[Any, Any]:
    """Which of all words of rows have an answer in the store, bool [M]: those that the teacher has read."""
    places, parts = store.find(rows.keys), [np.empty(0, dtype=bool)]
    for start in range(0, len(rows), _BATCH):
        index = np.arange(start, min(start + _BATCH, len(rows)))
        parts.append(words_read(head, store.signals(places[index], (head,)), rows.take(index)))
    return np.concatenate(parts)


def refuse_ignorant(job: Job, store: Store) -> None:
    """Refuse a teacher that is no better than a constant on the labelled rows; silenced by ignoring LB201."""
    if "LB201" in job.settings.ignore:
        return
    rows = job.data.train
    if has_embeddings(job.data.tasks) and len(rows) > _LOOKED_AT:  # ranks among all of them would take long
        rows = rows.take(np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(np.int64))
    rows = without_inputs(few_for(rows, job.data.tasks, len(rows)))
    said = stored_answers(job, store, rows)
    for head, task in job.data.tasks.items():
        truth = Truth.of(rows, head, task)
        y, given = truth.y[truth.labelled], said[head]
        if task.judged_as or task.kind in EMBEDDED:
            given = judged(task, task.to_training(given), rows)
        given = given[truth.labelled]
        if len(y) < 2:
            continue
        order = checks.class_order(task.outcome, y, given, "labelled rows")
        if order is not None:
            raise ConfigError(
                f"expected the teacher to speak of the classes in their order: {order.measured}", order.todo
            )
        metric = truth.metric(task, None)
        score, constant = metric(given, y, None), metric.trivial_baseline(_judged_as(task), y, y)
        better = score > constant if metric.higher_is_better else score < constant
        if not better:
            raise ConfigError(
                f"expected a teacher that knows the task, its {metric.name} on {len(y)} labelled "
                f"{'rows' if truth.sentences is None else 'words'} is {score:.3f}, a constant answer has "
                f"{constant:.3f}",
                f"{trained_how(job)}, or look at what it takes as input and at the order of its classes; "
                "to go on all the same, ignore LB201",
            )


def without_inputs(rows: Rows) -> Rows:
    """Rows to look up answers of: of a stream no more than some, evenly spread, and none of their inputs."""
    if not isinstance(rows.inputs, OnDisk):
        return rows
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _STREAMED)).astype(np.int64))
    return replace(rows, inputs=rows.keys).take(some)


def _judged_as(task: Task) -> Outcome:
    """The task as its constant answer is found: that of words is O."""
    return Tags(CLASSIFICATION, task.names) if isinstance(task, Tagging) else task.outcome


def _flat(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Answers [M, C]; those at the positions of each row one after the other."""
    return np.concatenate(list(values)) if values.dtype == object else values


def resolve_objective(job: Job, store: Store) -> Sum:
    """The objective with every "auto" replaced by what the teacher's answers on the distillation rows suggest."""
    import torch

    from limbeck.objectives.response.temperature import resolve_auto

    rows = job.pool
    rows = replace(rows, inputs=rows.keys) if isinstance(rows.inputs, OnDisk) else rows  # these are not read
    rows = few_for(rows, job.data.tasks, _AUTO_ROWS)
    said: Mapping[str, Any] = {head: torch.from_numpy(_flat(v)) for head, v in stored_answers(job, store, rows).items()}
    resolved, reasons = resolve_auto(job.objective, said)
    job.reasons = list(reasons)
    return resolved
