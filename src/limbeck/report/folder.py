"""Reports of a run folder: reads what the stages left there, writes report.html and report.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.report.html import html
from limbeck.report.markdown import markdown


def read_scorecard(folder: Path) -> dict[str, Any]:
    """The scorecard of a run folder; raises ConfigError where there is none."""
    path = Path(folder) / "scorecard.json"
    if not path.is_file():
        raise ConfigError(f"expected a scorecard in {folder}, there is none", "run `limbeck evaluate` on it first")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise ConfigError(f"expected JSON in {path}, got: {e}", "evaluate again") from e
    return found


def write_report(folder: str | Path, out: str | Path | None = None) -> tuple[Path, ...]:
    """Write report.html and report.md into the run folder, or one of them to `out` (by its suffix).

    Returns the paths written.
    """
    folder = Path(folder)
    scorecard = read_scorecard(folder)
    state_path, resolved_path = folder / "run.json", folder / "resolved.yaml"
    state = json.loads(state_path.read_text(encoding="utf-8")) if state_path.is_file() else {}
    resolved = resolved_path.read_text(encoding="utf-8") if resolved_path.is_file() else ""
    targets = (folder / "report.html", folder / "report.md") if out is None else (Path(out),)
    for target in targets:
        if target.suffix == ".html":
            text = html(scorecard, state=state, resolved=resolved, events=_events(folder))
        elif target.suffix == ".md":
            text = markdown(scorecard, state, resolved)
        else:
            raise ConfigError(f"expected a report ending in .html or .md, got {target.name}", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return targets


def _events(folder: Path) -> list[dict[str, Any]]:
    from limbeck.core.events import EVENTS_NAME, read_events

    return list(read_events(folder / EVENTS_NAME)) if (folder / EVENTS_NAME).is_file() else []
