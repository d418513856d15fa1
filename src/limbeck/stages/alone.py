"""The stages of a run alone, as functions: teach, label, train, evaluate, export, report.

teacher = teach("mlp(hidden=[128, 64])", data, out="runs/teacher")
answers = label(teacher, data, out="runs/answers")              # the teacher is not needed any more
run = train(answers, "mlp(hidden=[16])", data, out="runs/small")
run = evaluate(run)
print(run.verdict), export(run, "student.onnx"), report(run, "report.html")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limbeck.core.console import QUIET, Console
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.run import Run
from limbeck.data.generation import generation_in
from limbeck.stages.result import DistillRun, load
from limbeck.stages.verbs import as_plan, check_data, distill, stage_functions
from limbeck.train.plan import TrainSpec

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.data.writing import WriteSpec
    from limbeck.objectives.base import Objective, Sum
    from limbeck.stages.job import Job
    from limbeck.stages.teachers import Teacher
    from limbeck.transfer.dataset import TransferSet


def teach(
    model: Any,
    data: Data,
    *,
    train: TrainSpec | int | None = None,
    members: int = 1,
    seed: int = 0,
    out: str | Path = "runs/teacher",
    overwrite: bool = False,
    console: Console | None = None,
) -> Teacher:
    """Train a network (by name, factory, or a module, of which a copy is trained) or fit an estimator as a teacher.

    The result goes into `distill` and `label`; what was trained lies in the folder `out`, and the same call again
    reads it from there.
    """
    from torch import nn

    from limbeck.stages.several import teacher_of
    from limbeck.stages.taught import TaughtEstimator, TaughtNetwork

    plan = as_plan(train) or TrainSpec()
    fresh = isinstance(model, nn.Module) or (callable(model) and not hasattr(model, "fit"))
    teacher = TaughtNetwork(model, members, plan) if fresh else teacher_of(model, members=members, train=plan)
    if not isinstance(teacher, TaughtNetwork | TaughtEstimator):
        raise ConfigError(
            f"expected something to train, got {type(model).__name__} that answers already", "hand it to lb.distill"
        )
    with _alone(data, teacher, plan, seed, Path(out), overwrite, console) as job:
        stage_functions()["teach"](job)
    return teacher


def label(
    teacher: Any,
    data: Data,
    *,
    out: str | Path,
    codec: Literal["auto", "fp16", "fp32"] = "auto",
    dtype: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    overwrite: bool = False,
    console: Console | None = None,
) -> TransferSet:
    """Let a teacher answer the training and unlabelled rows once; the transfer set lies in `out`/transfer.

    A network answers faster in `dtype` "bf16"; how far that is from fp32 is measured, said and kept in run.json.
    Raises NotSupported for a task that writes texts.
    """
    from limbeck.stages.label import TRANSFER
    from limbeck.stages.several import teacher_of
    from limbeck.transfer.dataset import TransferSet

    if generation_in(data.tasks) is not None:
        raise NotSupported(
            "expected a task whose answers are numbers for lb.label, got generation",
            "lb.distill lets the teacher write once; its texts lie in the folder transfer of the run",
        )
    with _alone(data, teacher_of(teacher), TrainSpec(), seed, Path(out), overwrite, console, codec, dtype) as job:
        for stage in ("teach", "label"):
            stage_functions()[stage](job)
    return TransferSet(Path(out) / TRANSFER)


def train(
    teacher: Any,
    student: Any,
    data: Data,
    *,
    objective: str | Objective | Sum = "auto",
    train: TrainSpec | int | None = None,
    seeds: int = 5,
    seed: int = 0,
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
    out: str | Path,
    overwrite: bool = False,
    console: Console | None = None,
) -> DistillRun:
    """Train student and control over all seeds on a teacher's answers; `evaluate` goes on from there.

    `teacher` is what `label` returned, or anything that `lb.distill` takes; the settings are those of `lb.distill`,
    and what later stages need of them is kept.
    """
    return distill(
        teacher, student, data, objective=objective, train=train, seeds=seeds, seed=seed, attribution=attribution,
        margin=margin, onnx=onnx, int8=int8, tolerance=tolerance, ignore=ignore, codec=codec, label_dtype=label_dtype,
        writing=writing, noise=noise, name=Path(out).name, out=out, overwrite=overwrite, until="train", console=console,
    )  # fmt: skip


def evaluate(run: DistillRun | str | Path) -> DistillRun:
    """Measure the arms of a trained run and give its verdict; takes the run, its folder or its name."""
    return _as_run(run).until("evaluate")


def export(run: DistillRun | str | Path, path: str | Path | None = None) -> Path:
    """Write the student as ONNX, parity proven, and return where it lies: in the run folder, or at `path`."""
    done = _as_run(run)
    if not done.exported.is_file():
        done = done.until("export")
    return done.export(path)


def report(run: DistillRun | str | Path, path: str | Path | None = None) -> tuple[Path, ...]:
    """Write report.html and report.md into the run folder, or one of them to a path ending in .html or .md."""
    return _as_run(run).report(path)


def _as_run(run: DistillRun | str | Path) -> DistillRun:
    return run if isinstance(run, DistillRun) else load(run)


@contextmanager
def _alone(
    data: Data, teacher: Teacher, plan: TrainSpec, seed: int, folder: Path, overwrite: bool, console: Console | None,
    codec: Literal["auto", "fp16", "fp32"] = "auto", dtype: Literal["fp32", "bf16"] = "fp32",
) -> Iterator[Job]:  # fmt: skip
    """A job without a student: only its first stages can run."""
    from limbeck.models.student import Student
    from limbeck.objectives.base import Sum
    from limbeck.stages.job import Job, Settings
    from limbeck.stages.ready import look_at_tables, refuse_half, refuse_teacher, refuse_teacher_of_words

    check_data(data)
    refuse_teacher(teacher, data.tasks)
    refuse_teacher_of_words(teacher, data)
    settings = Settings(name=folder.name, seed=seed, seeds=1, codec=codec, label_dtype=dtype)
    refuse_half(settings, teacher)
    look_at_tables(teacher, data)
    sizes = {head: task.size for head, task in data.tasks.items()}
    student = Student.of("linear", data.preprocess.shape, sizes)
    resolved = {
        "teacher": teacher.describe(), "data": data.fingerprint, "train": asdict(plan), "seed": seed, "codec": codec,
        "label_dtype": dtype,
    }  # fmt: skip
    with Run.open(folder, resolved, seeds=(seed,), overwrite=overwrite) as run:
        job = Job(
            settings=settings, data=data, teacher=teacher, student=student, objective=Sum(()), train=plan, run=run,
            console=console or Console(level=QUIET),
        )  # fmt: skip
        job.add(list(data.findings))
        yield job
