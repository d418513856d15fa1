"""The whole way in Python, from a teacher, a student and data to a verdict; its stages alone are in `alone`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limbeck.core.console import QUIET, Console
from limbeck.core.errors import ConfigError
from limbeck.core.run import Run
from limbeck.data.generation import generation_in
from limbeck.data.writing import WriteSpec
from limbeck.stages.order import STAGES, check_stage
from limbeck.stages.result import DistillRun
from limbeck.train.plan import TrainSpec

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.models.student import Student
    from limbeck.objectives.base import Objective, Sum
    from limbeck.stages.job import Folded, Job, Settings
    from limbeck.stages.teachers import Teacher


def distill(
    teacher: Any,
    student: Any,
    data: Data,
    *,
    objective: str | Objective | Sum = "auto",
    train: TrainSpec | int | None = None,
    teacher_train: TrainSpec | int | None = None,
    seeds: int = 5,
    seed: int = 0,
    members: int = 1,
    attribution: Literal["auto"] | bool = "auto",
    margin: float = 0.01,
    onnx: Literal["auto"] | bool = "auto",
    int8: bool = False,
    tolerance: float = 1e-4,
    ignore: tuple[str, ...] = (),
    codec: Literal["auto", "fp16", "fp32"] = "auto",
    label_dtype: Literal["fp32", "bf16"] = "fp32",
    writing: WriteSpec | None = None,
    noise: Sequence[float] = (),
    folds: int | None = None,
    name: str = "run",
    out: str | Path | None = None,
    overwrite: bool = False,
    until: str = "report",
    console: Console | None = None,
) -> DistillRun:
    """Distil a teacher into a student, train the control beside it, and say what the teacher was worth.

    teacher     what `limbeck.stages.teacher_of` takes: a trained torch module, an estimator, a callable, a table of
                predictions, the name of a network that is trained first ("mlp(hidden=[128, 64])"), or a list of these;
                a callable gets raw rows as they are: an array, or a DataFrame with the columns of a table or of texts,
                and returns one row of probabilities, logits or values for each
    student     a network's name, a factory (initialised for each seed), or a module (copied; counts as pretrained);
                of texts also "hf:FOLDER", a chain of steps on the teacher ("keep_layers(2) | vocabulary(8000)",
                "static(dim=64)", "frozen") or on "hf:FOLDER | ...", "bag_of_words(...)", "text_cnn(...)"; for tasks
                on embeddings on "st:FOLDER | ...", for texts for texts "keep_layers(encoder=2, decoder=1)"
    data        `lb.Data(train=(X, y), unlabeled=..., test=(X, y))`; the test rows are read once, at the end
    objective   for example 0.1 * lb.CE() + 0.9 * lb.KD(temperature=4), or the same as text
    train       a TrainSpec or a number of steps, the same for student and control
    codec       how answers are stored: "fp16" or "fp32"; auto is fp16 for classes and labels, fp32 for numbers
    label_dtype "bf16" lets a network answer faster than in "fp32"; its measured error is said
    onnx        write export/student.onnx and prove that its numbers agree; auto: of all but students that write texts
    int8        export a second file with int8 weights, and measure on the test rows what that costs
    writing     how texts are written and filtered, for a task that writes texts
    noise       signal-to-noise ratios (dB) at which all models are asked again about the test clips: (20, 10, 5, 0)
    folds       for few rows, without test rows: each is tested once, by students that were trained on the other folds
    seeds       number of students and controls; fewer than three give numbers but no verdict
    out         the run folder, runs/NAME by default; the same call again goes on where it stopped
    console     lb.Console() says on stderr what is going on and how far it is; without it a run is silent but for a
                line with the number of steps where pretrained models of text are trained on the CPU

    Raises ConfigError, MissingSignal or ShapeMismatch before training; StoreMismatch where `out` holds another run.
    """
    from limbeck.stages.announce import long_run
    from limbeck.stages.bases import student_of
    from limbeck.stages.job import Settings
    from limbeck.stages.several import teacher_of

    settings = Settings(
        name=name, seeds=seeds, seed=seed, attribution=attribution, margin=margin, onnx=onnx, int8=int8, folds=folds,
        tolerance=tolerance, ignore=ignore, codec=codec, label_dtype=label_dtype, writing=writing or WriteSpec(),
        noise=tuple(noise),
    )  # fmt: skip
    source = teacher_of(teacher, members=members, train=as_plan(teacher_train))

    def parts(rows: Data, teaches: Teacher) -> tuple[Student, Sum]:
        return student_of(student, rows, teaches), objective_of(objective, rows, teaches)

    data, folded = with_folds(data, folds, source, parts)
    check_data(data)
    made, losses = parts(data, source)
    plan, folder = as_plan(train) or TrainSpec(), Path(out) if out is not None else Path("runs") / name
    if console is None and not (folder / "run.json").exists():
        _warn_of_length(long_run(settings, data, source, made, losses, plan))
    return run_job(
        settings, data, source, made, losses, plan, folder, overwrite=overwrite, until=until,
        console=console or Console(level=QUIET), folded=folded,
    )  # fmt: skip


def _warn_of_length(line: str | None) -> None:
    """Say that a run is long, where it is."""
    if line is not None:
        Console().say(line)


def with_folds(
    data: Data, folds: int | None, teacher: Teacher, make: Callable[[Data, Teacher], tuple[Student, Sum]]
) -> tuple[Data, Folded | None]:
    """The data of a run and its folds, where it has some: then all labelled rows are its test rows."""
    if folds is None:
        return data, None
    from limbeck.stages.folds import folded_of

    folded = folded_of(data, folds, teacher, make)
    return folded.folds.data, folded


def as_plan(train: TrainSpec | int | None) -> TrainSpec | None:
    """A number of steps as a plan with that number."""
    return TrainSpec(steps=train) if isinstance(train, int) else train


def check_data(data: Data) -> None:
    """Refuse what would only come out after hours: no test rows to judge on, a metric that the task has not."""
    from limbeck.evaluate.quality import metric_for

    if data.test is None or not len(data.test):
        raise ConfigError(
            "expected test rows, got none",
            "give lb.Data(test=(X_test, y_test)), or test_fraction=0.2; of few rows folds=5 tests each once",
        )
    for rows in (data.test, data.validation):
        metric_for(next(iter(data.tasks.values())).outcome, data.metric, groups=rows.groups)


def objective_of(objective: str | Objective | Sum, data: Data, teacher: Teacher | None = None) -> Sum:
    """The objective as a sum; "auto" is the default of each task. Fields that tasks and teacher decide are theirs."""
    from limbeck.stages.partial import among_known

    return among_known(_asked(objective, data), teacher, data.tasks)


def _asked(objective: str | Objective | Sum, data: Data) -> Sum:
    from limbeck.objectives import parse
    from limbeck.objectives.base import Sum, as_sum
    from limbeck.stages.arms import fitted_to, refuse_objective

    if objective == "auto":
        terms = []
        for head, task in data.tasks.items():
            for term in parse(task.objective):
                terms.append(replace(term, objective=replace(term.objective, on=head)))  # type: ignore[call-arg]
        return fitted_to(Sum(tuple(terms)), data.tasks)
    made = parse(objective) if isinstance(objective, str) else as_sum(objective)
    refuse_objective(made, data.tasks)  # before a folder is made
    return fitted_to(made, data.tasks)


def run_job(
    settings: Settings, data: Data, teacher: Teacher, student: Student, objective: Sum, train: TrainSpec, folder: Path,
    *, overwrite: bool, until: str, console: Console, asked: str = "", folded: Folded | None = None,
) -> DistillRun:  # fmt: skip
    """Open the run folder and do the stages up to and including `until`; what is done is skipped."""
    from limbeck.objectives import dump
    from limbeck.stages.folds import few_rows, teacher_finding
    from limbeck.stages.job import Job, identity
    from limbeck.stages.ready import refuse_unready
    from limbeck.stages.text_length import cut_findings
    from limbeck.stages.transcripts import short_findings

    check_stage(until)
    refuse_unready(settings, data, teacher, student, objective)
    resolved = identity(settings, data, teacher, student, dump(objective), train)
    with Run.open(folder, resolved, asked=asked, seeds=settings.seed_list, overwrite=overwrite) as run:
        job = Job(
            settings=settings, data=data, teacher=teacher, student=student, objective=objective, train=train, run=run,
            console=console, folded=folded,
        )  # fmt: skip
        run.fingerprints(data=data.fingerprint, student=student.fingerprint)
        job.add([*data.findings, *few_rows(data, settings.folds), *(teacher_finding(teacher) if folded else ())])
        job.add(cut_findings(data, student, settings.writing))
        job.add(short_findings(data, student))
        for stage in STAGES[: STAGES.index(until) + 1]:
            stage_functions()[stage](job)
        if until != STAGES[-1] and not run.stage(STAGES[-1], {}).finished:
            run.ends_as("partial")
        findings = tuple(job.findings)

    def on(to: str) -> DistillRun:
        return run_job(
            settings, data, teacher, student, objective, train, folder, overwrite=False, until=to, console=console,
            asked=asked, folded=folded,
        )  # fmt: skip

    return DistillRun(folder, findings, student, on)


def stage_functions() -> dict[str, Callable[[Job], Any]]:
    """What each stage does to a job."""
    from limbeck.stages import evaluate, export, folds, label, report, teach, train
    from limbeck.transfer.store import Store

    def trained(job: Job) -> None:
        if job.folded is not None:
            folds.train_folds(job)
        texts = generation_in(job.data.tasks) is not None
        train.train(job, None if texts else Store(job.run.path(label.TRANSFER)))

    return {
        "teach": teach.teach,
        "label": label.label,
        "train": trained,
        "evaluate": evaluate.evaluate,
        "export": lambda job: export.export(job) if job.settings.exports(job.data.tasks) else None,
        "report": lambda job: report.report(job.run),
    }
