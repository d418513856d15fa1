"""`limbeck report`."""

from __future__ import annotations

from limbeck.cli.options import Json, Out, Quiet, RunArgument, Verbose
from limbeck.cli.session import begin, verb


@verb()
def report(
    run: RunArgument = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write report.html and report.md of a run.

    Into its folder, or to DIR.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.core.run import Run, find_run

    folder = find_run(run)
    from limbeck.report.write import write_report

    Run.read(folder).require("scorecard.json")
    if out is None:
        written = list(write_report(folder))
    elif out.suffix in (".html", ".md"):
        written = list(write_report(folder, out))
    else:
        written = [path for name in ("report.html", "report.md") for path in write_report(folder, out / name)]
    for path in written:
        console.result(str(path))
    console.emit({"folder": str(folder), "written": [str(path) for path in written]})
