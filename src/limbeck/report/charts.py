"""Small charts as inline SVG: intervals as bars, curves, reliability; every string is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

POINTS = 200  # of a curve; more are thinned
COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)")


def intervals(bars: Sequence[tuple[str, float, float, float, str]]) -> str:
    """Horizontal intervals around zero: (label, value, low, high, text)."""
    if not bars:
        return ""
    low, high = min(0.0, *(b[2] for b in bars)), max(0.0, *(b[3] for b in bars))
    width, left, right, line = 640, 250, 60, 26
    scale = (width - left - right) / ((high - low) or 1.0)

    def at(value: float) -> float:
        return left + (value - low) * scale

    height = line * len(bars) + 8
    parts = [_open(width, height, "gains with 95 % intervals")]
    parts.append(f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="0" y2="{height}" class="axis"/>')
    for i, (label, value, lo, hi, text) in enumerate(bars):
        y = i * line + line / 2 + 4
        parts.append(f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line x1="{at(lo):.1f}" x2="{at(hi):.1f}" y1="{y}" y2="{y}" class="whisker"/>')
        parts.append(f'<circle cx="{at(value):.1f}" cy="{y}" r="4.5" class="dot"/>')
        parts.append(f'<text x="{at(hi) + 8:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
    return "".join(parts) + "</svg>"


def reliability(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy over confidence, one line an arm, with the diagonal that a calibrated model follows."""
    drawn = {n: [(p["confidence"], p["accuracy"]) for p in points] for n, points in curves.items() if points}
    return _plot(drawn, "confidence", "accuracy", (0.0, 1.0, 0.0, 1.0), diagonal=True, width=320) if drawn else ""


def curves(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Charts (title, svg) of what training noted: one a quantity, one line an arm (mean over seeds)."""
    series: dict[str, dict[str, dict[float, list[float]]]] = {}
    for event in events:
        value, step = event.get("value"), event.get("step")
        if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(step, int | float):
            continue
        if math.isfinite(value):
            arm = str(event.get("arm") or event.get("stage") or "")
            lines = series.setdefault(str(event.get("name")), {})
            lines.setdefault(arm, {}).setdefault(float(step), []).append(float(value))
    charts = []
    for name, arms in series.items():
        drawn = {arm: [(s, sum(v) / len(v)) for s, v in sorted(points.items())] for arm, points in arms.items()}
        drawn = {arm: _thin(points) for arm, points in drawn.items() if len(points) > 1}
        if drawn:
            everything = [p for points in drawn.values() for p in points]
            xs, ys = [p[0] for p in everything], [p[1] for p in everything]
            charts.append((name, _plot(drawn, "step", name, (min(xs), max(xs), min(ys), max(ys)))))
    return charts


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stride = max(1, math.ceil(len(points) / POINTS))
    return points if stride == 1 else [*points[:-1:stride], points[-1]]


def _plot(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    x_name: str,
    y_name: str,
    box: tuple[float, float, float, float],
    *,
    diagonal: bool = False,
    width: int = 420,
) -> str:
    x0, x1, y0, y1 = box
    height, left, bottom, top = 260, 52, 34, 22
    sx, sy = (width - left - 12) / ((x1 - x0) or 1), (height - bottom - top) / ((y1 - y0) or 1)

    def at(x: float, y: float) -> str:
        return f"{left + (x - x0) * sx:.1f},{height - bottom - (y - y0) * sy:.1f}"

    parts = [_open(width, height, f"{y_name} over {x_name}")]
    parts.append(f'<polyline class="axis" points="{at(x0, y1)} {at(x0, y0)} {at(x1, y0)}"/>')
    if diagonal:
        parts.append(f'<polyline class="guide" points="{at(x0, y0)} {at(x1, y1)}"/>')
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(at(*p) for p in points)
        parts.append(f'<polyline class="curve" style="stroke:{colour}" points="{path}"/>')
        parts.append(f'<text x="{left + 8 + 110 * i}" y="13" style="fill:{colour}">{escape(name)}</text>')
    for x, anchor in ((x0, "start"), (x1, "end")):
        place = at(x, y0).split(",")[0]
        parts.append(f'<text x="{place}" y="{height - 16}" text-anchor="{anchor}">{x:.4g}</text>')
    for y in (y0, y1):
        place = at(x0, y).split(",")[1]
        parts.append(f'<text x="{left - 6}" y="{float(place) + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    parts.append(f'<text x="{(left + width) / 2}" y="{height - 3}" text-anchor="middle">{escape(x_name)}</text>')
    return "".join(parts) + "</svg>"


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
    )
