"""`limbeck predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.options import Json, Out, Quiet, Verbose
from limbeck.cli.session import begin, verb


@verb()
def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder or its name.")],
    data: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Inputs: a table, NPZ, tar shards, a folder of images or clips."),
    ],
    proba: Annotated[bool, typer.Option("--proba", help="Probabilities, one column per class or label.")] = False,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Let the student of a run answer a file.

    A table on stdout, or in DIR (or the file that is named); ids are kept where the recipe names them. Masks are
    written as PNG files into DIR.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    from limbeck.cli.masks import answers_masks, write_masks
    from limbeck.cli.shards import shard_answers, shard_paths, write_frames
    from limbeck.cli.tables import answers_table, as_csv, existing, read_inputs, write_table
    from limbeck.core.run import find_run

    folder = find_run(run)
    if not (shards := shard_paths(data)):
        existing({"FILE": data})
    from limbeck.stages.result import load

    student = load(folder).answering()
    if shards:
        frames = shard_answers(student, shards, folder, proba=proba)
        if out is not None:
            target = _file(out)
            rows = write_frames(frames, target)
            console.result(f"{target}  {rows:,} rows")
            console.emit({"run": str(folder), "written": str(target), "rows": rows})
            return
        rows = 0
        for number, frame in enumerate(frames):
            rows += len(frame)
            console.result(as_csv(frame).to_csv(index=False, header=number == 0).rstrip("\n"))
        console.emit({"run": str(folder), "rows": rows})
        return
    if (head := answers_masks(student)) is not None:
        written = write_masks(student, head, Path(data), folder, out)
        console.result(f"{out}  {len(written):,} masks")
        console.emit({"run": str(folder), "written": str(out), "masks": written})
        return
    frame = answers_table(student, *read_inputs(Path(data), folder), proba=proba)
    if out is not None:
        target = _file(out)
        write_table(frame, target)
        console.result(f"{target}  {len(frame):,} rows")
        console.emit({"run": str(folder), "written": str(target), "rows": len(frame)})
        return
    console.result(as_csv(frame).to_csv(index=False).rstrip("\n"))
    console.emit({"run": str(folder), "rows": len(frame), "predictions": frame.to_dict(orient="records")})


def _file(out: Path) -> Path:
    """The file that is named, or predictions.csv in the folder that is."""
    return out if out.suffix in (".csv", ".jsonl", ".parquet") else out / "predictions.csv"
