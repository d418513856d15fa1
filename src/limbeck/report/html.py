"""report.html: one file that needs no network, works from disk, prints, and follows the reader's light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from limbeck.report import charts
from limbeck.report.folder import read_folder
from limbeck.report.page import page_of


def page(folder: str | Path) -> str:
    """The report of a run folder as one HTML page."""
    found = read_folder(Path(folder))
    return html_of(found.scorecard, state=found.state, resolved=found.resolved, events=found.events)


def html_of(
    scorecard: Mapping[str, Any],
    *,
    state: Mapping[str, Any] | None = None,
    resolved: str = "",
    events: Iterable[Mapping[str, Any]] = (),
) -> str:
    """The report of a scorecard as one HTML page; everything that came from the user is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("limbeck.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    # the charts escape their own strings
    environment.filters["intervals"] = lambda bars: Markup(charts.intervals(bars))
    environment.filters["reliability"] = lambda curves: Markup(charts.reliability(curves))
    drawn = [(name, Markup(svg)) for name, svg in charts.curves(events)]
    content = page_of(scorecard, state, resolved)
    return environment.get_template("report.html").render(page=content, curves=drawn)
