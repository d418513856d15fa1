"""The measured truth of one task: arms, gain, retention, fidelity, calibration and the findings that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from limbeck.core.findings import Finding
from limbeck.evaluate import checks, fidelity, stats
from limbeck.evaluate.answers import GENERATION, NUMBERS, REGRESSION, Array
from limbeck.evaluate.attribution import attribute
from limbeck.evaluate.calibration import calibration
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.influence import BLOCKS
from limbeck.evaluate.knowledge import knowledge, stored_fit
from limbeck.evaluate.quality import Metric, constant_answer, label_of, usable
from limbeck.evaluate.show import as_json
from limbeck.evaluate.slices import slices_card
from limbeck.evaluate.stats import Interval
from limbeck.evaluate.textcard import copied, examples, text_fidelity

SIDE_BLOCKS = 60  # of the jackknife for metrics that the verdict is not about


@dataclass(frozen=True)
class TaskCard:
    """The JSON-able card of one task and its findings."""

    card: dict[str, Any]
    findings: tuple[Finding, ...]
    worth: str | None = None  # why the teacher is not worth much, where it is not


def task_card(head: str, evidence: Evidence, *, margin: float, tasks: int = 1) -> TaskCard:
    """Judge one task. `margin` is the loss (in the metric) under which a student is as good as its teacher.

    `verdict_together` is the verdict at the level that each of so many `tasks` needs, for one false verdict in twenty
    runs over all of them (Bonferroni).
    """
    e = evidence.prepared()
    metric = e.chosen_metric()
    scores = {arm: row_scores(metric, answers, e) for arm, answers in e.arms.items()}
    seeds = min(len(scores[STUDENT]), len(scores[CONTROL]))
    gained = _gain(e, scores[STUDENT], scores[CONTROL])
    verdict = stats.verdict_of(gained, seeds, metric.higher_is_better)
    wider = gained if tasks == 1 else _gain(e, scores[STUDENT], scores[CONTROL], 1 - 0.05 / tasks)
    card: dict[str, Any] = {
        "kind": label_of(evidence.task),
        "names": list(e.task.names),
        "metric": {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better},
        "verdict": verdict,
        "verdict_together": stats.verdict_of(wider, seeds, metric.higher_is_better),
        "reason": None if verdict else f"{seeds} seed{'s' if seeds != 1 else ''}: a verdict needs {stats.MIN_SEEDS}",
        "gain": as_json(gained),
        "gain_per_seed": _per_seed_gain(metric, e),
        "arms": {arm: {"metrics": found} for arm, found in _metrics(e, metric, scores).items()},
        "trivial": _trivial(e, metric),
        "counts": {
            "test_rows": len(evidence.y),
            "labelled_rows": len(e.y),
            "seeds": seeds,
            "training_rows": None if e.y_train is None else len(e.y_train),
        }
        | ({} if e.sentences is None else {"sentences": len(np.unique(e.sentences))})
        | ({} if e.folds is None else {"folds": e.folds}),
        "calibration": _calibration(e),
    }
    if e.task.kind == GENERATION:
        card["examples"] = examples(e)
    card["slices"], stand_out = slices_card(e, metric, seeds)
    found = [
        checks.test_size(
            gained,
            *((len(e.y), "rows") if e.sentences is None else (len(np.unique(e.sentences)), "sentences")),
            metric.unit,
        ),
        checks.seed_noise(gained, card["gain_per_seed"], verdict, metric.unit),
    ]
    sources = attribute(
        {arm: s for arm, s in scores.items() if arm != TEACHER},
        {arm: _values(metric, e, arm).mean() for arm in e.arms},
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        groups=e.groups,
        weights=e.weights,
        overlap=e.overlap,
    )
    card["attribution"] = sources.to_json() if sources is not None else None
    found.append(sources.finding if sources is not None else None)
    if TEACHER in e.arms:
        part, more = _against_teacher(e, metric, scores, verdict, gained, margin)
        card |= part
        found += more
    kept = [f for f in (*found, *stand_out) if f is not None]
    worth = next((f.title for f in kept if f.code == "LB201"), None)
    return TaskCard(card, tuple(_of_head(head, f) for f in kept), worth)


def row_scores(metric: Metric, answers: Array, e: Evidence, blocks: int = BLOCKS) -> Array:
    """One number per seed and row [S, N] whose weighted mean is the metric (linearised where it is no mean)."""
    if metric.rows is not None:
        return np.stack([metric.rows(seed, e.y) for seed in answers])
    return stats.linearise(metric, answers, e.y, e.weights, groups=e.groups, blocks=blocks, influence=metric.influence)


def _gain(e: Evidence, better: Array, worse: Array, level: float = 0.95) -> Interval:
    return stats.gain(better, worse, e.groups, e.weights, level, e.overlap)


def _values(metric: Metric, e: Evidence, arm: str) -> Array:
    return np.array([metric(seed, e.y, e.weights) for seed in e.arms[arm]])


def _per_seed_gain(metric: Metric, e: Evidence) -> list[float]:
    student, control = _values(metric, e, STUDENT), _values(metric, e, CONTROL)
    if len(student) != len(control):
        return []
    return [float(d) for d in student - control]


def _metrics(e: Evidence, chosen: Metric, scores: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Every metric of every arm with its interval; student and control lend each other their spread over seeds."""
    wanted = {chosen.name: chosen} | {n: m for n, m in e.metrics().items() if n != chosen.name}
    result: dict[str, dict[str, Any]] = {arm: {} for arm in e.arms}
    for name, metric in wanted.items():
        able = [arm for arm in e.arms if usable(metric, e.task, e.arms[arm])]
        rows = scores if name == chosen.name else {a: row_scores(metric, e.arms[a], e, SIDE_BLOCKS) for a in able}
        for arm in able:
            sibling = rows.get({STUDENT: CONTROL}.get(arm, STUDENT)) if arm != TEACHER else None
            interval = stats.arm(rows[arm], e.groups, e.weights, sibling=sibling, overlap=e.overlap)
            per_seed = _values(metric, e, arm)
            result[arm][name] = {
                "value": float(per_seed.mean()),
                "low": float(interval.low),
                "high": float(interval.high),
                "sd": float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None,
                "per_seed": [float(v) for v in per_seed],
                "unit": metric.unit,
            }
    return result


