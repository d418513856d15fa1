"""The summary at the end of a run: four rows, the verdict, the checks, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.report.exported import int8_rows, int8_sentence
from limbeck.report.words import (
    ARMS,
    GRADES,
    NOTHING,
    count,
    difference,
    duration,
    metric_name,
    milliseconds,
    number,
    to_ascii,
)

WIDTH = 72
_GOOD = 0.95  # of the teacher, reliably: a tick
MARKS = {"issue": "✘", "tip": "⚠", "note": "•"}


def summary(
    scorecard: Mapping[str, Any],
    *,
    folder: str = "",
    report: str = "",
    student: str = "",
    seconds: float | None = None,
    ascii: bool = False,
) -> str:
    """The summary as plain text, without a final line break.

    `folder` is the run, `report` the path of its report and `student` that of its exported student, once they are.
    """
    name = f"limbeck  {scorecard.get('name') or 'scorecard'}"
    took = duration(seconds) if seconds is not None else ""
    rule = "─" * WIDTH
    lines = [f"{name}{took:>{max(WIDTH - len(name), len(took) + 2)}}", rule]
    for head, card in scorecard["tasks"].items():
        if len(scorecard["tasks"]) > 1:
            lines.append(head)
        lines += _table(card, scorecard.get("costs") or {}, int8_rows(scorecard.get("int8"), head))
    lines.append(rule)
    for head, card in scorecard["tasks"].items():
        lines += _verdict(card, f"{head}: " if len(scorecard["tasks"]) > 1 else "", scorecard.get("smaller"))
        if scorecard.get("int8"):
            lines.append(
                f"• {f'{head}: ' if len(scorecard['tasks']) > 1 else ''}{int8_sentence(scorecard['int8'], head)}"
            )
    findings = sorted(scorecard["findings"], key=lambda f: GRADES.index(f["grade"]))
    said = [f"{MARKS[f['grade']]} {f['code']}  {f['title']}   (limbeck checks {f['code']})" for f in findings]
    lines += dict.fromkeys(said)  # what was measured tells findings of one title apart: the report has it
    if report:
        lines.append(f"report   {report}")
    if student:
        lines.append(f"student  {student}{_which(scorecard)}")
    if folder:
        lines.append(f"next     limbeck {f'predict {folder} FILE' if student else f'export {folder}'}")
    text = "\n".join(line.rstrip() for line in lines)
    return to_ascii(text) if ascii else text


def _which(scorecard: Mapping[str, Any]) -> str:
    """Which of the students was exported, and its own score beside the mean over seeds."""
    seed = (scorecard.get("provenance") or {}).get("exported_seed")
    if "shipped" in (scorecard.get("provenance") or {}):
        return "  (trained on all rows; the scores above are the estimate for it)"
    if seed is None or seed not in scorecard["seeds"]:
        return ""
    card = next(iter(scorecard["tasks"].values()))
    found = card["arms"]["student"]["metrics"][card["metric"]["name"]]["per_seed"][scorecard["seeds"].index(seed)]
    return f"  (seed {seed}, best on validation: {number(found, card['metric']['unit'])})"


def _table(card: Mapping[str, Any], costs: Mapping[str, Any], exported: Sequence[tuple[str, ...]]) -> list[str]:
    metric, unit = card["metric"]["name"], card["metric"]["unit"]
    fidelity = (card.get("fidelity") or {}).get("arms", {})
    decides = any(entry.get("agreement") for entry in fidelity.values())
    rows: list[tuple[str, ...]] = [("", metric_name(card), "agrees", "params", "p50 (1 row)")]
    for arm in ("teacher", "student", "control"):
        if arm not in card["arms"]:
            continue
        found = card["arms"][arm]["metrics"][metric]
        spread = f" ±{number(found['sd'], unit)}" if found.get("sd") is not None and arm != "teacher" else ""
        agrees = (fidelity.get(arm, {}).get("agreement") or {}).get("value")
        same = "100.0" if arm == "teacher" and decides else number(agrees)
        cost = costs.get(arm) or {}
        rows.append(
            (ARMS[arm], number(found["value"], unit) + spread, same, count(cost.get("parameters")), milliseconds(cost))
        )
    rows += exported
    trivial = card["trivial"]["metrics"].get(metric)
    rows.append((ARMS["trivial"], number(trivial, unit), NOTHING, NOTHING, NOTHING))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1])] + [row[i].rjust(widths[i]) for i in (2, 3, 4)])
        for row in rows
    ]
    if card["counts"]["seeds"] > 1:
        lines[-1] += f"      ± sd, {card['counts']['seeds']} seeds"
    return lines


def _verdict(card: Mapping[str, Any], head: str, smaller: float | None) -> list[str]:
    unit, gain, lines = card["metric"]["unit"], card["gain"], []
    seeds = card["counts"]["seeds"]
    kept = (card.get("retention") or {}).get("ratio")
    if kept is not None:
        what = "of the teacher" if unit == "%" else "of what the teacher adds to the trivial baseline"
        text = f"keeps {number(kept['value'])} % {what} (95 % CI {number(kept['low'])}–{number(kept['high'])})"
        fewer = f", {smaller:.3g}× fewer parameters" if smaller is not None and smaller > 1 else ""
        good = (card["as_good"]["held"] or kept["low"] >= _GOOD) and not _below_control(card)
        mark = "✔" if good else "•" if kept["value"] > 0 else "✘"
        lines.append(f"{mark} {head}{text}{fewer}")
    points = " points" if unit == "%" else f" {metric_name(card)}"
    ends = f"CI {difference(gain['low'], unit)}…{difference(gain['high'], unit)}"
    amount = f"{difference(gain['value'], unit)}{points} ({ends}, {seeds} seed{'s' if seeds != 1 else ''})"
    known = card.get("knowledge")
    if card["verdict"] == "helped" and known and not known["credited"]:
        lines.append(f"✘ {head}gain without the teacher's knowledge: {amount}")
        lines.append(f"  {known['reason']}")
    elif card["verdict"] == "helped":
        lines.append(f"✔ {head}distillation helped: {amount}")
    elif card["verdict"] == "hurt":
        worth = card.get("worth")
        todo = f"{worth}: train a better one, or ship the plain student" if worth else "ship the plain student"
        lines.append(f"✘ {head}distillation hurt: {amount}: {todo}")
    elif card["verdict"] is None:
        lines.append(f"⚠ {head}no verdict ({card['reason']}): {amount}")
    else:
        worth = f": {card['worth']}" if card.get("worth") else ""
        lines.append(f"⚠ {head}no reliable difference: {amount}{worth}")
    return lines


def _below_control(card: Mapping[str, Any]) -> bool:
    """Whether the teacher itself scores lower than the student without one: then there is little to keep of it."""
    metric = card["metric"]
    teacher, control = (card["arms"][arm]["metrics"][metric["name"]]["value"] for arm in ("teacher", "control"))
    return bool(teacher < control if metric["higher_is_better"] else teacher > control)
