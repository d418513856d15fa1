"""The verdict in words. A sentence never says more than the interval does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.evaluate.show import difference, number, spoken

HELPED, HURT, SAME = "helped", "hurt", "no reliable difference"


def sentence(card: Mapping[str, Any], smaller: float | None = None) -> str:
    """What is kept of the teacher, how much smaller the student is, and what distillation did."""
    parts = [_kept(card), _size(smaller), _gained(card)]
    return " ".join(p for p in parts if p)


def overall(tasks: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str]:
    """The verdict and sentence over all tasks, each judged at the level that so many need.

    A verdict that one task contradicts is none.
    """
    if len(tasks) == 1:
        card = next(iter(tasks.values()))
        return card["verdict"], card["sentence"]
    verdicts = {card["verdict_together"] for card in tasks.values()}
    text = " ".join(f"{head}: {card['sentence']}" for head, card in tasks.items())
    if None in verdicts:
        return None, text
    if HELPED in verdicts and HURT in verdicts:
        return SAME, f"Some tasks gained and some lost. {text}"
    return (HELPED if HELPED in verdicts else HURT if HURT in verdicts else SAME), text


def _ends(interval: Mapping[str, float], unit: str) -> str:
    return f"95 % CI {difference(interval['low'], unit)}…{difference(interval['high'], unit)}"


def _amount(interval: Mapping[str, float], unit: str, name: str) -> str:
    word = "points" if unit == "%" else name
    return f"{difference(interval['value'], unit)} {word} ({_ends(interval, unit)})"


def _rows(card: Mapping[str, Any]) -> str:
    counts = card["counts"]
    rows = f"{counts['labelled_rows']:,} test rows"
    if "sentences" in counts:
        rows = f"{counts['labelled_rows']:,} words of {counts['sentences']:,} test sentences"
    if "folds" in counts:
        rows = f"{counts['labelled_rows']:,} rows, each tested once in {counts['folds']} folds,"
    return f"{rows} × {counts['seeds']} seed{'s' if counts['seeds'] != 1 else ''}"


def _kept(card: Mapping[str, Any]) -> str:
    kept, metric = card.get("retention"), card["metric"]
    if kept is None:
        return ""
    name = spoken(metric["name"])
    ratio = kept["ratio"]
    if ratio is not None:
        value, low, high = (number(ratio[k]) for k in ("value", "low", "high"))
        what = f"the teacher's {name}" + (" beyond the trivial baseline" if metric["unit"] != "%" else "")
        return f"The student keeps {value} % of {what} (95 % CI {low}–{high}; {_rows(card)})."
    return (
        f"Student against teacher: {_amount(kept['difference'], metric['unit'], name)}, {_rows(card)}; "
        f"no ratio, because {kept['reason']}."
    )


def _size(smaller: float | None) -> str:
    if smaller is None:
        return ""
    return f"It is {smaller:.3g}× smaller." if smaller > 1 else f"It is not smaller (×{1 / smaller:.3g} parameters)."


def _gained(card: Mapping[str, Any]) -> str:
    metric, gain = card["metric"], card["gain"]
    name = spoken(metric["name"])
    amount = _amount(gain, metric["unit"], name)
    lower = "" if metric["higher_is_better"] else " (lower is better)"
    against = "the same student without a teacher"
    verdict = card["verdict"]
    known = card.get("knowledge")
    if verdict == HELPED and known is not None and not known["credited"]:
        return (
            f"Its training gave {amount}{lower} over {against}, but this is not the teacher's knowledge: "
            f"{known['reason']}."
        )
    if verdict == HELPED:
        return f"Distillation helped: {amount}{lower} over {against}."
    worth = card.get("worth")
    if verdict == HURT:
        todo = f"{worth}: train a better one, or ship the plain student" if worth else "ship the plain student"
        return f"Distillation hurt: {amount}{lower} against {against}; {todo}."
    if verdict == SAME:
        return f"No reliable difference to {against}: {amount}{lower}{f'; {worth}' if worth else ''}."
    return f"No verdict ({card['reason']}): {amount}{lower} against {against}."
