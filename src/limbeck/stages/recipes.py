"""From a recipe to a run: read the data, make the teacher and the student, go through the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.console import Console
from limbeck.stages.result import DistillRun

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.models.student import Student
    from limbeck.objectives.base import Sum
    from limbeck.recipe import Recipe, TeacherSpec
    from limbeck.stages.job import Settings
    from limbeck.stages.teachers import Teacher


def run_recipe(
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
    until: str | None = None,
) -> DistillRun:
    """Run a recipe up to and including a stage (all by default); stages that are done are skipped."""
    from limbeck.stages.verbs import check_data, run_job, with_folds

    console = console or Console()
    teacher = make_teacher(recipe)
    data, folded = with_folds(
        read_data(recipe), recipe.evaluate.folds, teacher,
        lambda rows, teaches: (make_student(recipe, rows, teaches), make_objective(recipe, rows, teaches)),
    )  # fmt: skip
    check_data(data)
    return run_job(
        settings_of(recipe),
        data,
        teacher,
        make_student(recipe, data, teacher),
        make_objective(recipe, data, teacher),
        recipe.train,
        Path(out) if out is not None else recipe.folder,
        overwrite=overwrite,
        until=until or "report",
        console=console,
        asked=recipe.asked,
        folded=folded,
    )


def settings_of(recipe: Recipe) -> Settings:
    """The part of a recipe that is neither data, teacher, student nor objective."""
    from limbeck.stages.job import Settings

    return Settings(
        name=recipe.name, seeds=recipe.seeds, seed=recipe.seed, attribution=recipe.evaluate.attribution,
        margin=recipe.evaluate.margin, onnx=recipe.export.onnx, int8=recipe.export.int8,
        tolerance=recipe.export.tolerance, ignore=recipe.checks.ignore, codec=recipe.codec,
        label_dtype=recipe.label.dtype, writing=recipe.writing, noise=recipe.evaluate.noise,
        folds=recipe.evaluate.folds,
    )  # fmt: skip


def make_objective(recipe: Recipe, data: Data, teacher: Teacher) -> Sum:
    """The objective of a recipe, "auto" by the tasks, among the classes that the teacher knows."""
    from limbeck.stages.verbs import objective_of

    return objective_of(recipe.objective, data, teacher)


def make_student(recipe: Recipe, data: Data, teacher: Teacher) -> Student:
    """The student of a recipe, which may be made of its teacher."""
    from limbeck.stages.bases import student_of

    return student_of(recipe.student, data, teacher)


def make_teacher(recipe: Recipe) -> Teacher:
    """The teacher of a recipe: several are an ensemble, those that name a task answer for it alone."""
    from limbeck.stages.per_task import PerTaskTeacher
    from limbeck.stages.several import EnsembleTeacher

    by_task: dict[str | None, list[tuple[Teacher, float]]] = {}
    for spec in recipe.teacher:
        by_task.setdefault(spec.task, []).append((_teacher(recipe, spec), spec.weight))
    made = {
        head: some[0][0] if len(some) == 1 else EnsembleTeacher(some, recipe.weighting)
        for head, some in by_task.items()
    }
    alone = made.pop(None, None)
    return alone if alone is not None else PerTaskTeacher({str(head): teacher for head, teacher in made.items()})


def _teacher(recipe: Recipe, spec: TeacherSpec) -> Teacher:
    from limbeck.stages.answered import AnsweredTeacher
    from limbeck.stages.several import ANSWERS, TableTeacher, teacher_of
    from limbeck.stages.taught import TaughtEstimator
    from limbeck.stages.teachers import GivenTeacher

    if spec.kind == "predictions":
        return TableTeacher(recipe.locate(spec.model), spec.output, spec.id_column, spec.classes, spec.mapping)
    if spec.kind == "answers":
        return AnsweredTeacher.of(recipe.locate(spec.model.removeprefix(ANSWERS)))
    model = str(recipe.locate(spec.model)) if spec.kind == "file" else spec.model
    made = teacher_of(model, members=spec.members, train=spec.train, output=spec.output)
    if isinstance(made, GivenTeacher):
        return replace(made, inputs=spec.inputs, classes=spec.classes, mapping=spec.mapping, parts=spec.parts)
    if isinstance(made, TaughtEstimator):
        return replace(made, parts=spec.parts)
    return made


def read_data(recipe: Recipe) -> Data:
    """The data of a recipe; raises ConfigError with all problems."""
    from limbeck.data.builtin import load
    from limbeck.data.data import Data
    from limbeck.data.files import read_table

    spec = recipe.data
    where = {split: str(recipe.locate(path)) for split, path in spec.files.items()}
    columns = spec.columns if spec.columns != type(spec.columns)() else None
    splits: dict[str, Any] = {split: where.get(split) for split in ("unlabeled", "validation", "test")}
    splits["train"] = where["train"] if spec.builtin is None else load(spec.builtin)
    if spec.windows is not None:
        splits = windows_in(recipe, where)
    tested = splits.get("test") is not None
    return Data(
        **splits,
        columns=columns,
        task=spec.task,
        classes=spec.classes,
        labels=spec.labels,
        validation_fraction=spec.validation_fraction,
        test_fraction=None if tested or recipe.evaluate.folds is not None else spec.test_fraction,
        view=spec.view,
        views=spec.views,
        metric=metric_of(recipe.metric),
        image_size=spec.image_size,
        sample_rate=spec.sample_rate,
        corpus=read_table(Path(where["corpus"])) if "corpus" in where else None,
        seed=recipe.seed,
    )


def windows_in(recipe: Recipe, where: Mapping[str, str]) -> dict[str, Any]:
    """The splits of a recipe whose rows are windows of tables of times."""
    from limbeck.data.windows import cut

    spec = recipe.data
    assert spec.windows is not None
    return dict(
        cut(
            spec.windows, where["train"], where.get("test"), validation_fraction=spec.validation_fraction,
            test_fraction=spec.test_fraction,
        )
    )  # fmt: skip


def metric_of(name: str | None) -> Any:
    """A metric's name, or the function behind an import path "package.module:metric"."""
    from limbeck.core.catalog import load_path

    return load_path(name) if name is not None and ":" in name else name
