"""Where a gain came from: hard labels → + soft labels → + unlabelled rows (hard pseudo-labels) → both.

Every step is a paired difference to the control with its interval, so that more data is not taken for better labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.core.findings import Finding
from limbeck.evaluate.answers import Array
from limbeck.evaluate.show import as_json, points, signed
from limbeck.evaluate.stats import Interval, gain, verdict_of

CONTROL, SOFT, PSEUDO, STUDENT = "control", "soft", "pseudo", "student"
LABELS = {
    CONTROL: "hard labels only",
    SOFT: "+ soft labels",
    PSEUDO: "+ unlabelled rows, hard pseudo-labels",
    STUDENT: "both",
}


@dataclass(frozen=True)
class Attribution:
    """The table of arms, and the finding where more data explains the gain."""

    table: list[dict[str, Any]]
    beyond_data: Interval | None
    finding: Finding | None

    def to_json(self) -> dict[str, Any]:
        """The table and the student's lead over pseudo-labels, as plain values."""
        return {"table": self.table, "beyond_data": as_json(self.beyond_data)}


def attribute(
    scores: Mapping[str, Array],
    values: Mapping[str, float],
    *,
    unit: str = "%",
    higher_is_better: bool = True,
    groups: Array | None = None,
    weights: Array | None = None,
    overlap: float = 1.0,
) -> Attribution | None:
    """Say where the gain came from; None where neither "soft" nor "pseudo" was trained.

    `scores` are row scores [S, N] by arm; `values` the metric of each arm.
    """
    present = [arm for arm in LABELS if arm in scores]
    if len(present) < 3:
        return None
    table: list[dict[str, Any]] = []
    steps = {
        arm: gain(scores[arm], scores[CONTROL], groups, weights, overlap=overlap) for arm in present if arm != CONTROL
    }
    for arm in present:
        line = {"arm": arm, "label": LABELS[arm], "value": values[arm], "gain": as_json(steps.get(arm))}
        table.append(line)
    if PSEUDO not in steps:
        return Attribution(table, None, None)
    beyond = gain(scores[STUDENT], scores[PSEUDO], groups, weights, overlap=overlap)
    seeds = len(scores[STUDENT])
    verdicts = {arm: verdict_of(i, seeds, higher_is_better) for arm, i in (*steps.items(), ("beyond", beyond))}
    return Attribution(table, beyond, _more_data(verdicts, steps[PSEUDO], beyond, unit))


def _more_data(verdicts: Mapping[str, str | None], pseudo: Interval, beyond: Interval, unit: str) -> Finding | None:
    by_data = verdicts[STUDENT] == verdicts[PSEUDO] == "helped"
    if not by_data or verdicts["beyond"] == "helped":
        return None
    return Finding(
        code="LB301",
        grade="tip",
        title="the gain comes from the unlabelled rows, not from soft labels",
        measured=f"unlabelled rows with the teacher's hard decisions give {points(pseudo, unit)}; "
        f"soft labels on top of them {signed(beyond, unit)}",
        why="the student learned from more data; the soft part of the answers added nothing that can be seen",
        todo="pseudo-labels are simpler and cheaper to store; for soft labels try another temperature or weight",
        data={"pseudo": pseudo.value, "beyond": beyond.value},
    )
