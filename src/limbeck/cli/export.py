"""`limbeck export`."""

from __future__ import annotations

from limbeck.cli.options import Assign, DataDir, Json, Out, Overwrite, Quiet, Target, Verbose
from limbeck.cli.recipes import done_already, run_until, show_stage
from limbeck.cli.session import begin, verb


@verb(resumes=True)
def export(
    recipe: Target = None,
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the student as ONNX, parity proven."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    done = done_already(recipe, "export")
    if done is not None and not assign and not overwrite and out is None:
        show_stage(done, "export", console)
        return
    run = run_until("export", recipe, assign, console, data=data, out=out, overwrite=overwrite)
    show_stage(run.folder, "export", console, run.findings)
