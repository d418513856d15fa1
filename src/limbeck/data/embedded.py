"""Embeddings of both texts of a row side by side, [N, 2·D], as numbers that mean the same for every model."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.rows import Array

EMBEDDED = ("similarity", "retrieval")  # tasks whose answers are embeddings
SCORES = (  # what to do with a cross-encoder, or a table of what one said
    "scores of pairs teach rerankers (task: regression); for a student that embeds make them the labels of a "
    "similarity task"
)
_ROWS = 1024  # whose similarities with everything are held at once


def check_width(width: int, who: str) -> None:
    """Refuse answers that cannot be the embeddings of two texts; raises ConfigError."""
    if width < 4 or width % 2:
        raise ConfigError(
            f"expected the embeddings of both texts of a row from {who}, side by side (2·D numbers), it gives {width} "
            f"number{'s' if width != 1 else ''} a row",
            f"give a sentence-transformers model (st:FOLDER), or a function that embeds both columns; {SCORES}",
        )


def halves(answers: Any) -> tuple[Array, Array]:
    """Embeddings of first and second texts [N, D] each, of length 1 (0 stays 0)."""
    values = np.asarray(answers, dtype=np.float64)
    first, second = np.split(values, 2, axis=1)
    return _of_length_one(first), _of_length_one(second)


def _of_length_one(values: Array) -> Array:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0))


def pair_cosines(answers: Any) -> Array:
    """Cosine [N] of the two texts of each row."""
    first, second = halves(answers)
    return np.asarray((first * second).sum(axis=1))


def ranks(queries: Array, documents: Array, own: Array, positive: Array, of_query: Array) -> Array:
    """Rank [N] of each row's document among all [M, D], 1 for the first; ties share their mean.

    `own` [N] is the row's document. Other documents that belong to the same query (`positive` [P, 2]: query, document;
    `of_query` [N]) are no competitors.
    """
    found = np.empty(len(queries))
    order = np.argsort(positive[:, 0], kind="stable")
    sorted_queries, sorted_documents = positive[order, 0], positive[order, 1]
    for start in range(0, len(queries), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(queries)))
        scores = queries[rows] @ documents.T
        mine = scores[np.arange(len(rows)), own[rows]][:, None].copy()
        low = np.searchsorted(sorted_queries, of_query[rows])
        high = np.searchsorted(sorted_queries, of_query[rows], side="right")
        for number, (begin, end) in enumerate(zip(low, high, strict=True)):
            scores[number, sorted_documents[begin:end]] = -np.inf
        found[rows] = 1 + (scores > mine).sum(axis=1) + (scores == mine).sum(axis=1) / 2
    return found
