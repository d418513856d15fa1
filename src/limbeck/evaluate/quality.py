"""Which metric a task is judged by: one of its own, one within groups, or a function of the user."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.audio.spelling import cer, wer
from limbeck.data.task import Outcome as Judged
from limbeck.evaluate import ranking
from limbeck.evaluate.answers import (
    CLASSIFICATION,
    GENERATION,
    NUMBERS,
    REGRESSION,
    SIMILARITY,
    TAGGING,
    Array,
    Outcome,
    decide,
    has_scores,
)
from limbeck.evaluate.metrics import DEFAULT as DEFAULT
from limbeck.evaluate.metrics import METRICS as METRICS
from limbeck.evaluate.metrics import Metric as Metric
from limbeck.evaluate.metrics import RowScore as RowScore
from limbeck.evaluate.metrics import Score as Score
from limbeck.evaluate.metrics import UserMetric as UserMetric
from limbeck.evaluate.metrics import constant_answer as constant_answer
from limbeck.evaluate.metrics import recalls as recalls
from limbeck.evaluate.metrics import row_mean


def metrics_of(task: Outcome, sentences: Array | None = None) -> Mapping[str, Metric]:
    """The metrics of a task by name; those of tagging count in `sentences` [M], the sentence of each word."""
    if isinstance(task, Judged):
        return {
            name: Metric(name, task.kind, m.fn, m.higher_is_better, m.rows, m.influence, m.unit)
            for name, m in task.measures.items()
        }
    if getattr(task, "spoken", False):
        return SPOKEN
    if task.kind != TAGGING:
        return METRICS[task.kind]
    from limbeck.evaluate import entities

    of = np.zeros(0, dtype=np.int64) if sentences is None else sentences
    return entities.metrics_of(entities.Sentences(of, tuple(task.names)))


def label_of(task: Outcome) -> str:
    """What a user calls the kind of a task."""
    return task.label if isinstance(task, Judged) else task.kind


def metric_for(
    task: Outcome,
    spec: str | UserMetric | Metric | None = None,
    y: Array | None = None,
    *,
    groups: Array | None = None,
    sentences: Array | None = None,
) -> Metric:
    """Find a metric by name, wrap a user's function (y_true, y_pred) -> number, or take the task's default.

    Metrics of the order within a query (ndcg@10, mrr@10) are bound to the `groups` [N] of the rows that they judge.

    Whether a function is higher-is-better is seen from what it gives to the truth `y` itself and to a constant answer;
    without `y`, from its name ("_error", "_loss" and "_deviance" are lower-is-better, as in scikit-learn).
    """
    if isinstance(spec, Metric):
        return spec
    known = metrics_of(task, sentences)
    if spec is None:
        return known[getattr(task, "default_metric", DEFAULT[task.kind])]
    if isinstance(spec, str):
        if spec in known:
            return known[spec]
        if spec in GROUPED:
            return within_groups(task, spec, groups)
        close = difflib.get_close_matches(spec, known, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ConfigError(
            f"expected a metric for a {label_of(task)} task, got '{spec}'",
            f"{hint}there are {', '.join(known)}; or give a function (y_true, y_pred) -> number",
        )
    if callable(spec) and task.kind == TAGGING:
        from limbeck.evaluate import entities

        of = np.zeros(0, dtype=np.int64) if sentences is None else sentences
        return entities.of_user(entities.Sentences(of, tuple(task.names)), spec)
    if callable(spec):
        return _directed(_of_user(task, spec), task, y)
    raise ConfigError(
        f"expected a metric name or a function (y_true, y_pred), got {type(spec).__name__}",
        f"for a {label_of(task)} task there are {', '.join(known)}",
    )


SPOKEN = {  # of texts that are heard
    name: Metric(name, GENERATION, m.fn, m.higher_is_better, m.rows, m.influence, m.unit)
    for name, m in (("wer", wer()), ("cer", cer()))
}
GROUPED = {"ndcg@10": ranking.ndcg_of_groups, "mrr@10": ranking.mrr_of_groups}


def within_groups(task: Outcome, name: str, groups: Array | None) -> Metric:
    """How well scores order the rows of each group (the passages of a query): the mean over groups.

    A row's share is its group's value over the number of the group's rows, so that the mean over rows is that over
    groups. Gains are labels (below 0 counts as 0) or whether a row is of the second class. Raises ConfigError for other
    tasks and without groups.
    """
    if not (task.kind in (REGRESSION, SIMILARITY) and len(task.names) == 1) and not (
        task.kind == CLASSIFICATION and len(task.names) == 2
    ):
        raise ConfigError(
            f"expected one score a row or two classes for {name}, got a {task.kind} task over {len(task.names)}",
            "rerankers give one number for each passage",
        )
    if groups is None:
        raise ConfigError(
            f"expected groups for {name}: which rows belong to one query",
            "name their column in train and test: columns=lb.Columns(group='query')",
        )
    number = np.unique(groups, return_inverse=True)[1].ravel()
    share = len(number) / (number.max() + 1) / np.bincount(number)[number]

    def rows(answers: Array, y: Array) -> Array:
        if task.kind == CLASSIFICATION:
            scores = answers[:, 1] - answers[:, 0] if answers.ndim == 2 else answers.astype(np.float64)
            gains = y.astype(np.float64)
        else:
            scores, gains = answers[:, 0], np.maximum(y[:, 0], 0.0)
        return np.asarray(GROUPED[name](scores, gains, number) * share)

    return row_mean(name, task.kind, rows)


def _directed(metric: Metric, task: Outcome, y: Array | None) -> Metric:
    if y is None or not len(y):
        return metric
    perfect = metric(y if task.kind in (*NUMBERS, GENERATION) else y.astype(np.int64), y)
    constant = metric(constant_answer(task, y, len(y)), y)
    if np.isfinite([perfect, constant]).all() and perfect != constant:
        return replace(metric, higher_is_better=perfect > constant)
    return metric


def user_values(task: Outcome, decisions: Array) -> Array:
    """Decisions as the user wrote them: class names (integers where all names are), 0/1, or values ([N] for one)."""
    if task.kind == CLASSIFICATION:
        names: list[Any] = list(task.names)
        if all(n.lstrip("-").isdecimal() and str(int(n)) == n for n in names):
            names = [int(n) for n in names]
        elif set(names) == {"False", "True"}:
            names = [n == "True" for n in names]
        return np.asarray(np.asarray(names)[decisions])
    if task.kind in NUMBERS and decisions.shape[-1] == 1:
        return decisions[..., 0]
    return decisions


def _of_user(task: Outcome, function: UserMetric) -> Metric:
    name, higher = named(function)
    try:
        weighted = "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        weighted = False

    def score(answers: Array, y: Array, weights: Array | None) -> float:
        if weights is not None and not weighted:
            return _resampled(answers, y, weights)
        args = {"sample_weight": weights} if weights is not None else {}
        value = function(user_values(task, y), user_values(task, decide(task, answers)), **args)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"expected the metric '{name}' to return one number, got {type(value).__name__}",
                "a metric takes (y_true, y_pred) of all test rows and returns a number",
            ) from None

    def _resampled(answers: Array, y: Array, weights: Array) -> float:
        # a function that knows no weights sees every row as often as its weight says, on a fixed grid of draws
        draws = 16 * len(y)
        points = (np.arange(draws) + 0.5) / draws
        index = np.searchsorted(np.cumsum(weights) / weights.sum(), points).clip(0, len(y) - 1)
        return score(answers[index], y[index], None)

    return Metric(name, task.kind, score, higher_is_better=higher, unit="")


def named(function: UserMetric) -> tuple[str, bool]:
    """The name of a user's function, and whether it says that higher is better."""
    name = getattr(function, "__name__", type(function).__name__)
    return name, not name.endswith(("_error", "_loss", "_deviance"))


def usable(metric: Metric, task: Outcome, answers: Array) -> bool:
    """Whether the answers can give the metric (mean average precision needs scores)."""
    return not metric.needs_scores or has_scores(task, answers)
