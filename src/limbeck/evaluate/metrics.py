"""The metrics of each kind of outcome, and what a constant answer scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from limbeck.data.task import Outcome as Judged
from limbeck.evaluate import derivatives, ranking, texts
from limbeck.evaluate.answers import (
    CLASSIFICATION,
    GENERATION,
    MULTILABEL,
    REGRESSION,
    RETRIEVAL,
    SEGMENTATION,
    SIMILARITY,
    TAGGING,
    Array,
    Outcome,
    Plain,
    Tags,
    decide,
    mean_of,
)

Score: TypeAlias = Callable[[Array, Array, Array | None], float]
RowScore: TypeAlias = Callable[[Array, Array], Array]
Influence: TypeAlias = Callable[[Array, Array, Array | None], Array]
UserMetric: TypeAlias = Callable[..., float]


@dataclass(frozen=True)
class Metric:
    """A number for the answers of one seed.

    `fn(answers [N, ...], y, weights [N] or None)` takes scores or decisions. `rows(answers, y)` [N] is there where
    the metric is the (weighted) mean of one number per row. `unit` is "%" (a share, shown times 100) or "" (as it is).
    `influence(answers, y, weights)` [N]: the derivative of the metric by a row's share of the weight, where it is
    known. `needs_scores`: bare decisions cannot give it.
    """

    name: str
    kind: str
    fn: Score
    higher_is_better: bool = True
    rows: RowScore | None = None
    influence: Influence | None = None
    unit: str = "%"
    needs_scores: bool = False

    @property
    def row_mean(self) -> bool:
        """Whether the metric is the mean of one number per row."""
        return self.rows is not None

    def __call__(self, answers: Array, y: Array, weights: Array | None = None) -> float:
        return self.fn(answers, y, weights)

    def trivial_baseline(self, task: Outcome, y_train: Array, y_test: Array, weights: Array | None = None) -> float:
        """What a constant answer scores: the most frequent class, the label rates, the mean (mae: the median)."""
        return self.fn(constant_answer(task, y_train, len(y_test), median=self.name == "mae"), y_test, weights)


_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly over the fractions


def constant_answer(task: Outcome, y_train: Array, rows: int, median: bool = False) -> Array:
    """The best constant answer by the training labels, for `rows` rows, in the shape of answers."""
    if isinstance(task, Judged) and task.trivial is not None and (own := task.trivial(y_train, rows)) is not None:
        return own
    if isinstance(task, Tags):
        return np.full(rows, task.constant, dtype=np.int64)
    if task.kind == GENERATION:
        return np.full(rows, "", dtype=object)
    if task.kind == CLASSIFICATION:
        top = np.bincount(y_train, minlength=len(task.names)).argmax()
        return np.full(rows, top, dtype=np.int64)
    if task.kind == MULTILABEL:
        rate = np.clip(y_train.mean(axis=0), 1e-6, 1 - 1e-6)
        return np.tile(np.log(rate) - np.log1p(-rate), (rows, 1))
    if task.kind == RETRIEVAL:  # ranks as of an order by chance, evenly spread over the documents
        chance = np.arange(1, rows + 1) * _GOLDEN % 1
        return np.asarray(1 + np.floor(chance * float(y_train.mean()))[:, None])
    centre = np.median(y_train, axis=0) if median else y_train.mean(axis=0)
    return np.tile(centre, (rows, 1))


# --- classification


def _hits(answers: Array, y: Array) -> Array:
    return np.asarray(decide(_CLASSES, answers) == y, dtype=np.float64)


def _accuracy(answers: Array, y: Array, weights: Array | None) -> float:
    return mean_of(_hits(answers, y), weights)


def recalls(decisions: Array, y: Array, classes: int, weights: Array | None = None) -> tuple[Array, Array]:
    """Recall of each class (NaN where it has no rows) and its weight, [C] each."""
    w = np.ones(len(y)) if weights is None else weights
    support = np.bincount(y, weights=w, minlength=classes)
    hits = np.bincount(y, weights=w * (decisions == y), minlength=classes)
    return np.divide(hits, support, out=np.full(len(support), np.nan), where=support > 0), support


def _balanced_accuracy(answers: Array, y: Array, weights: Array | None) -> float:
    recall, support = recalls(decide(_CLASSES, answers), y, int(y.max()) + 1, weights)
    return float(recall[support > 0].mean())


def _macro_f1(answers: Array, y: Array, weights: Array | None) -> float:
    guess = decide(_CLASSES, answers)
    w = np.ones(len(y)) if weights is None else weights
    size = int(max(y.max(), guess.max())) + 1
    hits = np.bincount(y, weights=w * (guess == y), minlength=size)
    both = np.bincount(y, weights=w, minlength=size) + np.bincount(guess, weights=w, minlength=size)
    return float((2 * hits[both > 0] / both[both > 0]).mean())


# --- several labels a row


def _label_f1(answers: Array, y: Array, weights: Array | None) -> float:
    guess = decide(_LABELS, answers)
    w = (np.ones(len(y)) if weights is None else weights)[:, None]
    hits, both = (w * guess * y).sum(axis=0), (w * guess).sum(axis=0) + (w * y).sum(axis=0)
    return float(np.divide(2 * hits, both, out=np.zeros_like(both, dtype=float), where=both > 0).mean())


def _exact(answers: Array, y: Array) -> Array:
    return np.asarray((decide(_LABELS, answers) == y).all(axis=-1), dtype=np.float64)


def _subset_accuracy(answers: Array, y: Array, weights: Array | None) -> float:
    return mean_of(_exact(answers, y), weights)


def _mean_average_precision(answers: Array, y: Array, weights: Array | None) -> float:
    with_positives = np.flatnonzero(y[weights > 0].any(axis=0) if weights is not None else y.any(axis=0))
    if not len(with_positives):
        return 0.0
    w = np.ones(len(y)) if weights is None else weights
    return float(np.mean([_average_precision(answers[:, j], y[:, j], w) for j in with_positives]))


def _average_precision(scores: Array, y: Array, w: Array) -> float:
    """Sum of precision times the step in recall over distinct scores, as scikit-learn, in a tenth of its time."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits, seen = np.cumsum((w * y)[order])[last], np.cumsum(w[order])[last]
    return float((np.diff(hits, prepend=0.0) * hits / seen).sum() / hits[-1])


