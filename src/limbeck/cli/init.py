"""`limbeck init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.options import Json, Out, Overwrite, Quiet, Verbose
from limbeck.cli.session import begin, verb
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.data.kinds import KINDS


@verb()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the run; a folder of this name is made.")],
    data: Annotated[
        str, typer.Option("--data", metavar="FILE", help="Training rows: a table, or a folder of images or clips.")
    ],
    test: Annotated[str | None, typer.Option("--test", metavar="FILE", help="Test rows; split off without.")] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COLUMN", help="What to predict; repeat for several labels.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help=f"auto, {', '.join(KINDS)}.")] = "auto",
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a recipe that runs for a file of yours.

    NAME/recipe.yaml gets guessed columns and a comment for each guess.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.cli.shards import shard_paths
    from limbeck.cli.starter import starter
    from limbeck.cli.tables import existing
    from limbeck.core.files import write_text

    folder = (out or Path()) / name
    path = folder / "recipe.yaml"
    if shard_paths(data):
        raise ConfigError(
            f"expected a table or a folder to look at, got the shards {data}",
            f"give one file of a few of these rows, then name the shards in the recipe: data: {{train: '{data}'}}",
        )
    existing({"--data": data} | ({"--test": test} if test is not None else {}))
    if path.exists() and not overwrite:
        raise StoreMismatch(f"expected no recipe at {path}, there is one", "name another, or add --overwrite")
    recipe, text = starter(name, folder, Path(data), Path(test) if test is not None else None, target or (), task)
    write_text(path, text)
    console.say(f"next: limbeck check {path}, then limbeck distill {path}")
    console.result(str(path))
    console.emit({"recipe": str(path), "settings": recipe.resolved()})