def _trivial(e: Evidence, chosen: Metric) -> dict[str, Any]:
    if e.task.kind == GENERATION:
        answers, said = copied(e)
        wanted = {chosen.name: chosen} | dict(e.metrics())
        return {"metrics": {name: float(m(answers, e.y, e.weights)) for name, m in wanted.items()}, "from": said}
    labels = e.y if e.y_train is None else e.y_train
    wanted = {chosen.name: chosen} | dict(e.metrics())
    values = {name: float(m.trivial_baseline(e.task, labels, e.y, e.weights)) for name, m in wanted.items()}
    return {"metrics": values, "from": "test labels" if e.y_train is None else "training labels"}


def _calibration(e: Evidence) -> dict[str, Any] | None:
    if e.task.kind in (*NUMBERS, GENERATION):
        return None
    result = {}
    for arm in (TEACHER, STUDENT, CONTROL):
        if arm in e.arms:
            held = e.validation is not None and arm in e.validation.answers
            pair = (e.validation.answers[arm], e.validation.y) if held and e.validation is not None else None
            result[arm] = calibration(e.task, e.arms[arm], e.y, e.weights, pair)
    return result if any(result.values()) else None


def _against_teacher(
    e: Evidence, metric: Metric, scores: Mapping[str, Array], verdict: str | None, gained: Interval, margin: float
) -> tuple[dict[str, Any], list[Finding | None]]:
    teacher, student, control = (e.arms[arm] for arm in (TEACHER, STUDENT, CONTROL))
    labels = e.y if e.y_train is None else e.y_train
    constant = constant_answer(e.task, labels, len(e.y), median=metric.name == "mae")[None]
    if e.task.kind == GENERATION:
        constant = copied(e)[0][None]
    trivial = row_scores(metric, constant, e)
    kept = stats.retention(
        scores[STUDENT],
        scores[TEACHER],
        baseline=trivial[0] if _needs_baseline(e, metric) else None,
        higher_is_better=metric.higher_is_better,
        control=scores[CONTROL],
        groups=e.groups,
        weights=e.weights,
        overlap=e.overlap,
    )
    sign = 1.0 if metric.higher_is_better else -1.0
    over_control = _gain(e, sign * scores[TEACHER], sign * scores[CONTROL])
    over_trivial = _gain(e, sign * scores[TEACHER], sign * trivial)
    fit = None if e.stored is None else stored_fit(e.task, *e.stored)
    known = knowledge(
        task=e.task,
        y=e.y,
        teacher=teacher,
        student=student,
        control=control,
        teacher_gain=over_control,
        teacher_over_trivial=over_trivial,
        stored=fit,
        groups=e.groups,
        weights=e.weights,
        overlap=e.overlap,
    )
    damage = fidelity.class_damage(e.task, e.y, teacher, student, control, e.weights)
    worst = kept.difference.low if metric.higher_is_better else -kept.difference.high
    part = {
        "retention": {
            "ratio": as_json(kept.ratio),
            "difference": as_json(kept.difference),
            "reason": kept.reason or None,
        },
        "as_good": {"margin": margin, "held": bool(worst > -margin)},
        "knowledge": known | {"uptake": as_json(known["uptake"])},
        "fidelity": _fidelity(e),
        "classes": damage,
    }
    found = [
        checks.class_order(e.task, e.y, teacher[0]),
        None if e.stored is None else checks.class_order(e.task, e.stored[1], e.stored[0], "stored training rows"),
        checks.misaligned(fit, metric.unit),
        checks.teacher_worth(over_control, over_trivial, metric.unit),
        checks.class_losses(damage),
        checks.not_knowledge(known, verdict, gained, metric.unit),
    ]
    return part, found