# --- regression


def _squares(answers: Array, y: Array, weights: Array | None) -> Array:
    return np.asarray(np.average((answers - y) ** 2, axis=0, weights=weights))


def _r2(answers: Array, y: Array, weights: Array | None) -> float:
    spread = np.average((y - np.average(y, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    squares = _squares(answers, y, weights)
    # a target that does not vary on the test rows: 1 when hit exactly, else 0 (as scikit-learn)
    flat = np.where(squares == 0, 1.0, 0.0)
    return float(np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1.0), flat).mean())


def _rmse(answers: Array, y: Array, weights: Array | None) -> float:
    return float(np.sqrt(_squares(answers, y, weights)).mean())


def _distances(answers: Array, y: Array) -> Array:
    return np.asarray(np.abs(answers - y).mean(axis=-1))


def _mae(answers: Array, y: Array, weights: Array | None) -> float:
    return mean_of(_distances(answers, y), weights)


_CLASSES, _LABELS = Plain(CLASSIFICATION, ()), Plain(MULTILABEL, ())


def row_mean(name: str, kind: str, rows: RowScore) -> Metric:
    """The (weighted) mean of one number a row."""
    return Metric(name, kind, lambda answers, y, weights: mean_of(rows(answers, y), weights), rows=rows)


METRICS: dict[str, dict[str, Metric]] = {
    CLASSIFICATION: {
        "accuracy": Metric("accuracy", CLASSIFICATION, _accuracy, rows=_hits),
        "balanced_accuracy": Metric(
            "balanced_accuracy", CLASSIFICATION, _balanced_accuracy, influence=derivatives.balanced_accuracy
        ),
        "macro_f1": Metric("macro_f1", CLASSIFICATION, _macro_f1, influence=derivatives.macro_f1),
    },
    MULTILABEL: {
        "macro_f1": Metric("macro_f1", MULTILABEL, _label_f1, influence=derivatives.label_f1),
        "subset_accuracy": Metric("subset_accuracy", MULTILABEL, _subset_accuracy, rows=_exact),
        "map": Metric(
            "map", MULTILABEL, _mean_average_precision, influence=derivatives.mean_average_precision, needs_scores=True
        ),
    },
    REGRESSION: {
        "r2": Metric("r2", REGRESSION, _r2, influence=derivatives.r2, unit=""),
        "rmse": Metric("rmse", REGRESSION, _rmse, higher_is_better=False, influence=derivatives.rmse, unit=""),
        "mae": Metric("mae", REGRESSION, _mae, higher_is_better=False, rows=_distances, unit=""),
    },
    SIMILARITY: {
        "spearman": Metric("spearman", SIMILARITY, ranking.spearman, influence=ranking.spearman_influence, unit=""),
        "pearson": Metric("pearson", SIMILARITY, ranking.pearson, influence=ranking.pearson_influence, unit=""),
    },
    RETRIEVAL: {
        "recall@10": row_mean("recall@10", RETRIEVAL, ranking.hits(10)),
        "recall@1": row_mean("recall@1", RETRIEVAL, ranking.hits(1)),
        "mrr@10": row_mean("mrr@10", RETRIEVAL, ranking.reciprocal),
    },
    GENERATION: {
        "bleu": Metric("bleu", GENERATION, texts.bleu, influence=texts.bleu_influence),
        "chrf": Metric("chrf", GENERATION, texts.chrf, influence=texts.chrf_influence),
        "rouge_l": Metric("rouge_l", GENERATION, texts.rouge, rows=texts.rouge_rows),
    },
}
DEFAULT = {
    CLASSIFICATION: "accuracy",
    MULTILABEL: "macro_f1",
    REGRESSION: "r2",
    SIMILARITY: "spearman",
    RETRIEVAL: "recall@10",
    SEGMENTATION: "mean_iou",
    TAGGING: "entity_f1",
    GENERATION: "bleu",
}
