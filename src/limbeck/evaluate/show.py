"""Numbers as people read them: points for shares, four digits for the rest, intervals with both ends signed."""

from __future__ import annotations

from typing import Any

from limbeck.evaluate.stats import Interval


def as_json(interval: Interval | None) -> dict[str, float] | None:
    """An interval as value, low and high."""
    if interval is None:
        return None
    return {"value": float(interval.value), "low": float(interval.low), "high": float(interval.high)}


def number(value: float, unit: str = "%") -> str:
    """A metric as text: 91.2 for a share in percent, four significant digits else."""
    return f"{value * 100:.1f}" if unit == "%" else f"{value:.4g}"


def difference(value: float, unit: str = "%") -> str:
    """A signed difference as text, with the true minus sign."""
    text = f"{value * 100:+.1f}" if unit == "%" else f"{value:+.3g}"
    return text.replace("-", "−")


def signed(interval: Interval, unit: str = "%") -> str:
    """A difference with its interval: +4.4 (+2.1…+6.9)."""
    return f"{difference(interval.value, unit)} ({difference(interval.low, unit)}…{difference(interval.high, unit)})"


def points(interval: Interval, unit: str = "%") -> str:
    """A difference with its unit and interval: +4.4 points (CI +2.1…+6.9)."""
    name = " points" if unit == "%" else ""
    ends = f"{difference(interval.low, unit)}…{difference(interval.high, unit)}"
    return f"{difference(interval.value, unit)}{name} (95 % CI {ends})"


def spoken(metric: str) -> str:
    """A metric's name as read aloud."""
    known = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "map": "mAP", "macro_f1": "macro-F1"}
    known |= {"bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE-L"}
    return known.get(metric, metric.replace("_", " "))


def finite(value: Any) -> Any:
    """Replace NaN and infinity by None, all the way down, because JSON has no word for them."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value
