"""`limbeck label`."""

from __future__ import annotations

from limbeck.cli.options import Assign, DataDir, Json, Out, Overwrite, Quiet, Target, Verbose
from limbeck.cli.recipes import run_until, show_stage
from limbeck.cli.session import begin, verb


@verb(resumes=True)
def label(
    recipe: Target = None,
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Let the teacher answer all rows, on disk."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    run = run_until("label", recipe, assign, console, data=data, out=out, overwrite=overwrite)
    show_stage(run.folder, "label", console, run.findings)
