"""What a network of a run answers to rows, as it is judged, and its score on the validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from limbeck.data.generation import generation_in
from limbeck.data.regression import Regression
from limbeck.data.rows import Rows
from limbeck.models.student import Student
from limbeck.stages.job import Job
from limbeck.stages.judged import all_judged
from limbeck.stages.pixels import in_parts, masked
from limbeck.stages.tables import encoded
from limbeck.stages.text_training import text_validator, texts_of
from limbeck.stages.words import Truth, raw_answers


def predictions(job: Job, module: nn.Module, rows: Rows, corpus: Rows | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Answers of a student as they are judged, of a tagging task for all words; `corpus` are further documents."""
    tasks = job.data.tasks
    if generation_in(tasks) is not None:
        return texts_of(job, module, rows)
    if masked(tasks):
        return in_parts(rows, tasks, lambda part, _: _judged_rows(job, module, part))
    found = raw_answers(module, encoded(job.data, rows, job.student), rows, tasks)
    more = None if corpus is None else raw_answers(module, encoded(job.data, corpus, job.student), corpus, tasks)
    return all_judged(tasks, found, rows, more)


def _judged_rows(job: Job, module: nn.Module, rows: Rows) -> dict[str, np.ndarray[Any, Any]]:
    found = raw_answers(module, encoded(job.data, rows, job.student), rows, job.data.tasks)
    return all_judged(job.data.tasks, found, rows)


def validator(job: Job, student: Student) -> Callable[[nn.Module], float]:
    """A score on the validation rows, higher is better: the metric, averaged over the tasks."""
    if generation_in(job.data.tasks) is not None:
        return text_validator(job, student)
    rows = job.data.validation
    inputs = encoded(job.data, rows, student)
    measured, tasks = [], job.data.tasks
    for number, (head, task) in enumerate(job.data.tasks.items()):
        truth = Truth.of(rows, head, task)
        mask = truth.labelled
        if mask.any():
            metric = truth.metric(task, job.data.metric if number == 0 else None)
            weight = None if truth.weight is None else truth.weight[mask]
            measured.append((head, task, metric, mask, truth.y[mask], weight))

    def validate(module: nn.Module) -> float:
        def judged_part(part: Rows, at: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
            given = inputs if len(part) == len(rows) else inputs[at]
            return all_judged(tasks, raw_answers(module, given, part, tasks), part)

        found = in_parts(rows, tasks, judged_part)
        scores = []
        for head, task, metric, mask, y, weight in measured:
            value = metric(found[head][mask], y, weight)
            if isinstance(task, Regression) and not metric.higher_is_better:
                value /= float(np.mean(np.asarray(task.scale)))  # tasks of different units count alike
            scores.append(value if metric.higher_is_better else -value)
        return float(np.mean(scores))

    return validate
