"""A first recipe for a file: what stands in it, guessed, each guess said in a comment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.cli.starter_clips import look_at_clips
from limbeck.core.errors import ConfigError
from limbeck.data.embedded import EMBEDDED
from limbeck.data.kinds import kind_name
from limbeck.recipe import Recipe

_NETWORKS = {  # teacher and student by the kind of rows
    "series": ("series_cnn(width=32)", "series_cnn(width=8)"),  # of different lengths
    "table": ("sklearn:HistGradientBoostingClassifier(max_iter=200)", "mlp(hidden=[16])"),
    "array": ("mlp(hidden=[128, 64])", "mlp(hidden=[16])"),
    "image": ("cnn(width=32, depth=2)", "cnn(width=8, depth=2)"),
    "audio": ("audio_cnn(width=96, blocks=4, dropout=0.1)", "audio_cnn(width=20, blocks=3)"),
    "text": ("text_cnn(dim=128, filters=128)", "bag_of_words(dim=32)"),
}
_BY_TASK = {  # where the task decides
    "generation": (
        "seq2seq(d_model=256, layers=3, ffn=1024)", "seq2seq(d_model=128, layers=3, decoder_layers=1, ffn=256)"
    ),
    "segmentation": ("unet(width=16, depth=3)", "unet(width=4, depth=3)"),
    "tagging": ("text_cnn(dim=128, filters=128)", "text_cnn(dim=32, filters=32)"),
    "similarity": ("st:sentence-transformers/all-MiniLM-L6-v2", "static(dim=256)"),
    "retrieval": ("st:sentence-transformers/all-MiniLM-L6-v2", "static(dim=256)"),
}  # fmt: skip
_FOREST = "sklearn:ExtraTreesClassifier(n_estimators=300, min_samples_leaf=3)"  # boosting memorises few rows
_FEW = 5_000
_PLANS = {"segmentation": {"steps": 400, "batch_size": 8, "learning_rate": 0.003}}  # every pixel is a row
_SEVERAL = ("|", ";")  # between labels in one cell


@dataclass(frozen=True)
class _Look:
    """What a file holds: kind of rows, columns by meaning, the task, and the reason of each guess."""

    kind: str
    columns: dict[str, Any]
    task: str
    reasons: list[str]
    rows: int
    size: tuple[int, int] | None = None


def starter(
    name: str, folder: Path, data: Path, test: Path | None, target: Sequence[str], task: str
) -> tuple[Recipe, str]:
    """The recipe and its text for a file of rows; raises ConfigError where the file cannot be read."""
    found = _look(data, target, task)
    teacher, student = _NETWORKS[found.kind]
    if kind_name(found.task) in _BY_TASK:
        teacher, student = _BY_TASK[kind_name(found.task)]
    elif found.kind == "table" and found.rows < _FEW:
        teacher = _FOREST
    if found.task == "regression":
        teacher = teacher.replace("Classifier", "Regressor")
    if found.task == "multilabel" and found.kind == "table":
        teacher = _NETWORKS["array"][0]
    where: dict[str, Any] = {"train": str(data.resolve()), "task": found.task}
    if test is not None:
        where["test"] = str(test.resolve())
    if found.size is not None:
        where["image_size"] = list(found.size)
    if found.columns:
        where["columns"] = found.columns
    values: dict[str, Any] = {"name": name, "data": where, "teacher": {"model": teacher}, "student": student}
    if (plan := _PLANS.get(kind_name(found.task))) is not None:
        values |= {"train": plan, "teacher": {"model": teacher, "train": plan}}
    recipe = Recipe.from_dict(values, base=folder)
    near = replace(recipe.data, train=_relative(data, folder), test=_relative(test, folder) if test else None)
    recipe = replace(recipe, data=near)  # the folder need not be there yet
    reasons = [
        *found.reasons,
        f"teacher and student: {teacher} and {student} (usual for {_KINDS[found.kind]})",
        *([_HUB] if found.task in EMBEDDED else []),
        *([_BETTER] if found.kind == "text" and found.task not in ("generation", *EMBEDDED) else []),
        *([] if test is not None else ["test rows: a fifth of the rows is split off (name a file under data: test)"]),
    ]
    return recipe, "".join(f"# guessed {reason}\n" for reason in reasons) + recipe.to_yaml(defaults=False)


_KINDS = {
    "table": "tables",
    "array": "arrays",
    "image": "images",
    "text": "texts",
    "audio": "clips",
    "series": "series",
}
_BETTER = (
    "no pretrained model: name one as teacher, hf:FOLDER, and make the student of it, for example keep_layers(2) or, "
    "for whole texts, vocabulary(8000) | static(dim=128)"
)
_HUB = (
    "a teacher that is read from the Hugging Face hub: no built-in network embeds texts; where there is no network, or "
    "for one of yours, write st:FOLDER (a folder that SentenceTransformer.save wrote)"
)


def _relative(path: Path, folder: Path) -> str:
    """A path as it is seen from the folder of the recipe, also where one of them is behind a link."""
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def _look(data: Path, target: Sequence[str], task: str) -> _Look:
    from limbeck.data.masks.arrays import are_masks
    from limbeck.data.masks.sources import common_size, is_masked_folder
    from limbeck.data.rows import row_shape
    from limbeck.data.sources import read

    if task in EMBEDDED:
        return _look_at_pairs(data, target, task)
    if not data.is_dir() and data.suffix.lower() != ".npz":
        return _look_at_table(data, target, task)
    if target and data.is_dir():
        raise ConfigError(
            f"expected no --target for a folder of images, got {', '.join(target)}", "the folders are the classes"
        )
    columns = {"target": list(target) if len(target) > 1 else target[0]} if target else {}
    size = common_size(data) if data.is_dir() and is_masked_folder(data) else None
    raw = read(data, _named(target) if target else None, "train", size=size)
    if not raw.labels:
        todo = (
            "put images into one folder for each class, or into images/ with their masks in masks/"
            if data.is_dir()
            else "name the labels with --target"
        )
        raise ConfigError(f"expected labels in {data}, found none", todo)
    inputs = f"inputs: {raw.kind} rows of shape {row_shape(raw.inputs)}"
    labels = "labels: the names of the folders" if data.is_dir() else "labels: by their name"
    if are_masks(next(iter(raw.labels.values()))):
        labels = "labels: the pictures in masks/ of the same names"
    found = _with_task(raw, columns, [inputs, f"target: {', '.join(target)} (as asked)" if target else labels], task)
    if size is None:
        return found
    said = f"image_size: {size[0]}x{size[1]} (the sizes of the images differ, and all are as large as that)"
    return replace(found, size=size, reasons=[*found.reasons, said])


def _look_at_table(data: Path, target: Sequence[str], task: str) -> _Look:
    from limbeck.data.generation import pair_in, unfolded
    from limbeck.data.sources import guess_columns, read, read_table

    clips = look_at_clips(data, target, task)
    if clips is not None:
        return _Look("audio", *clips)
    frame = unfolded(read_table(data))
    guess, reasons = guess_columns(frame)
    chosen = tuple(target) or ((guess.target,) if guess.target else ())
    if not chosen:
        raise ConfigError(f"expected a column of labels in {data}, it has one column", "add a column of labels")
    if target:
        reasons = [f"target: {', '.join(target)} (as asked)", *reasons[1:]]
    name = guess.id if guess.id not in chosen else None
    columns: dict[str, Any] = {"target": chosen[0] if len(chosen) == 1 else list(chosen)}
    if name:
        columns["id"] = name
    if guess.inputs and guess.target == chosen[0] and pair_in(frame) is None:  # words and their tags
        columns["inputs"] = list(guess.inputs)
    raw = read(frame, _named(chosen, name, columns.get("inputs", ())), "train")
    found = _with_task(raw, columns, reasons, task)
    cells = frame[chosen[0]].dropna().astype(str)
    if (
        task == "auto"
        and found.task == "classification"
        and cells.str.contains("|".join("\\" + s for s in _SEVERAL)).any()
    ):
        found.reasons.append("one label a row, though some hold | or ; (for several labels a row: task: multilabel)")
    return found


def _look_at_pairs(data: Path, target: Sequence[str], task: str) -> _Look:
    """Two columns of texts, and a score beside them in a task on similarity."""
    from limbeck.data.columns import LABELS
    from limbeck.data.sources import read_table
    from limbeck.data.texts import is_text_list

    frame = read_table(data)
    names = [str(name) for name in frame.columns]
    texts = [name for name in names if is_text_list(frame[name]) and name not in target]
    columns: dict[str, Any] = {"inputs": texts[:2]}
    reasons = [f"inputs: {' and '.join(texts[:2])} (columns of texts)"]
    scores = [name for name in names if name not in texts and frame[name].dtype.kind in "iuf"]
    if task == "similarity":
        known = [name for name in scores if name.lower() in ("score", "similarity", *LABELS)]
        columns["target"] = (list(target) or known or scores[-1:] or [""])[0]
        reasons.append(f"target: {columns['target']} ({'as asked' if target else 'numbers'})")
    if len(texts) < 2 or columns.get("target") == "":
        raise ConfigError(
            f"expected two columns of texts{' and one of scores' if task == 'similarity' else ''} in {data} for the "
            f"task {task}, got {', '.join(names)}",
            "name the file's columns so that each of them stands alone, or write the recipe by hand",
        )
    return _Look("text", columns, task, [*reasons, f"task: {task} (as asked)"], len(frame))


def _named(target: Sequence[str], name: str | None = None, inputs: Sequence[str] = ()) -> Any:
    from limbeck.data.sources import NamedColumns

    return NamedColumns(inputs=tuple(inputs), target=target[0] if len(target) == 1 else tuple(target), id=name)


def _with_task(raw: Any, columns: dict[str, Any], reasons: list[str], task: str) -> _Look:
    from limbeck.data.generation import is_pair
    from limbeck.data.infer import infer_task
    from limbeck.data.masks.segmentation import looks_numbered
    from limbeck.data.ragged import is_ragged

    if task == "auto" and is_pair(raw, next(iter(raw.labels))):
        task, reasons = "generation", [*reasons, "task: generation (two columns of free text)"]
    elif task == "auto":
        task, note = infer_task(next(iter(raw.labels.values())), inputs=raw.inputs)
        reasons = [*reasons, f"task: {task} ({note.measured})"]
        if task == "segmentation" and looks_numbered(next(iter(raw.labels.values()))):
            task = "segmentation(instances=True)"
            reasons.append("instances: masks number their objects from 1; all of them are one class")
        if "similarity" in note.todo:
            reasons.append("a score that a network reads off both texts; --task similarity compares embeddings instead")
    else:
        reasons = [*reasons, f"task: {task} (as asked)"]
    kind = "series" if raw.kind == "array" and is_ragged(raw.inputs) else raw.kind
    return _Look(kind, columns, task, reasons, len(raw.inputs))
