"""The tables of slices and of noise in a report, as headers and rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.report.words import ARMS, NOTHING, count, interval, metric_name

_SHOWN = ("teacher", "student", "control")

Cells = tuple[tuple[str, ...], tuple[tuple[str, ...], ...], str]  # header, rows, caption


def slice_tables(card: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Cells]]:
    """What is said above the tables, and one table for each way in which rows are told apart."""
    found = card.get("slices")
    if not found:
        return (), []
    text = (
        f"{found['tested']} slices are compared at once: at 95 % one difference in twenty shows by chance. A word in "
        f"the last column holds for all of them together (each at {100 * found['level']:.4g} %).",
    )
    return text, [_table(card, each["name"], each["slices"]) for each in found["by"]]


def noise_table(card: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Cells]]:
    """The same for clips to which noise was added."""
    found = card.get("noise")
    if not found:
        return (), []
    lines = [line | {"name": f"{line['snr']:g} dB"} for line in found]
    text = "The same test clips with white noise added, by their signal-to-noise ratio; no model was trained on them."
    if "teacher" not in found[0]["arms"]:
        text += " The teacher is a table of answers and was not asked again."
    header, rows, caption = _table(card, "noise added", lines)
    return (text,), [(header[:-1], tuple(row[:-1] for row in rows), caption)]


def _table(card: Mapping[str, Any], name: str, lines: list[Mapping[str, Any]]) -> Cells:
    unit = card["metric"]["unit"]
    arms = [arm for arm in _SHOWN if any(arm in (line.get("arms") or {}) for line in lines)]
    rows = []
    for line in lines:
        measured = line.get("arms")
        if not measured:
            rows.append((line["name"], count(line["rows"]), *(NOTHING for _ in arms), NOTHING, "too few rows"))
            continue
        said = [line["verdict"]] if line.get("verdict") in ("helped", "hurt") else []
        said += ["falls behind"] if line.get("falls_behind") else []
        cells = (interval(measured.get(arm), unit) for arm in arms)
        rows.append(
            (line["name"], count(line["rows"]), *cells, interval(line["gain"], unit, signed=True), ", ".join(said))
        )
    header = (name, "rows", *(f"{ARMS[arm]}, {metric_name(card)}" for arm in arms), "gain", "")
    return header, tuple(rows), ""


def heard_table(card: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Cells]]:
    """Which transcripts of a teacher were learned from, where a term of the objective leaves some out."""
    found = card.get("heard")
    if not found:
        return (), []
    text = (
        f"Clips in which the teacher is less sure than {found['min_confidence']:g} (geometric mean of the probability "
        f"of its best class per {found['per']}) teach nothing about their transcript.",
    )
    rows = tuple(
        (name, count(found[key]["rows"]), count(found[key]["silent"]), count(found[key]["unsure"]), count(left))
        for name, key in (("with a transcript", "labelled"), ("without", "unlabelled"))
        if (left := found[key]["rows"] - found[key]["silent"] - found[key]["unsure"]) is not None and found[key]["rows"]
    )
    return text, [(("clips", "answered", "nothing heard", "left out as unsure", "learned from"), rows, "")]
