"""What a student of text is before it is trained: its size, and how far it agrees with the teacher already."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.data.generation import generation_in
from limbeck.evaluate.answers import NUMBERS
from limbeck.evaluate.fidelity import agreement_rows
from limbeck.models.surgery.report import describe
from limbeck.report.words import count, size
from limbeck.stages import answers
from limbeck.stages.bases import taught_network
from limbeck.stages.job import Job
from limbeck.stages.judged import judged
from limbeck.stages.label import TEACHER
from limbeck.stages.tables import encoded
from limbeck.stages.words import raw_answers


def look(job: Job) -> dict[str, Any] | None:
    """Parameters, bytes and agreement of the untrained student of the first seed, said aloud; None for other rows.

    Agreement is on the validation rows with the teacher's answers, by head: the share of decisions that are alike, or
    for numbers the correlation (None where one side is constant, and for texts).
    """
    if job.student.encoder is None:
        return None
    module, rows = job.student.build(job.seeds[0]), job.data.validation
    found: dict[str, Any] = dict(describe(module))
    teacher = taught_network(job.teacher)
    if teacher is not None:
        found["smaller"] = describe(teacher)["parameters"] / found["parameters"]
    found["agreement"] = dict.fromkeys(job.data.tasks)
    if generation_in(job.data.tasks) is None:  # an untrained student writes to no end
        said = raw_answers(module, encoded(job.data, rows, job.student), rows, job.data.tasks)
        theirs = answers.read(job.run, answers.VALIDATION, TEACHER, (0,), rows)
        for head, task in job.data.tasks.items():
            found["agreement"][head] = _alike(task, theirs[head], judged(task, said[head], rows)[None])
    job.console.say(_in_words(job.student.label, found))
    return found


def _alike(given: Any, theirs: np.ndarray[Any, Any], mine: np.ndarray[Any, Any]) -> float | None:
    task = given.outcome
    if task.kind not in NUMBERS:
        return float(agreement_rows(task, theirs, mine).mean())
    a, b = theirs[0].astype(np.float64), mine[0].astype(np.float64)
    if not (len(a) > 1 and (a.std(0) > 0).all() and (b.std(0) > 0).all()):
        return None
    return float(np.mean([np.corrcoef(a[:, n], b[:, n])[0, 1] for n in range(a.shape[1])]))


def _in_words(label: str, found: dict[str, Any]) -> str:
    smaller = f", {found['smaller']:.1f} times smaller than the teacher" if "smaller" in found else ""
    heads = found["agreement"]
    each = ", ".join(
        f"{'' if len(heads) == 1 else head + ' '}{'not known' if value is None else f'{value:.2f}'}"
        for head, value in heads.items()
    )
    sizes = f"{count(found['parameters'])} parameters, {size(found['bytes'])}{smaller}"
    return f"student {label}: {sizes}; untrained agreement with the teacher {each}"
