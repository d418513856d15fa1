"""The options that verbs share, each spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe file or a run folder.", show_default="recipe.yaml here"),
]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run folder or its name.", show_default="the newest run")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to write.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Assign = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY.PATH=VALUE", help="Change a setting of the recipe; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and warnings.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more; print tracebacks.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the folder.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where relative data paths of the recipe start.", show_default=False),
]
