"""Write the reports of a run folder."""

from __future__ import annotations

from pathlib import Path

from limbeck.core.errors import ConfigError
from limbeck.core.files import write_text
from limbeck.report.html import page
from limbeck.report.markdown import markdown


def write_report(folder: str | Path, out: str | Path | None = None) -> tuple[Path, ...]:
    """Write report.html and report.md into a run folder, or the one that the suffix of `out` names; give the paths."""
    targets = (Path(folder) / "report.html", Path(folder) / "report.md") if out is None else (Path(out),)
    for target in targets:
        if target.suffix not in (".html", ".md"):
            raise ConfigError(f"expected a report ending in .html or .md, got {target.name}", "choose one of them")
        write_text(target, page(folder) if target.suffix == ".html" else markdown(folder))
    return targets
