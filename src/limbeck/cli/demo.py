"""`limbeck demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.options import Json, Out, Overwrite, Quiet, Verbose
from limbeck.cli.recipes import show_run
from limbeck.cli.session import begin, verb, working_in
from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest

DEMOS = ("digits",)


@verb(resumes=True)
def demo(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(DEMOS)}.")] = "digits",
    article: Annotated[
        bool, typer.Option("--article", help="The textbook's two networks on all labels, and what came of it.")
    ] = False,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the whole way on data that comes along.

    Offline, under a minute, ends in a verdict.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    if name not in DEMOS:
        raise ConfigError(
            f"expected the name of a demo, got '{name}'", suggest(name, DEMOS) or f"known: {', '.join(DEMOS)}"
        )
    from limbeck import stages

    if out is not None:
        working_in(out)
    run = stages.demo(name, article=article, out=out, overwrite=overwrite, console=console)
    show_run(run, console, checked=False)
