"""What a run folder holds for a report: the scorecard, run.json, the resolved recipe and the events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.core.events import EVENTS_NAME, read_events

SCORECARD, INT8 = "scorecard.json", "export/int8.json"


@dataclass(frozen=True)
class Folder:
    """The contents of a run folder; only the scorecard must be there."""

    scorecard: dict[str, Any]
    state: dict[str, Any]
    resolved: str
    events: Sequence[dict[str, Any]]


def read_folder(folder: Path) -> Folder:
    """Read a run folder; raises ConfigError where there is no scorecard or it is no JSON."""
    if not (folder / SCORECARD).is_file():
        raise ConfigError(f"expected a scorecard in {folder}, there is none", "run `limbeck evaluate` on it first")
    state, resolved, events = folder / "run.json", folder / "resolved.yaml", folder / EVENTS_NAME
    return Folder(
        scorecard=scorecard_of(folder),
        state=_json(state) if state.is_file() else {},
        resolved=resolved.read_text(encoding="utf-8") if resolved.is_file() else "",
        events=list(read_events(events)) if events.is_file() else [],
    )


def scorecard_of(folder: Path) -> dict[str, Any]:
    """scorecard.json with what the export stage measured later: the section "int8" and its findings."""
    card, later = _json(folder / SCORECARD), folder / INT8
    if later.is_file():
        card["int8"] = _json(later)
        card["findings"] = [*card["findings"], *card["int8"]["findings"]]
    return card


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise ConfigError(f"expected JSON in {path}, got: {e}", "evaluate again") from e
    return found
