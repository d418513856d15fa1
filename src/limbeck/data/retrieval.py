"""Retrieval: a query and the document that answers it, to be found among the documents of all rows.

There are no labels but the pairs. Answers of models are embeddings; what is judged and kept in predictions is the rank
of each query's document among the documents of the test rows and of the corpus: hits, reciprocal ranks and their
intervals follow from it, for models of any width, without storing the corpus once for each seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from limbeck.data.embedded import halves, pair_cosines, ranks
from limbeck.data.rows import Array, Rows
from limbeck.data.task import TaskKind


@dataclass(frozen=True)
class Retrieval(TaskKind):
    """Queries and their documents. `size` is the width of an answer where it is known: 0 leaves it to the model."""

    size: int = 0
    kind: ClassVar[str] = "retrieval"
    metrics: ClassVar[tuple[str, ...]] = ("recall@10", "recall@1", "mrr@10")
    hard: ClassVar[str] = "InfoNCE"
    objective: ClassVar[str] = "0.1 * InfoNCE + 0.9 * ContrastiveKD"

    @property
    def names(self) -> tuple[str, ...]:
        return ("rank",)

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Ones float32 [N, 1], for each row is a pair, and mask bool [N]."""
        return np.ones((len(raw), 1), dtype=np.float32), np.ones(len(raw), dtype=bool)

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """Ranks float32 [N, 1] of embeddings [N, 2·D]; `more` [M, 2·D] are those of a corpus."""
        query, document = _places(rows)
        queries, documents = halves(answers)
        first = np.unique(document, return_index=True)[1]
        among = documents[first]
        if more is not None and len(more):
            among = np.concatenate([among, halves(more)[0]])  # single texts stand in the first column
        found = ranks(queries, among, document, np.unique(np.stack([query, document], axis=1), axis=0), query)
        return found[:, None].astype(np.float32)

    def truth(self, rows: Rows, head: str, corpus: Rows | None = None) -> Array:
        """Number of documents float32 [N, 1] among which each row's is found, those of a corpus included."""
        documents = len(np.unique(_places(rows)[1])) + (0 if corpus is None else len(corpus))
        return np.full((len(rows), 1), documents, dtype=np.float32)

    def predict(self, answers: Any) -> Array:
        """Cosine [N] of query and document, of embeddings [N, 2·D]."""
        return pair_cosines(answers)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task: pairs have no labels."""
        return cls()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        return cls()

    def to_spec(self) -> dict[str, Any]:
        return {"kind": self.kind}


def _places(rows: Rows) -> tuple[Array, Array]:
    """The number of each row's query and of its document, int64 [N] each; equal texts have equal numbers."""
    assert isinstance(rows.inputs, pd.DataFrame)
    query, document = (pd.factorize(rows.inputs[name])[0].astype(np.int64) for name in rows.inputs.columns)
    return query, document
