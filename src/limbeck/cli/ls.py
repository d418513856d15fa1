"""`limbeck ls`."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli.options import Json, Out, Quiet, Verbose
from limbeck.cli.session import begin, verb
from limbeck.core.errors import LimbeckError


@verb()
def ls(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of run folders.")] = Path("runs"),
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List runs, newest first."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.core.run import list_runs

    lines = [_line(folder) for folder in list_runs(out if out is not None else root)]
    if not lines:
        console.say(f"no runs in {out if out is not None else root}; `limbeck demo digits` makes one")
    for line in lines:
        console.result(f"{line['status']:<12}{line['started']:<18}{line['folder']:<32}{line['verdict'] or ''}".rstrip())
    console.emit(lines)


def _line(folder: Path) -> dict[str, Any]:
    from limbeck.core.files import read_json
    from limbeck.core.run import Run

    try:
        run = Run.read(folder)
        card = read_json(run.require("scorecard.json")) if run.path("scorecard.json").is_file() else {}
    except LimbeckError as err:
        return {"folder": str(folder), "status": "damaged", "started": "", "verdict": None, "sentence": err.what}
    started = datetime.datetime.fromtimestamp(run.state["started"]).strftime("%Y-%m-%d %H:%M")
    return {
        "folder": str(folder), "status": run.status, "started": started,
        "verdict": card.get("verdict"), "sentence": card.get("sentence"),
    }  # fmt: skip
