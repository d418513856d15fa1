"""A first recipe for a file: what stands in it, guessed, each guess said in a comment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.recipe import Recipe

_NETWORKS = {  # teacher and student by the kind of rows
    "table": ("sklearn:HistGradientBoostingClassifier(max_iter=200)", "mlp(hidden=[16])"),
    "array": ("mlp(hidden=[128, 64])", "mlp(hidden=[16])"),
    "image": ("cnn(width=32, depth=2)", "cnn(width=8, depth=2)"),
}


def starter(
    name: str, folder: Path, data: Path, test: Path | None, target: str | None, task: str
) -> tuple[Recipe, str]:
    """The recipe and its text for a file of rows; raises ConfigError where the file cannot be read."""
    kind, columns, reasons, guessed = _look(data, target, task)
    teacher, student = _NETWORKS[kind]
    if guessed == "regression":
        teacher = teacher.replace("Classifier", "Regressor")
    if guessed == "multilabel" and kind == "table":
        teacher = "mlp(hidden=[128, 64])"
    files = {"train": data} if test is None else {"train": data, "test": test}
    where: dict[str, Any] = {split: str(path.resolve()) for split, path in files.items()} | {"task": guessed}
    if columns:
        where["columns"] = columns
    values = {"name": name, "data": where, "teacher": {"model": teacher}, "student": student}
    recipe = Recipe.from_dict(values, base=folder)
    near = {split: _relative(path, folder) for split, path in files.items()}
    recipe = replace(recipe, data=replace(recipe.data, **near))  # the folder need not be there yet
    said = "".join(f"# guessed {reason}\n" for reason in reasons)
    return recipe, f"{said}{recipe.to_yaml(defaults=False)}"


def _relative(path: Path, folder: Path) -> str:
    """A path as it is seen from the folder of the recipe, also where one of them is behind a link."""
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def _look(data: Path, target: str | None, task: str) -> tuple[str, dict[str, Any], list[str], str]:
    """Kind of rows, columns, reasons and task."""
    from limbeck.data.infer import infer_task
    from limbeck.data.sources import guess_columns, read, read_table

    if data.is_dir() or data.suffix == ".npz":
        raw = read(data, None, "train")
        reasons = [f"inputs: {raw.kind} rows"]
        if not raw.labels:
            raise ConfigError(f"expected labels in {data}, found none", "put images into one folder for each class")
        columns: dict[str, Any] = {}
    else:
        frame = read_table(data)
        guess, reasons = guess_columns(frame)
        chosen = target or guess.target
        if target is not None:
            reasons = [f"target: {target} (as asked)", *reasons[1:]]
        columns = {"target": chosen} | ({"id": guess.id} if guess.id else {})
        from limbeck.data.sources import NamedColumns

        raw = read(frame, NamedColumns(target=chosen, id=guess.id), "train")
    guessed = task
    if task == "auto":
        guessed, note = infer_task(next(iter(raw.labels.values())))
        reasons.append(f"task: {guessed} ({note.measured})")
    return raw.kind, columns, reasons, guessed
