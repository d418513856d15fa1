"""Numbers of a scorecard as people read them, and signs for terminals that know only ASCII."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARMS = {
    "teacher": "teacher",
    "student": "distilled",
    "control": "no teacher",
    "soft": "soft labels only",
    "pseudo": "hard pseudo-labels",
    "trivial": "trivial baseline",
}
ORDER = ("teacher", "student", "control", "soft", "pseudo")
GRADES = ("issue", "tip", "note")  # the gravest first
NOTHING = "–"
_ASCII = str.maketrans(
    {"✔": "+", "⚠": "!", "✘": "x", "•": "*", "─": "-", "–": "-", "−": "-", "×": "x", "…": "...", "→": "->", "±": "+-"}
    | {"‖": "||", "²": "2", "₁": "1", "≥": ">=", "≤": "<=", "µ": "u", "’": "'"}
)


def to_ascii(text: str) -> str:
    """The text without signs beyond ASCII; letters that have no such form become "?"."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def number(value: float | None, unit: str = "%") -> str:
    """A metric: 91.2 for a share, four significant digits else, a dash for nothing."""
    if value is None:
        return NOTHING
    return f"{value * 100:.1f}" if unit == "%" else f"{value:.4g}"


def difference(value: float | None, unit: str = "%") -> str:
    """A signed difference, with the true minus sign."""
    if value is None:
        return NOTHING
    return (f"{value * 100:+.1f}" if unit == "%" else f"{value:+.3g}").replace("-", "−")


def interval(entry: Mapping[str, Any] | None, unit: str = "%", signed: bool = False) -> str:
    """A number with its 95 % interval: 91.2 (90.1–92.3), or +4.4 (+2.1…+6.9)."""
    if entry is None or entry.get("value") is None:
        return NOTHING
    show, to = (difference, "…") if signed else (number, "–")
    if entry.get("low") is None or entry.get("high") is None:
        return show(entry["value"], unit)
    return f"{show(entry['value'], unit)} ({show(entry['low'], unit)}{to}{show(entry['high'], unit)})"


def count(value: float | None) -> str:
    """A count with thousands separated."""
    return NOTHING if value is None else f"{value:,.0f}"


def tested(counts: Mapping[str, Any]) -> str:
    """What a task was judged on: test rows, or words of test sentences."""
    if "sentences" in counts:
        return f"{count(counts['labelled_rows'])} words of {count(counts['sentences'])} test sentences"
    if "folds" in counts:
        return f"{count(counts['labelled_rows'])} rows, each tested once in {counts['folds']} folds"
    return f"{count(counts['labelled_rows'])} test rows"


def size(value: float | None) -> str:
    """Bytes in the unit that fits."""
    if value is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"


def milliseconds(cost: Mapping[str, Any] | None, batch: int = 1, at: str = "p50_ms") -> str:
    """Latency of one call."""
    value = ((cost or {}).get("latency") or {}).get(str(batch), {}).get(at)
    return NOTHING if value is None else f"{value:.3g} ms"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def metric_name(card: Mapping[str, Any]) -> str:
    """The metric's name as read aloud."""
    return spoken(str(card["metric"]["name"]))


def spoken(metric: str) -> str:
    """The name of any metric as read aloud."""
    known = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "map": "mAP", "macro_f1": "macro-F1"}
    known |= {"bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE-L"}
    known |= {"qwk": "quadratic weighted kappa", "level_mae": "MAE in levels", "nll": "NLL"}
    return known.get(metric, metric.replace("_", " "))


def light(scorecard: Mapping[str, Any]) -> str:
    """Traffic light of the verdict: "green", "amber" or "red"."""
    if scorecard["verdict"] == "hurt":
        return "red"
    issues = any(f["grade"] == "issue" for f in scorecard["findings"])
    return "green" if scorecard["verdict"] == "helped" and not issues else "amber"