def _needs_baseline(e: Evidence, metric: Metric) -> bool:
    # a share has a meaningful zero; errors and R² have not, there the trivial answer is the zero
    return e.task.kind == REGRESSION or not metric.higher_is_better


def _fidelity(e: Evidence) -> dict[str, Any]:
    teacher = e.arms[TEACHER]
    arms: dict[str, Any] = {}
    for arm in e.arms:
        if arm == TEACHER:
            continue
        entry: dict[str, Any] = {}
        if e.task.kind == GENERATION:
            entry = text_fidelity(e, arm)
        elif e.task.kind in NUMBERS:
            entry = dict(fidelity.regression_fidelity(teacher, e.arms[arm], e.weights))
        else:
            same = fidelity.agreement_rows(e.task, teacher, e.arms[arm])
            entry["agreement"] = as_json(stats.arm(same, e.groups, e.weights, overlap=e.overlap))
            kl = fidelity.kl_rows(e.task, teacher, e.arms[arm])
            entry["kl"] = (
                None if kl is None else as_json(_from_zero(stats.arm(kl, e.groups, e.weights, overlap=e.overlap)))
            )
            entry["rows"] = fidelity.two_by_two(e.task, e.y, teacher, e.arms[arm])
        arms[arm] = entry
    return {"arms": arms, "matrix": fidelity.agreement_matrix(e.task, teacher, e.arms[STUDENT])}


def _from_zero(interval: Interval) -> Interval:
    """The interval of a quantity that is never negative."""
    return replace(interval, low=max(interval.low, 0.0))


def _of_head(head: str, finding: Finding) -> Finding:
    return finding if head == "main" else replace(finding, title=f"{head}: {finding.title}")
