"""From what a user names (a recipe, a run folder, nothing) to a recipe, and from a recipe to a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.cli.session import end_with, working_in
from limbeck.core.console import Console
from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding

if TYPE_CHECKING:
    from limbeck.recipe import Recipe
    from limbeck.stages.result import DistillRun

DEFAULT = "recipe.yaml"


def load_recipe(
    target: str | None, assignments: list[str] | None = None, *, data: Path | None = None, out: Path | None = None
) -> Recipe:
    """The recipe that is meant; raises ConfigError with all its problems."""
    from dataclasses import replace

    from limbeck.core.manifest import RUN_NAME
    from limbeck.recipe import Recipe

    if data is not None and not data.is_dir():
        raise ConfigError(f"expected a folder after --data, got {data}", "name the folder that holds the files")
    path = Path(target or DEFAULT)
    if path.is_dir() and (path / RUN_NAME).is_file():
        recipe = Recipe.from_run(path, assignments or (), base=data)
    else:
        path = path / DEFAULT if path.is_dir() else path
        recipe = Recipe.from_yaml(path, assignments or (), base=data)
    return recipe if out is None else replace(recipe, out=str(out))


def run_until(
    until: str, target: str | None, assignments: list[str] | None, console: Console, *,
    data: Path | None, out: Path | None, overwrite: bool,
) -> DistillRun:  # fmt: skip
    """Run a recipe up to and including a stage, skipping what is done."""
    recipe = load_recipe(target, assignments, data=data, out=out)
    working_in(recipe.folder)
    from limbeck import stages

    return stages.run_recipe(recipe, out=recipe.folder, overwrite=overwrite, console=console, until=until)


def show_run(run: DistillRun, console: Console, *, checked: bool = True) -> None:
    """Print the summary of a run that was evaluated; exit code 3 where a check of grade "issue" fired."""
    from limbeck.report.terminal import summary

    report, student = (_there(run.folder / name) for name in ("report.html", "export/student.onnx"))
    console.result(summary(run.scorecard, folder=str(run.folder), report=report, student=student))
    console.emit(
        {
            "folder": str(run.folder),
            "verdict": run.verdict,
            "scorecard": run.scorecard,
            "findings": [finding.to_json() for finding in run.findings],
        }
    )
    if checked:
        end_with(run.findings)


def _there(path: Path) -> str:
    return str(path) if path.is_file() else ""


def done_already(target: str | None, stage: str) -> Path | None:
    """The run folder that is meant, where this stage is done and its files are sound; runs from Python too."""
    from limbeck.core.manifest import RUN_NAME, damaged
    from limbeck.core.run import Run

    folder = Path(target or DEFAULT)
    if not (folder / RUN_NAME).is_file():
        return None
    record = Run.read(folder).state["stages"].get(stage, {})
    files = record.get("files", {})
    sound = not any(damaged(folder, name, entry) for name, entry in files.items())
    return folder if record.get("status") == "done" and sound else None


def show_stage(folder: Path, stage: str, console: Console, findings: Sequence[Finding] = ()) -> None:
    """Print what a single stage left: its files and facts; exit code 3 where a check of grade "issue" fired."""
    from limbeck.core.run import Run

    record = Run.read(folder).state["stages"].get(stage, {})
    size = sum(entry["bytes"] for entry in record.get("files", {}).values())
    facts = {key: value for key, value in record.get("facts", {}).items() if isinstance(value, str | int | float)}
    words = "  ".join(f"{key} {value}" for key, value in list(facts.items())[:6])
    console.result(f"{stage}  {folder}  {len(record.get('files', {}))} files, {size:,} bytes  {words}".rstrip())
    console.emit(
        {
            "folder": str(folder),
            "stage": stage,
            "seconds": record.get("seconds"),
            "files": sorted(record.get("files", {})),
            "facts": record.get("facts", {}),
            "findings": [finding.to_json() for finding in findings],
        }
    )
    end_with(findings)
