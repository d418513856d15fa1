"""`limbeck judge`."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.options import Json, Out, Quiet, Verbose
from limbeck.cli.session import begin, end_with, verb

MARGIN = 0.01


@verb()
def judge(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help="Table of the test rows: id, label.")],
    student: Annotated[str, typer.Option("--student", metavar="FILE", help="Its predictions: id, [seed], answers.")],
    control: Annotated[str, typer.Option("--control", metavar="FILE", help="Those of the same student, untaught.")],
    teacher: Annotated[str | None, typer.Option("--teacher", metavar="FILE", help="Those of the teacher.")] = None,
    task: Annotated[str, typer.Option("--task", help="auto, or for example multilabel, tagging, generation.")] = "auto",
    metric: Annotated[str | None, typer.Option("--metric", help="What counts; by default that of the task.")] = None,
    margin: Annotated[float, typer.Option("--margin", help="What still counts as equal to the teacher.")] = MARGIN,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge predictions from anyone's trainer.

    Tables in, a scorecard and a verdict out: the same truth as for a run.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.cli.tables import existing

    given = {"labels": labels, "--student": student, "--control": control, "--teacher": teacher}
    existing({name: path for name, path in given.items() if path is not None})

    from limbeck.core.files import write_json
    from limbeck.core.findings import Finding
    from limbeck.evaluate.judge import judge as judged
    from limbeck.report.terminal import summary
    from limbeck.report.write import write_report

    card = judged(
        labels, student=student, control=control, teacher=teacher, task=task, metric=metric, margin=margin, name="judge"
    ).data
    report = ""
    if out is not None:
        write_json(out / "scorecard.json", card)
        report = str(write_report(out)[0])
    console.result(summary(card, report=report))
    console.emit(card)
    end_with([Finding.from_json(plain) for plain in card["findings"]])
