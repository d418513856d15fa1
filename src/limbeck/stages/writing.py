"""Labelling where answers are texts: the teacher writes once, and everybody is judged on texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.generation import generation_in
from limbeck.data.rows import Array, Rows
from limbeck.evaluate.quality import metric_for
from limbeck.models.text.decoding import Decoding
from limbeck.signals import Needs
from limbeck.stages import answers
from limbeck.stages.forced import Forced, Spoken, listens, references
from limbeck.stages.job import Job
from limbeck.stages.taught import trained_how
from limbeck.stages.text_filters import drop_finding, kept_texts
from limbeck.stages.token_answers import store_tokens
from limbeck.stages.writers import Writer, network_of, writer_of
from limbeck.transfer import texts as store
from limbeck.transfer.written import FORMAT

if TYPE_CHECKING:
    from limbeck.core.findings import Finding

TRANSFER, TEACHER = "transfer", "teacher"


def head_of(job: Job) -> str:
    """The task that writes texts."""
    head = generation_in(job.data.tasks)
    assert head is not None
    return head


def sources(rows: Rows) -> list[Any]:
    """The texts of the one column of sources, or the clips."""
    if rows.kind == "audio":
        return list(rows.inputs)
    return [str(text) for text in rows.inputs.iloc[:, 0]]  # type: ignore[union-attr]


def as_texts(rows: Rows) -> list[str]:
    """The sources as texts whose length means something: of clips a sign for each tenth of a second."""
    if rows.kind == "audio":
        return ["." * max(1, round(10 * len(clip) / rows.rate)) for clip in sources(rows)]
    return sources(rows)


def shown(rows: Rows) -> Array | None:
    """The sources object [N] as one reads and copies them; None of clips."""
    return None if rows.kind == "audio" else as_array(sources(rows))


def label_texts(job: Job) -> None:
    """Let the teacher write for the training rows that need it, and for validation and test rows.

    Raises ConfigError for a teacher whose texts are no better than the copied sources.
    """
    head, spec = head_of(job), job.settings.writing
    wanted = to_write(job)
    inputs = {
        "teacher": job.teacher.fingerprint(), "data": job.data.fingerprint, "writing": spec.decoding,
        "testing": spec.testing, "sources": len(wanted),
        "tokens": _topk(job),
    }  # fmt: skip
    splits = ((answers.VALIDATION, job.data.validation), (answers.TEST, job.test))
    files = [answers.file_name(split, TEACHER, 0) for split, _ in splits]
    stage = job.run.stage("label", inputs, outputs=(TRANSFER, *files), mends=(TRANSFER,))
    if stage.done:
        return
    with stage:
        writer = writer_of(job.teacher)
        made = _write_pool(job, writer, job.pool.take(wanted))
        how = Decoding(**spec.testing)
        for split, rows in splits:
            said = writer.write(sources(rows), how, job.settings.seed)
            answers.write(job.run, split, TEACHER, 0, rows, {head: as_array(said)})
        if (topk := _topk(job)) is not None:
            _answer_tokens(job, made, topk)
        stage.note(answers=len(made))
    _refuse_ignorant(job)


def _topk(job: Job) -> int | None:
    """How many tokens a position are stored; None where no loss asks for them, or the teacher runs beside it."""
    return job.settings.writing.topk if job.objective.teacher_needs() != Needs() else None


def _answer_tokens(job: Job, made: store.Written, topk: int) -> None:
    """Store what the teacher says along the references and along its own texts, whatever the rules drop later."""
    pool, head, places = job.pool, head_of(job), to_write(job)
    said, _ = made.of(pool.keys[places])
    own = Forced(places, said.tolist(), np.ones(len(places), dtype=bool))
    forced, network = references(pool, head).followed_by(own), network_of(job.teacher)
    assert network is not None  # refused before any work
    folder = job.run.path(TRANSFER)
    store_tokens(network, job.student, pool, forced, head, folder, job.teacher.fingerprint(), topk)


def as_array(texts: list[str]) -> Array:
    """Texts as object [N]."""
    return np.array([*texts, None], dtype=object)[:-1]


def to_write(job: Job) -> Array:
    """Positions of the rows of the pool whose text the teacher writes: all for SequenceKD, else those without one."""
    pool = job.pool
    if listens(job.objective):
        return np.arange(len(pool))
    return np.setdiff1d(np.arange(len(pool)), references(pool, head_of(job)).places)


def _write_pool(job: Job, writer: Writer, rows: Rows) -> store.Written:
    spec = job.settings.writing
    how, given = Decoding(**spec.decoding), sources(rows)
    identity = {"format": FORMAT, "teacher": job.teacher.fingerprint(), "writing": spec.decoding}

    def wrote(places: Array, seed: int) -> tuple[list[str], Array]:
        asked = [given[place] for place in places]
        said = writer.write(asked, how, seed)
        return said, writer.logprobs(asked, said)

    with job.console.progress("label", len(rows)) as bar:
        told = [0]

        def progress(done: int, total: int) -> None:
            bar.advance(done - told[0])
            told[0] = done

        return store.fill(job.run.path(TRANSFER), identity, rows.keys, wrote, progress=progress)


def spoken_for(job: Job) -> tuple[Spoken | None, dict[str, Any], Finding | None]:
    """What the teacher wrote for the rows of the pool, with what the rules dropped; None where it wrote nothing."""
    head, pool, places = head_of(job), job.pool, to_write(job)
    if not len(places):
        return None, {}, None
    rows = pool.take(places)
    said, logprobs = store.read(job.run.path(TRANSFER)).of(rows.keys)
    gold = references(pool, head)
    known: dict[int, str] = dict(zip(gold.places.tolist(), gold.texts, strict=True))
    kept, drops = kept_texts(
        said.tolist(), logprobs, as_texts(rows), [known.get(int(p)) for p in places], job.settings.writing
    )
    texts, sound = np.full(len(pool), "", dtype=object), np.zeros(len(pool), dtype=bool)
    texts[places], sound[places] = said, kept
    return Spoken(texts, sound, drops), {"texts": len(places), "dropped": drops}, drop_finding(drops, len(places))


def _refuse_ignorant(job: Job) -> None:
    """Refuse a teacher that writes no better than copying; silenced by ignoring LB201."""
    if "LB201" in job.settings.ignore:
        return
    head, rows = head_of(job), job.data.validation
    task, mask = job.data.tasks[head], np.asarray(rows.label_mask[head])
    said = answers.read(job.run, answers.VALIDATION, TEACHER, (0,), rows)[head][0][mask]
    y, metric = rows.targets[head][mask], metric_for(task, None)
    given = shown(rows)
    copied = as_array([""] * len(rows)) if given is None else given
    score, trivial = metric(said, y), metric(copied[mask], y)
    if not (score > trivial if metric.higher_is_better else score < trivial):
        raise ConfigError(
            f"expected a teacher that knows the task, its {metric.name} on {len(y)} validation rows is {score:.3f}, "
            f"the {'empty texts' if given is None else 'copied sources'} have {trivial:.3f}",
            f"{trained_how(job)}, or look at what it writes in predictions/; to go on all the same, ignore LB201",
        )
