"""The metric slice by slice: where the student keeps up and where it does not.

Many slices are looked at at once, so that some differ by chance. Every interval is at 95 %; what a slice is said to
show (`verdict`, `falls_behind`) holds at 1 - 0.05 / K for the K slices of the task (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from limbeck.core.findings import Finding
from limbeck.evaluate import stats
from limbeck.evaluate.answers import Array
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence, Slices
from limbeck.evaluate.quality import Metric
from limbeck.evaluate.show import as_json, points
from limbeck.evaluate.stats import Interval

LEAST = 10  # labelled rows of a slice that is measured
_BLOCKS = 60  # of the jackknife, for metrics that are no means


def slices_card(e: Evidence, metric: Metric, seeds: int) -> tuple[dict[str, Any] | None, list[Finding]]:
    """{"tested": K, "level", "by": [{"name", "slices": [...]}]} of prepared evidence, and what stands out.

    A slice has "name", "rows", "arms" {arm: interval}, "gain", "difference" (student - teacher), "verdict" and
    "falls_behind"; one of too few rows has its rows alone.
    """
    ways = {name: _parts(each) for name, each in (e.slices or {}).items()}
    ways = {name: parts for name, parts in ways.items() if len(parts) > 1}
    tested = sum(int(inside.sum() >= LEAST) for parts in ways.values() for _, inside in parts)
    if not tested:
        return None, []
    level = 1 - 0.05 / tested
    found: list[Finding] = []
    by = []
    for name, parts in ways.items():
        lines = []
        for label, inside in parts:
            line: dict[str, Any] = {"name": label, "rows": int(inside.sum())}
            if inside.sum() >= LEAST:
                line |= _measured(e, metric, inside, level, seeds)
                found += _findings(name, line, metric, level)
            lines.append(line)
        by.append({"name": name, "slices": lines})
    return {"tested": tested, "level": level, "by": by}, found


def _parts(slicing: Slices) -> list[tuple[str, Array]]:
    parts = [(name, slicing.of == number) for number, name in enumerate(slicing.names)]
    return [(name, inside) for name, inside in parts if inside.any()]


def _measured(e: Evidence, metric: Metric, inside: Array, level: float, seeds: int) -> dict[str, Any]:
    part, scores = _scored(e, metric, inside)
    groups, weights = part.groups, part.weights
    arms = {}
    for arm, rows in scores.items():
        sibling = scores.get({STUDENT: CONTROL}.get(arm, STUDENT)) if arm != TEACHER else None
        value = np.mean([_metric_of(part, metric)(seed, part.y, weights) for seed in part.arms[arm]])
        found = stats.arm(rows, groups, weights, sibling=sibling, overlap=e.overlap)
        arms[arm] = as_json(replace(found, value=float(value)))
    gained = stats.gain(scores[STUDENT], scores[CONTROL], groups, weights, overlap=e.overlap)
    wide = stats.gain(scores[STUDENT], scores[CONTROL], groups, weights, level, e.overlap)
    line = {
        "arms": arms,
        "gain": as_json(gained),
        "verdict": stats.verdict_of(wide, seeds, metric.higher_is_better),
        "difference": None,
        "behind": None,
        "falls_behind": False,
    }
    if TEACHER in scores:
        line["difference"] = as_json(stats.gain(scores[STUDENT], scores[TEACHER], groups, weights, overlap=e.overlap))
        if (~inside).sum() >= LEAST:
            line |= _beside_the_rest(e, metric, inside, scores, part, level, seeds)
    return line


def _beside_the_rest(
    e: Evidence, metric: Metric, inside: Array, scores: Mapping[str, Array], part: Evidence, level: float, seeds: int
) -> dict[str, Any]:
    """Student - teacher in the slice minus that elsewhere, and whether the slice reliably falls behind."""
    rest, others = _scored(e, metric, ~inside)
    here = stats.gain(scores[STUDENT], scores[TEACHER], part.groups, part.weights, level, e.overlap)
    there = stats.gain(others[STUDENT], others[TEACHER], rest.groups, rest.weights, level, e.overlap)
    apart = apart_from(here, there)
    behind = apart.high < 0 if metric.higher_is_better else apart.low > 0
    return {"behind": as_json(apart), "falls_behind": bool(behind and seeds >= stats.MIN_SEEDS)}


def apart_from(one: Interval, other: Interval) -> Interval:
    """The interval of one estimate minus another of other rows, from theirs (Zou and Donner, Stat. Med. 2008)."""
    value = one.value - other.value
    low = value - np.hypot(one.value - one.low, other.high - other.value)
    high = value + np.hypot(one.high - one.value, other.value - other.low)
    return Interval(float(value), float(low), float(high), one.level)


def _scored(e: Evidence, metric: Metric, inside: Array) -> tuple[Evidence, dict[str, Array]]:
    """The evidence of some rows, and one number per seed and row whose mean is the metric among these."""
    weights, groups, sentences = (
        None if each is None else np.asarray(each)[inside] for each in (e.weights, e.groups, e.sentences)
    )
    if groups is not None and len(np.unique(groups)) < 2:  # a slice of one group: its rows are all there is
        groups = None
    if weights is not None and not weights.sum() > 0:
        weights = None
    part = replace(
        e, y=e.y[inside], arms={arm: said[:, inside] for arm, said in e.arms.items()}, weights=weights, groups=groups,
        sentences=sentences, sources=None, slices=None,
    )  # fmt: skip
    own = _metric_of(part, metric)
    if own.rows is not None:
        return part, {arm: np.stack([own.rows(seed, part.y) for seed in said]) for arm, said in part.arms.items()}
    return part, {
        arm: stats.linearise(own, said, part.y, weights, groups=groups, blocks=_BLOCKS, influence=own.influence)
        for arm, said in part.arms.items()
    }


def _metric_of(part: Evidence, metric: Metric) -> Metric:
    """The metric bound to the rows of a part (queries, sentences), in the direction that all rows gave it."""
    if part.sentences is None and part.metric not in ("ndcg@10", "mrr@10"):
        return metric
    return replace(part.chosen_metric(), higher_is_better=metric.higher_is_better)


def _findings(by: str, line: Mapping[str, Any], metric: Metric, level: float) -> list[Finding]:
    found = []
    where = f"{by}: {line['name']}"
    if line["verdict"] == "hurt":
        found.append(Finding(
            "LB137", "tip", f"distillation hurts where {where}",
            f"{points(Interval(**line['gain']), metric.unit)} against the same student without a teacher on "
            f"{line['rows']} rows; holds at {100 * level:.4g} % for the slices together",
            "the mean hides rows for which the teacher is a bad guide",
            "look at the teacher on these rows; leave them to labels, or train it on more of them",
            {"by": by, "slice": line["name"], "gain": line["gain"]},
        ))  # fmt: skip
    if line["falls_behind"]:
        found.append(Finding(
            "LB138", "tip", f"the student falls behind where {where}",
            f"student minus teacher is {points(Interval(**line['difference']), metric.unit)} on these {line['rows']} "
            "rows, reliably worse than on the others",
            "the mean hides who pays for the small model",
            "give the student more unlabelled rows of this kind, or a larger student",
            {"by": by, "slice": line["name"], "difference": line["difference"], "behind": line["behind"]},
        ))  # fmt: skip
    return found
