"""`limbeck transfer verify | info | export | import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli.options import Assign, DataDir, Json, Out, Overwrite, Quiet, Verbose
from limbeck.cli.session import begin, verb

app = typer.Typer(name="transfer", help="Look at, check and exchange transfer sets.", no_args_is_help=True)

SetArgument = Annotated[str, typer.Argument(metavar="PATH", help="A transfer set, or the run folder that holds one.")]


def transfer_folder(path: str) -> Path:
    """The transfer set that is meant: the folder itself, or the one in a run folder."""
    folder = Path(path)
    return folder / "transfer" if (folder / "transfer").is_dir() else folder


@app.command()
@verb()
def verify(
    path: SetArgument, out: Out = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Compare every byte with its checksum; exit code 2 where one differs."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.core.files import write_json
    from limbeck.transfer.verify import verify as verified

    found = verified(transfer_folder(path))
    plain = {
        "path": str(found.path), "sound": found.sound, "complete": found.complete, "answers": found.answers,
        "what": found.what,
        "files": found.files, "bytes": found.size, "open_shards": found.open_shards, "shards": found.shards,
        "damage": [{"file": damage.file, "what": damage.what, "rows": damage.rows} for damage in found.damage],
    }  # fmt: skip
    if out is not None:
        write_json(out / "verification.json", plain)
    found.require()
    rest = f"; {found.open_shards} of {found.shards} shards are not labelled yet" if found.open_shards else ""
    console.result(f"sound  {found.answers:,} {found.what}, {found.files} files, {found.size:,} bytes{rest}")
    console.emit(plain)


@app.command()
@verb()
def info(
    path: SetArgument, out: Out = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Show what a transfer set is: identity, outputs or texts, rows, provenance."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.cli.check import flat
    from limbeck.core.files import write_json

    plain = _described(transfer_folder(path))
    for name, value in flat(plain):
        console.result(f"{name:<40}{value}")
    if out is not None:
        write_json(out / "transfer.json", plain)
    console.emit(plain)


def _described(folder: Path) -> dict[str, Any]:
    """What a transfer set is, in plain data; of texts with the answers token by token below them."""
    from limbeck.core.files import read_json
    from limbeck.transfer.manifest import MANIFEST_NAME
    from limbeck.transfer.store import Store
    from limbeck.transfer.written import TOKENS, describe_texts, holds_texts

    if holds_texts(folder):
        tokens = {TOKENS: _described(folder / TOKENS)} if (folder / TOKENS / MANIFEST_NAME).is_file() else {}
        return {"path": str(folder), **describe_texts(folder), **tokens}
    store = Store(folder)
    return {"path": str(folder), "answers": len(store), "manifest": read_json(folder / MANIFEST_NAME)}


@app.command()
@verb()
def export(
    path: SetArgument,
    to: Annotated[str, typer.Option("--to", help="The format: parquet.")] = "parquet",
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a transfer set as one Parquet file for pandas, polars, DuckDB and datasets."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.core.errors import ConfigError
    from limbeck.transfer.exchange import export_parquet

    if to != "parquet":
        raise ConfigError(
            f"expected --to parquet, got '{to}'", "Parquet is read by pandas, polars, DuckDB and datasets"
        )
    folder = transfer_folder(path)
    target = Path("transfer.parquet") if out is None else out if out.suffix == ".parquet" else out / "transfer.parquet"
    written = export_parquet(folder, target)
    console.result(str(written))
    console.emit({"path": str(folder), "written": str(written)})


@app.command("import")
@verb(resumes=True)
def import_(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Predictions: id, one column per class.")],
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe with the rows.")] = "recipe.yaml",
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a transfer set of a table of predictions for the rows of a recipe."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.cli.recipes import run_until, show_stage
    from limbeck.cli.tables import existing

    existing({"TABLE": table})
    chosen = [*(assign or []), f"teacher=[{{model: '{Path(table).resolve()}'}}]"]
    run = run_until("label", recipe, chosen, console, data=data, out=out, overwrite=overwrite)
    show_stage(run.folder, "label", console, run.findings)
