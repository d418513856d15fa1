"""What a model answered, as it is judged and kept in predictions.

Of most tasks that is the answer in natural units; of tasks on embeddings one number for each row (a cosine, a rank).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.specs import fingerprint
from limbeck.data.data import Data
from limbeck.data.embedded import EMBEDDED, check_width
from limbeck.data.retrieval import Retrieval
from limbeck.data.rows import Rows
from limbeck.data.tasks import Task

Array = np.ndarray[Any, Any]


def judged(task: Task, answers: Array, rows: Rows, corpus: Array | None = None) -> Array:
    """Float32 [N, ...] to judge, of answers [N, C] in training space to rows; `corpus` [M, C] answers its documents.

    Raises ConfigError for answers that are no embeddings, where the task is about these.
    """
    if task.kind in EMBEDDED:
        check_width(answers.shape[-1], "the model")
    return task.judged(answers, rows, corpus)


def all_judged(
    tasks: Mapping[str, Task], answers: Mapping[str, Array], rows: Rows, corpus: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """The same for every task."""
    return {
        head: judged(task, answers[head], rows, None if corpus is None else corpus[head])
        for head, task in tasks.items()
    }


def documents_of(data: Data) -> dict[str, str] | None:
    """A hash of the documents among which each split of a retrieval task is ranked; None for other tasks."""
    if not any(isinstance(task, Retrieval) for task in data.tasks.values()):
        return None
    found = {}
    for split, parts in (("validation", (data.validation,)), ("test", (data.test, data.corpus))):
        tables = [rows.inputs for rows in parts if rows is not None]
        texts = [table.iloc[:, 1].where(table.iloc[:, 1] != "", table.iloc[:, 0]) for table in tables]  # type: ignore[union-attr]
        found[split] = fingerprint(sorted({str(text) for column in texts for text in column}))
    return found


def judged_beside(tasks: Mapping[str, Task]) -> bool:
    """Whether what is kept of rows beside a transfer set is no answer any more: embeddings, and texts of frames."""
    return has_embeddings(tasks) or any(task.positions and bool(task.judged_as) for task in tasks.values())


def has_embeddings(tasks: Mapping[str, Task]) -> bool:
    """Whether a task is about embeddings."""
    return any(task.kind in EMBEDDED for task in tasks.values())
