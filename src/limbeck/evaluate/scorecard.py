"""The scorecard: one JSON-able dict with the verdict, the numbers behind it, their intervals and the findings.

Schema 1: "schema", "name", "verdict", "sentence", "seeds", "tasks" {head: card}, "costs" {arm: …}, "smaller",
"findings", "provenance". A card is what `limbeck.evaluate.taskcard` writes. Numbers are in the metric's own unit
(shares from 0 to 1), intervals are {"value", "low", "high"} at 95 %, and what could not be measured is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.core.files import write_text
from limbeck.core.findings import Finding
from limbeck.evaluate import checks
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.sentences import overall, sentence
from limbeck.evaluate.show import finite
from limbeck.evaluate.taskcard import task_card

SCHEMA = 1
MARGIN = 0.01


def build(
    evidence: Mapping[str, Evidence],
    *,
    name: str = "",
    seeds: Sequence[int] = (),
    costs: Mapping[str, Mapping[str, Any]] | None = None,
    findings: Sequence[Finding] = (),
    ignore: Sequence[str] = (),
    overlaps: int = 0,
    margin: float = MARGIN,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Judge every task and put the scorecard together.

    `costs` by arm ("teacher", "student", "control"), as `limbeck.evaluate.cost` measures them. `findings` from earlier
    stages come first; the codes in `ignore` are left out. `overlaps` counts test rows that were dropped because they
    stand in training too.
    """
    if not evidence:
        raise ConfigError("expected at least one task to judge, got none", "give the answers of one head or more")
    costs = dict(costs or {})
    cards = {head: task_card(head, e, margin=margin, tasks=len(evidence)) for head, e in evidence.items()}
    found = list(findings) + [f for card in cards.values() for f in card.findings]
    smaller = checks.not_smaller(costs)
    found += [smaller] if smaller is not None else []
    found = [f for f in found if f.code not in ignore]
    tasks = {head: c.card for head, c in cards.items()}
    ratio = _smaller(costs)
    for head, card in tasks.items():
        # what LB201 found, where it is not silenced: a headline must not lay it on the method
        card["worth"] = None if "LB201" in ignore else cards[head].worth
        card["sentence"] = sentence(card, ratio)
        card["counts"]["dropped_overlaps"] = int(overlaps)
    verdict, text = overall(tasks)
    card_dict = {
        "schema": SCHEMA,
        "name": name,
        "verdict": verdict,
        "sentence": text,
        "seeds": [int(s) for s in seeds],
        "tasks": tasks,
        "costs": costs,
        "smaller": ratio,
        "findings": [asdict(f) for f in found],
        "provenance": dict(provenance or {}),
    }
    clean: dict[str, Any] = finite(card_dict)
    return clean


def _smaller(costs: Mapping[str, Mapping[str, Any]]) -> float | None:
    teacher, student = (costs.get(arm, {}).get("parameters") for arm in ("teacher", "student"))
    return teacher / student if teacher and student else None


class Range:
    """A number with its 95 % interval; behaves as a number in comparisons through `float`."""

    def __init__(self, value: float, low: float, high: float) -> None:
        self.value, self.low, self.high = value, low, high

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Range) and (self.value, self.low, self.high) == (other.value, other.low, other.high)

    def __hash__(self) -> int:
        return hash((self.value, self.low, self.high))


def _range(entry: Mapping[str, float] | None) -> Range | None:
    return None if entry is None else Range(entry["value"], entry["low"], entry["high"])


class Scorecard:
    """A scorecard with attributes; for several tasks the short ones speak of the first, `task(head)` of any."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        found = data.get("schema")
        if found != SCHEMA:
            raise StoreMismatch(
                f"expected a scorecard of schema {SCHEMA}, got {found!r}",
                "read it with the version of limbeck that wrote it, or evaluate again",
            )
        self.data = dict(data)

    @classmethod
    def read(cls, path: str | Path) -> Scorecard:
        """Read scorecard.json."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))

    def task(self, head: str) -> Scorecard:
        """The scorecard of one task only."""
        if head not in self.data["tasks"]:
            raise ConfigError(f"expected one of the tasks {', '.join(self.data['tasks'])}, got '{head}'", "")
        card = self.data["tasks"][head]
        return Scorecard(self.data | {"tasks": {head: card}, "verdict": card["verdict"], "sentence": card["sentence"]})

    @property
    def _first(self) -> dict[str, Any]:
        card: dict[str, Any] = next(iter(self.data["tasks"].values()))
        return card

    @property
    def verdict(self) -> str | None:
        """One of "helped", "no reliable difference" and "hurt"; None under three seeds."""
        verdict: str | None = self.data["verdict"]
        return verdict

    @property
    def sentence(self) -> str:
        """The verdict as one reads it aloud."""
        return str(self.data["sentence"])

    @property
    def retention(self) -> Range | None:
        """Student metric / teacher metric with its interval; None where a ratio would mislead (see `difference`)."""
        return _range((self._first.get("retention") or {}).get("ratio"))

    @property
    def difference(self) -> Range | None:
        """Student metric - teacher metric with its interval."""
        return _range((self._first.get("retention") or {}).get("difference"))

    @property
    def gain(self) -> Range | None:
        """Student metric - control metric, paired, with its interval."""
        return _range(self._first["gain"])

    @property
    def agreement(self) -> Range | None:
        """How often student and teacher decide alike; None for regression."""
        fidelity = (self._first.get("fidelity") or {}).get("arms", {}).get("student", {})
        return _range(fidelity.get("agreement"))

    @property
    def checks(self) -> tuple[Finding, ...]:
        """All findings."""
        return tuple(Finding(**f) for f in self.data["findings"])

    @property
    def issues(self) -> tuple[Finding, ...]:
        """The findings of grade "issue": the ones that end in exit code 3."""
        return tuple(f for f in self.checks if f.grade == "issue")

    def __iter__(self) -> Iterator[str]:
        return iter(self.data["tasks"])

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __str__(self) -> str:
        return self.sentence

    def to_json(self, path: str | Path | None = None) -> str:
        """The scorecard as JSON text, also written to `path` where one is given."""
        text = json.dumps(self.data, indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_text(Path(path), text + "\n")
        return text
