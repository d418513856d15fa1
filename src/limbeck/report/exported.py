"""What shipping in int8 cost and saved, as rows of text: the exported student in float32 and in int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.report.words import NOTHING, difference, interval, metric_name, milliseconds, number, size

NAMES = {"original": "exported, float32", "changed": "exported, int8"}
_KINDS = {"original": "float32", "changed": "int8"}


def int8_table(found: Mapping[str, Any], head: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], str]:
    """Header, rows and caption of one task."""
    card, unit = found["tasks"][head], found["tasks"][head]["metric"]["unit"]
    rows = []
    for arm, name in NAMES.items():
        changed = arm == "changed"
        agrees = interval(card["agreement"]) if card["agreement"] else _correlation(card)
        cost = {"latency": found["latency"][_KINDS[arm]]}
        rows.append(
            (
                name,
                interval(card[arm], unit),
                interval(card["difference"], unit, signed=True) if changed else NOTHING,
                agrees if changed else NOTHING,
                size(found["bytes"][_KINDS[arm]]),
                milliseconds(cost),
                milliseconds(cost, 64),
            )
        )
    close = "agrees with float32" if card["agreement"] else "correlation with float32"
    header = ("", metric_name(card), "int8 minus float32", close, "file", "p50, 1 row", "p50, 64 rows")
    caption = (
        f"The student of seed {found['seed']} on {card['rows']:,} test rows, with 95 % intervals over rows, paired for "
        "the difference. Latency of the ONNX graph alone with one thread, its inputs made before."
    )
    return header, tuple(rows), caption


def _correlation(card: Mapping[str, Any]) -> str:
    return f"{card['correlation']:.4f}"


def int8_rows(found: Mapping[str, Any] | None, head: str) -> list[tuple[str, ...]]:
    """Rows of the summary: name, metric, agreement with the teacher, nothing for parameters, latency."""
    if not found or found["reason"]:
        return []
    card = found["tasks"][head]
    rows: list[tuple[str, ...]] = []
    for arm, name in NAMES.items():
        agrees = (card["teacher"] or {}).get(arm) or {}
        cost = {"latency": found["latency"][_KINDS[arm]]}
        shown = number(card[arm]["value"], card["metric"]["unit"])
        rows.append((name, shown, number(agrees.get("value")), NOTHING, milliseconds(cost)))
    return rows


def int8_sentence(found: Mapping[str, Any], head: str) -> str:
    """One line: how much smaller the int8 file is, and what it costs."""
    if found["reason"]:
        return f"no int8: {found['reason']}"
    card, sizes = found["tasks"][head], found["bytes"]
    change, unit = card["difference"], card["metric"]["unit"]
    amount = f"{difference(change['value'], unit)}{' points' if unit == '%' else ' ' + metric_name(card)}"
    ends = f"CI {difference(change['low'], unit)}…{difference(change['high'], unit)}"
    agrees = card["agreement"]
    close = f"decides alike in {number(agrees['value'])} %" if agrees else f"correlation {_correlation(card)}"
    return f"int8: {sizes['float32'] / sizes['int8']:.3g}× smaller ({size(sizes['int8'])}), {amount} ({ends}), {close}"
