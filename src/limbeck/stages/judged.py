"""What a model answered, as it is judged and kept in predictions.

Of most tasks that is the answer in natural units; of tasks on embeddings one number for each row (a cosine, a rank).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.data.embedded import EMBEDDED, check_width
from limbeck.data.retrieval import Retrieval
from limbeck.data.rows import Rows
from limbeck.data.similarity import Similarity
from limbeck.data.tasks import Task

Array = np.ndarray[Any, Any]


def judged(task: Task, answers: Array, rows: Rows, corpus: Array | None = None) -> Array:
    """Float32 [N, ...] to judge, of answers [N, C] in training space to rows; `corpus` [M, C] answers its documents.

    Raises ConfigError for answers that are no embeddings, where the task is about these.
    """
    if isinstance(task, Similarity | Retrieval):
        check_width(answers.shape[-1], "the model")
        return task.judged(answers, rows, corpus)
    return np.asarray(task.to_natural(answers), dtype=np.float32)


def all_judged(
    tasks: Mapping[str, Task], answers: Mapping[str, Array], rows: Rows, corpus: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """The same for every task."""
    return {
        head: judged(task, answers[head], rows, None if corpus is None else corpus[head])
        for head, task in tasks.items()
    }


def has_embeddings(tasks: Mapping[str, Task]) -> bool:
    """Whether a task is about embeddings."""
    return any(task.kind in EMBEDDED for task in tasks.values())
