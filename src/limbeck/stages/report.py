"""The report stage: the scorecard as a page, as Markdown and as a summary for the terminal."""

from __future__ import annotations

from limbeck.core.run import Run


def report(run: Run) -> None:
    """Write report.html and report.md from what the run folder holds."""
    from limbeck.report.write import write_report

    inputs = {"evaluate": run.stage("evaluate", {}).fingerprint, "export": run.stage("export", {}).fingerprint}
    stage = run.stage("report", inputs, outputs=("report.html", "report.md"))
    if not stage.done:
        with stage:
            write_report(run.folder)
