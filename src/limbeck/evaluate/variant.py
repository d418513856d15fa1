"""A student that was changed after training (quantised) beside the one it was made from, on the same test rows."""

from __future__ import annotations

from typing import Any

from limbeck.core.findings import Finding
from limbeck.evaluate import fidelity, stats
from limbeck.evaluate.answers import NUMBERS, Array
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.quality import Metric
from limbeck.evaluate.show import as_json, points, spoken
from limbeck.evaluate.taskcard import row_scores


def variant_card(evidence: Evidence) -> dict[str, Any]:
    """How the changed student (the arm "student") does beside the one it was made from (the arm "control").

    Both are single models [1, N, C]; intervals are over rows. "difference" is changed minus original, paired;
    "agreement" how often both decide alike, "teacher" how often each decides as the teacher, where there is one.
    """
    e = evidence.prepared()
    metric = e.chosen_metric()
    scores = {arm: row_scores(metric, answers, e) for arm, answers in e.arms.items()}
    card: dict[str, Any] = {
        "metric": {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better},
        "rows": len(e.y),
        "original": _score(e, metric, CONTROL, scores[CONTROL]),
        "changed": _score(e, metric, STUDENT, scores[STUDENT]),
        "difference": as_json(stats.gain(scores[STUDENT], scores[CONTROL], e.groups, e.weights)),
        "agreement": None,
        "teacher": None,
    }
    if e.task.kind in NUMBERS:
        near = fidelity.regression_fidelity(e.arms[CONTROL], e.arms[STUDENT], e.weights)
        return card | {"correlation": near["correlation"], "rmse_to_original": near["rmse_to_teacher"]}
    card["agreement"] = _agreement(e, e.arms[CONTROL], STUDENT)
    if TEACHER in e.arms:
        arms = {"original": CONTROL, "changed": STUDENT}
        card["teacher"] = {name: _agreement(e, e.arms[TEACHER], arm) for name, arm in arms.items()}
    return card


def _score(e: Evidence, metric: Metric, arm: str, rows: Array) -> dict[str, float]:
    interval = stats.arm(rows, e.groups, e.weights)
    value = float(metric(e.arms[arm][0], e.y, e.weights))
    return {"value": value, "low": float(interval.low), "high": float(interval.high)}


def _agreement(e: Evidence, others: Array, arm: str) -> dict[str, float] | None:
    return as_json(stats.arm(fidelity.agreement_rows(e.task, others, e.arms[arm]), e.groups, e.weights))


def lost(head: str, card: dict[str, Any]) -> Finding | None:
    """LB403, where the changed student is reliably worse than the one it was made from."""
    change = stats.Interval(**card["difference"])
    better = card["metric"]["higher_is_better"]
    if not (change.high < 0 if better else change.low > 0):
        return None
    name = "" if head == "main" else f"{head}: "
    return Finding(
        "LB403",
        "tip",
        f"{name}int8 costs quality",
        f"{spoken(card['metric']['name'])} changes by {points(change, card['metric']['unit'])} against float32",
        "a smaller file that decides worse may not be worth it",
        "ship export/student.onnx, or weigh the loss against size and latency",
        {"difference": card["difference"]},
    )


def slower(quick: float, plain: float) -> Finding | None:
    """LB402, where the int8 file is slower than the float32 one; p50 of one row in ms."""
    if quick <= plain:
        return None
    return Finding(
        "LB402",
        "tip",
        "int8 is slower on this machine",
        f"one row takes {quick:.3g} ms in int8 and {plain:.3g} ms in float32",
        "int8 pays where processors have instructions for it and matrices are large",
        "ship export/student.onnx, or measure on the machine that will run it",
        {"int8_ms": quick, "float32_ms": plain},
    )
