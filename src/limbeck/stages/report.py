"""The report stage: the scorecard as a page, as Markdown and as a summary for the terminal."""

from __future__ import annotations

from limbeck.core.files import write_text
from limbeck.core.run import Run


def report(run: Run) -> None:
    """Write report.html and report.md from what the run folder holds."""
    from limbeck.report.html import page
    from limbeck.report.markdown import markdown

    inputs = {"evaluate": run.stage("evaluate", {}).fingerprint, "export": run.stage("export", {}).fingerprint}
    stage = run.stage("report", inputs, outputs=("report.html", "report.md"))
    if stage.done:
        return
    with stage:
        write_text(run.path("report.html"), page(run.folder))
        write_text(run.path("report.md"), markdown(run.folder))
