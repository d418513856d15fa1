"""`limbeck checks`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from limbeck.cli.options import Json, Out, Quiet, Verbose
from limbeck.cli.session import begin, verb
from limbeck.core.checks import CHECKS
from limbeck.core.errors import ConfigError
from limbeck.core.files import write_text
from limbeck.core.kinds import suggest


@verb()
def checks(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="A code such as LB202; all without it.")] = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Explain a finding by its code, or list all."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    if code is None:
        found = list(CHECKS.values())
        text = "\n".join(f"{check.code}  {check.title}" for check in found)
    else:
        check = CHECKS.get(code.upper())
        if check is None:
            near = suggest(code.upper(), CHECKS)
            raise ConfigError(f"expected the code of a check, got '{code}'", near or "`limbeck checks` lists them")
        found, text = [check], check.page()
    if out is not None:
        write_text(out / "checks.txt", text + "\n")
    console.result(text)
    console.emit([asdict(check) for check in found])
