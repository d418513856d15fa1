"""`limbeck distill`."""

from __future__ import annotations

from limbeck.cli.options import Assign, DataDir, Json, Out, Overwrite, Quiet, Target, Verbose
from limbeck.cli.recipes import run_until, show_run
from limbeck.cli.session import begin, verb


@verb(resumes=True)
def distill(
    recipe: Target = None,
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Go the whole way, from a recipe to a verdict.

    Teach, label, train student and control, evaluate, export, report.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    run = run_until("report", recipe, assign, console, data=data, out=out, overwrite=overwrite)
    show_run(run, console)
