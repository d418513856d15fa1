"""A run in memory: the resolved data, teacher, student and objective, and the folder that it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from limbeck.core.console import Console
from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.core.run import Run
from limbeck.data.data import Data
from limbeck.data.folds import Folds
from limbeck.data.generation import generation_in
from limbeck.data.rows import Rows
from limbeck.data.writing import WriteSpec
from limbeck.models.student import Student
from limbeck.objectives.base import Sum
from limbeck.stages.arms import Arm, arms_of
from limbeck.stages.teachers import Teacher
from limbeck.train.plan import TrainSpec

CODECS = ("auto", "fp16", "fp32")  # how answers are stored

DTYPES = ("fp32", "bf16")  # in which a teacher answers


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is asked for beside its data, teacher, student and objective; see `limbeck.recipe` for each."""

    name: str = "run"
    seeds: int = 5
    seed: int = 0
    attribution: Literal["auto"] | bool = "auto"
    margin: float = 0.01
    onnx: Literal["auto"] | bool = "auto"
    int8: bool = False
    tolerance: float = 1e-4
    ignore: tuple[str, ...] = ()
    codec: Literal["auto", "fp16", "fp32"] = "auto"
    label_dtype: Literal["fp32", "bf16"] = "fp32"
    writing: WriteSpec = field(default_factory=WriteSpec)
    noise: tuple[float, ...] = ()
    folds: int | None = None
    asked: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"expected at least one seed, got {self.seeds}", "five is the default; a verdict needs 3")

        if self.onnx not in (True, False, "auto"):
            raise ConfigError(f"expected onnx to be True, False or 'auto', got {self.onnx!r}", "leave it at auto")
        if self.int8 and not self.onnx:
            raise ConfigError("expected onnx=True, int8 is made of the ONNX file", "say onnx=True, or leave int8 out")
        if self.codec not in CODECS:
            raise ConfigError(
                f"expected a codec of {', '.join(CODECS)}, got {self.codec!r}", "auto: fp16, and fp32 for numbers"
            )

        if self.folds is not None:
            self._refuse_folds(self.folds)
        if self.label_dtype not in DTYPES:
            raise ConfigError(
                f"expected a dtype of {' or '.join(DTYPES)} to label in, got {self.label_dtype!r}",
                "fp32 is exact; bf16 is faster, and its error is measured",
            )

    def _refuse_folds(self, folds: int) -> None:
        if folds < 2:
            raise ConfigError(f"expected two folds or more, got {folds}", "5 or 10 is usual")
        if self.int8:
            raise ConfigError(
                "expected folds without int8: what int8 costs is measured on rows that the shipped student has not "
                "seen, and with folds it has seen all",
                "leave int8 out, or give test rows instead of folds",
            )

    def exports(self, tasks: Mapping[str, Any]) -> bool:
        """Whether an ONNX file is written; "auto" writes one of every student that does not write texts."""
        return generation_in(tasks) is None if self.onnx == "auto" else bool(self.onnx)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds of the students."""
        return tuple(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True)
class Folded:
    """The folds of a run, and how teacher, student and objective are made again for the rows of one."""

    folds: Folds
    make: Callable[[Data], tuple[Teacher, Student, Sum]]


@dataclass(kw_only=True)
class Job:
    """One run under way. `run` is the open folder; `reasons` says what became of every "auto"."""

    settings: Settings
    data: Data
    teacher: Teacher
    student: Student
    objective: Sum
    train: TrainSpec
    run: Run
    console: Console
    findings: list[Finding] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    folded: Folded | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the students that this folder trains; with folds only that of the one that is shipped."""
        return self.settings.seed_list if self.settings.folds is None else self.settings.seed_list[:1]

    @property
    def splits(self) -> tuple[tuple[str, Rows, Rows | None], ...]:
        """The splits that what is trained here answers, with further documents; with folds others answer the test."""
        held = ("validation", self.data.validation, None)
        return (held,) if self.settings.folds is not None else (held, ("test", self.test, self.data.corpus))

    @property
    def test(self) -> Rows:
        """The test rows; a run without any is refused before it starts."""
        assert self.data.test is not None
        return self.data.test

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that this folder trains, student and control first; with folds only the student."""
        return self.judged_arms if self.settings.folds is None else self.judged_arms[:1]

    @property
    def judged_arms(self) -> tuple[Arm, ...]:
        """The arms that are compared, student and control first."""
        more = self.settings.attribution in ("auto", True)
        return arms_of(self.objective, self.data.tasks, unlabeled=self.data.unlabeled is not None, attribution=more)

    @property
    def pool(self) -> Rows:
        """Every row that the teacher answers for training: labelled rows first, then the unlabelled ones."""
        if self.data.unlabeled is None:
            return self.data.train
        return Rows.concat([self.data.train, self.data.unlabeled])

    @property
    def out_sizes(self) -> Mapping[str, int]:
        """Width of the output of each task."""
        return {head: task.size for head, task in self.data.tasks.items()}

    def add(self, findings: list[Finding]) -> None:
        """Say findings and keep them for the scorecard; silenced codes are dropped."""
        for finding in findings:
            if finding.code not in self.settings.ignore and finding not in self.findings:
                self.findings.append(finding)
                self.console.finding(finding)


def metric_identity(data: Data) -> str | None:
    """What the chosen metric is: its name, and for a function of the user's own a hash of what it does."""
    from limbeck.models.fingerprint import object_hash

    if data.metric is None or isinstance(data.metric, str):
        return data.metric
    return f"{getattr(data.metric, '__name__', type(data.metric).__name__)} {object_hash(data.metric)}"


def identity(
    settings: Settings, data: Data, teacher: Teacher, student: Student, objective: str, train: TrainSpec
) -> dict[str, Any]:
    """What makes a run this run and no other: the content of resolved.yaml."""
    written: dict[str, Any] = {} if generation_in(data.tasks) is None else {"writing": asdict(settings.writing)}
    written |= {} if settings.folds is None else {"folds": settings.folds}
    return {
        "name": settings.name,
        "data": data.describe() | {"fingerprint": data.fingerprint},
        "teacher": teacher.describe(),
        "student": student.describe() | {"fingerprint": student.fingerprint},
        "objective": objective,
        "train": asdict(train),
        "seeds": list(settings.seed_list),
        "attribution": settings.attribution,
        "margin": settings.margin,
        "onnx": settings.exports(data.tasks),
        "int8": settings.int8,
        "tolerance": settings.tolerance,
        "ignore": list(settings.ignore),
        "codec": settings.codec,
        "label_dtype": settings.label_dtype,
        "metric": metric_identity(data),
        **written,
        **({"noise": list(settings.noise)} if settings.noise else {}),
    }
