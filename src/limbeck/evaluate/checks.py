"""Checks on measured answers: each gives a finding with its code, what was measured and what to do, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.core.findings import Finding
from limbeck.evaluate.answers import CLASSIFICATION, Array, Outcome, decide
from limbeck.evaluate.show import difference, number, points
from limbeck.evaluate.stats import Interval

PRECISION = 0.02  # a share's gain should be known to ± 2 points
CLASS_LOSS = 0.05  # recall that a class may lose before it is said


def class_order(task: Outcome, y: Array, teacher: Array, where: str = "test rows") -> Finding | None:
    """LB202: a permutation of the classes lifts the accuracy strongly, found on one half and tested on the other."""
    if task.kind != CLASSIFICATION or len(y) < 20:
        return None
    from scipy.optimize import linear_sum_assignment

    size = len(task.names)
    guess = decide(task, teacher)

    def mapping(rows: Any) -> Array:
        counts = np.bincount(guess[rows] * size + y[rows], minlength=size * size).reshape(size, size)
        # classes that the teacher never says stay where they are where that costs nothing
        return np.asarray(linear_sum_assignment(-(counts + np.eye(size) * 1e-6))[1])

    order = np.random.default_rng(0).permutation(len(y))
    halves = order[::2], order[1::2]
    lifted = np.zeros(len(y))
    for fit, test in (halves, halves[::-1]):
        lifted[test] = mapping(fit)[guess[test]] == y[test]
    plain = guess == y
    lift = lifted - plain
    before, after = float(plain.mean()), float(lifted.mean())
    if after - before < 0.1 or lift.mean() < 3 * lift.std() / len(y) ** 0.5:
        return None
    beyond = lifted - (y == np.bincount(y).argmax())  # a teacher that knows nothing is lifted to the commonest class
    if beyond.mean() < 2 * beyond.std() / len(y) ** 0.5:
        return None
    whole = mapping(slice(None))
    said = np.bincount(guess, minlength=size) > 0
    moved = {task.names[c]: task.names[whole[c]] for c in range(size) if whole[c] != c and said[c]}
    shown = ", ".join(f"{a} → {b}" for a, b in list(moved.items())[:12]) + (", …" if len(moved) > 12 else "")
    return Finding(
        code="LB202",
        grade="issue",
        title="the teacher's classes are in another order than the labels",
        measured=f"on {len(y)} {where} the teacher is right in {number(before)} % as it stands "
        f"and in {number(after)} % with the classes mapped: {shown}",
        why="a student of such a teacher learns the wrong classes",
        todo="give the teacher's class order (classes=[...]), or reorder its outputs by the mapping",
        data={"mapping": moved, "before": before, "after": after},
    )


def teacher_worth(over_control: Interval, over_trivial: Interval | None, unit: str) -> Finding | None:
    """LB201: the teacher is no better than a constant answer (issue) or than the control (issue when reliably so)."""
    if over_trivial is not None and not over_trivial.low > 0:
        against, seen, grade = "a constant answer", over_trivial, "issue"
    elif not over_control.low > 0:
        against, seen, grade = "the control", over_control, "issue" if over_control.high < 0 else "tip"
    else:
        return None
    return Finding(
        code="LB201",
        grade=grade,
        title=f"the teacher is {'worse' if seen.high < 0 else 'not reliably better'} than {against}",
        measured=f"teacher against {against}: {points(seen, unit)}",
        why="a teacher that knows no more than its student can teach little; a gain would have other causes",
        todo="train a better teacher or an ensemble, give it more data, or check its preprocessing and class order",
        data={"difference": seen.value, "low": seen.low},
    )


def misaligned(stored: Mapping[str, Any] | None, unit: str = "%") -> Finding | None:
    """LB203: the stored answers do not fit the labels of the rows they are stored for."""
    if stored is None or stored["fits"] or stored["constant"]:
        return None
    return Finding(
        code="LB203",
        grade="issue",
        title="the stored answers do not fit the labels of their rows",
        measured=f"stored answers and labels match at {number(stored['score'])} % on {stored['rows']} labelled rows; "
        f"answers moved to random rows match at {number(stored['chance'])} %",
        why="answers that stand at the wrong rows or classes teach noise; a gain from them is not knowledge",
        todo="label again, or check the row ids of the table of predictions",
        data=dict(stored),
    )


def test_size(gained: Interval, rows: int, of: str, unit: str) -> Finding | None:
    """LB106: the interval of the gain is wider than ± 2 points (shares only); `of` says what was counted."""
    half = (gained.high - gained.low) / 2
    if unit != "%" or not half > PRECISION:
        return None
    more = int(np.ceil(rows * ((half / PRECISION) ** 2 - 1) / 100) * 100)
    return Finding(
        code="LB106",
        grade="tip",
        title="the test set is small for the claim",
        measured=f"{rows} test {of} give the gain to ±{number(half)} points",
        why="smaller gains and losses than that cannot be seen",
        todo=f"label about {more:,} more test {of} for ±{number(PRECISION)} points, or use more seeds",
        data={"half_width": half, "rows": rows, "more_rows": more},
    )


def seed_noise(gained: Interval, per_seed: Sequence[float], verdict: str | None, unit: str) -> Finding | None:
    """LB305: the gain is smaller than one standard deviation of its values over seeds.

    A tip where the difference is reliable over all seeds, a note where the verdict says that there is none.
    """
    if len(per_seed) < 3:
        return None
    spread = float(np.std(per_seed, ddof=1))
    if not 0 < abs(gained.value) < spread:
        return None
    opposite = sum(value * gained.value < 0 for value in per_seed)
    return Finding(
        code="LB305",
        grade="tip" if verdict in ("helped", "hurt") else "note",
        title="the effect is smaller than the noise between seeds",
        measured=f"gain {difference(gained.value, unit)}, standard deviation over {len(per_seed)} seeds "
        f"{number(spread, unit)}; {opposite} of {len(per_seed)} seeds show the opposite",
        why="a single run of each arm can show the opposite of the truth",
        todo="never compare single runs here; use more seeds before you decide",
        data={"gain": gained.value, "spread": spread, "opposite": opposite},
    )


def class_losses(damage: Sequence[Mapping[str, Any]]) -> Finding | None:
    """LB307: classes that lost more than 5 points of recall against the teacher, beyond two standard errors."""
    lost = []
    for line in damage:
        error = sum(p * (1 - p) for p in (line["teacher"], line["student"])) / line["rows"]
        if line["damage"] < -CLASS_LOSS and line["damage"] + 2 * error**0.5 < 0:
            lost.append(line)
    if not lost:
        return None
    shown = ", ".join(f"'{x['name']}' {difference(x['damage'])} points ({x['rows']} rows)" for x in lost[:6])
    return Finding(
        code="LB307",
        grade="tip",
        title=f"{len(lost)} class{'es' if len(lost) > 1 else ''} lost more than 5 points",
        measured=f"recall against the teacher: {shown}{', …' if len(lost) > 6 else ''}",
        why="the mean hides who pays for the small model",
        todo="look at these rows; weigh these classes up, or give the student more unlabelled rows of them",
        data={"classes": [x["name"] for x in lost]},
    )


def not_knowledge(knowledge: Mapping[str, Any], verdict: str | None, gained: Interval, unit: str) -> Finding | None:
    """LB308: there is a gain, and it cannot be the teacher's knowledge."""
    if verdict != "helped" or knowledge["credited"]:
        return None
    return Finding(
        code="LB308",
        grade="issue",
        title="the gain is not the teacher's knowledge",
        measured=f"gain {points(gained, unit)}, but {knowledge['reason']}",
        why="soft targets regularise even when they are noise; such a gain needs no teacher",
        todo="check the teacher's answers and their rows; compare with label smoothing before you pay for a teacher",
        data={"reason": knowledge["reason"]},
    )


def not_smaller(costs: Mapping[str, Mapping[str, Any]]) -> Finding | None:
    """LB302: the student is not smaller than the teacher, or not faster for one row."""
    teacher, student = costs.get("teacher") or {}, costs.get("student") or {}
    said = []
    if teacher.get("parameters") and student.get("parameters") and student["parameters"] >= teacher["parameters"]:
        said.append(f"{student['parameters']:,} parameters against {teacher['parameters']:,}")
    times = [(c.get("latency") or {}).get("1", {}).get("p50_ms") for c in (teacher, student)]
    if all(times) and times[1] > 1.1 * times[0]:
        said.append(f"{times[1]:.3g} ms for one row against {times[0]:.3g} ms")
    if not said:
        return None
    return Finding(
        code="LB302",
        grade="tip",
        title="the student is not smaller or faster than the teacher",
        measured="; ".join(said),
        why="distillation is worth its price where the student is cheaper to run",
        todo="choose a smaller student, or ship the teacher",
        data={},
    )
