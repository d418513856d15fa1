"""The parts of a recipe: data, teachers, evaluation, export, checks; each a frozen value with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from limbeck.core.errors import Problem
from limbeck.core.kinds import suggest
from limbeck.core.specs import at_least, refuse
from limbeck.data.kinds import KINDS, is_kind
from limbeck.data.window_spec import WindowSpec
from limbeck.models.files import is_model_file
from limbeck.train.plan import TrainSpec

BUILTIN = ("digits",)
TASKS = ("auto", *KINDS)
TABLE_ENDINGS = (".csv", ".parquet", ".npz", ".jsonl")  # of a file of predictions


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table mean what; without `inputs` every column that means nothing else is an input.

    `target` is one column, several (multi-label, several values), or a mapping of task to columns. `inputs` may be a
    mapping of the parts of a row to their columns: {text: [title], numbers: [weight, size], image: [file]}. By `slices`
    the test rows are told apart in the scorecard; these columns stay inputs where they are such, `drop` takes them out.
    """

    inputs: tuple[str, ...] | Mapping[str, str | tuple[str, ...]] = ()
    target: str | tuple[str, ...] | Mapping[str, str | tuple[str, ...]] | None = None
    id: str | None = None
    group: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The rows of a run: files (CSV, JSONL, Parquet, NPZ, a folder of images) or a built-in set.

    Shards are a stream that need not fit in memory: "more-{000..099}.tar", "more/*.parquet", or a folder of them.
    `unlabeled` rows carry no labels; the teacher answers them too. `labels` keeps the labels of that many training
    rows and makes unlabelled rows of the others. `validation_fraction` is split off the training rows where there is
    no validation file, `test_fraction` where there is no test file. `view` says how rows are augmented,
    of rows of parts by part, `views` how many views of a row the teacher answers (the row itself is the first; 8 where
    there is a view).
    `windows` makes rows of tables of times; their splits are stretches of time.
    `image_size` is the (height, width) to which a folder of images is resized, `sample_rate` the rate (Hz) to which
    clips of sound are resampled. `corpus` is a table of one column of texts: further documents among which retrieval
    is tested.
    """

    shorthand: ClassVar[str] = "builtin"

    builtin: str | None = None
    train: str | None = None
    unlabeled: str | None = None
    validation: str | None = None
    test: str | None = None
    columns: Columns = field(default_factory=Columns)
    task: str | Mapping[str, str] = "auto"
    classes: tuple[str, ...] | None = None
    labels: int | None = None
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    view: str | Mapping[str, str] | None = None
    views: int | None = None
    image_size: tuple[int, int] | None = None
    sample_rate: int | None = None
    corpus: str | None = None
    windows: WindowSpec | None = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 1, "labels")
        at_least(problems, self, 1, "views", "sample_rate")
        for name in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                problems.append(Problem(name, f"expected a fraction between 0 and 1, got {getattr(self, name)!r}"))
        if self.builtin is None and self.train is None:
            problems.append(Problem("train", "this setting is missing", "name a file, or set builtin: digits"))
        if self.builtin is not None and self.train is not None:
            problems.append(Problem("builtin", "expected a built-in set or files, got both", "keep one of them"))
        if self.builtin is not None and self.builtin not in BUILTIN:
            known = suggest(self.builtin, BUILTIN) or f"known: {', '.join(BUILTIN)}; a file goes under train:"
            problems.append(Problem("builtin", f"there is no built-in set '{self.builtin}'", known))
        if self.views is not None and self.views > 1 and self.view is None:
            problems.append(Problem("views", f"expected a view that makes {self.views} views, got none", "set view:"))
        if self.windows is not None:
            idle = [name for name in ("unlabeled", "validation", "builtin") if getattr(self, name) is not None]
            idle += ["columns"] if self.columns != Columns() else []
            problems += [
                Problem(n, "expected none beside windows", "name columns in windows:; splits are stretches of time")
                for n in idle
            ]
        for head, task in [("", self.task)] if isinstance(self.task, str) else self.task.items():
            if task != "auto" and not is_kind(task):
                where = f"task.{head}" if head else "task"
                near = suggest(task, TASKS)
                problems.append(Problem(where, f"expected one of {', '.join(TASKS)}, got '{task}'", near))
        refuse(problems, "data")

    @property
    def files(self) -> dict[str, str]:
        """The files that are named, by split."""
        splits = ("train", "unlabeled", "validation", "test", "corpus")
        return {split: path for split in splits if (path := getattr(self, split)) is not None}


@dataclass(frozen=True, kw_only=True)
class TeacherSpec:
    """One teacher: how it is made or where its answers lie, and its weight among several.

    `members` networks are trained from different seeds and answer as one. `output` says what the teacher's numbers
    are; `auto` looks. `train` is how it is trained; None takes the run's own. Of a teacher of a file or import path
    `inputs` says whether it takes raw or encoded rows, and `classes` names its classes in the order of its columns;
    `mapping` says which class of the student each of them is, null for none; a table of predictions may have both.
    `id_column` of a table of predictions holds the ids of the rows. `task` is the one task that it answers for, where
    each has a teacher of its own; `parts` are those that it takes of rows of several.
    """

    shorthand: ClassVar[str] = "model"

    model: str
    weight: float = 1.0
    members: int = 1
    output: Literal["auto", "logits", "probabilities"] = "auto"
    train: TrainSpec | None = None
    inputs: Literal["auto", "raw", "encoded"] = "auto"
    classes: tuple[str, ...] | None = None
    mapping: Mapping[str, str | None] | None = None
    id_column: str = "id"
    task: str | None = None
    parts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 0, "weight", above=True)
        at_least(problems, self, 1, "members")
        for name, kinds, default in (
            ("inputs", ("import", "file"), "auto"),
            ("classes", ("import", "predictions", "file"), None),
            ("mapping", ("import", "predictions", "file"), None),
            ("id_column", ("predictions",), "id"),
        ):
            if getattr(self, name) != default and self.kind not in kinds:
                what = f"expected none for a teacher of kind {self.kind}, got {getattr(self, name)!r}"
                problems.append(Problem(name, what, f"it belongs to a teacher of kind {' or '.join(kinds)}"))
        if self.parts is not None and self.kind not in ("import", "file", "sklearn"):
            what = f"expected none for a teacher of kind {self.kind}, got {list(self.parts)}"
            problems.append(Problem("parts", what, "it belongs to a teacher of kind sklearn, file or import"))
        if self.members > 1 and self.kind != "zoo":
            problems.append(
                Problem("members", f"expected 1 for a teacher of kind {self.kind}, got {self.members}", "list several")
            )
        refuse(problems, "teacher")

    @property
    def kind(self) -> str:
        """What `model` is: "predictions" (a table), "file" (a model: .onnx, .skops, .txt), "answers" (labelled before),
        "sklearn", "import" (a path to code) or "zoo" (a network that is trained first: built in, a chain on texts, or
        hf:NAME of transformers).
        """
        if self.model.startswith("answers:"):
            return "answers"
        if self.model.lower().endswith(TABLE_ENDINGS):
            return "predictions"
        if is_model_file(self.model):
            return "file"
        if self.model.startswith("sklearn:"):
            return "sklearn"
        if self.model.startswith("hf:") or "|" in self.model or self.model.startswith("parts("):
            return "zoo"
        return "import" if ":" in self.model.partition("(")[0] else "zoo"


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """How the teacher answers: `dtype` fp32, or bf16 of a network, faster and with a measured error."""

    shorthand: ClassVar[str] = "dtype"

    dtype: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec:
    """How the claim is tested.

    `attribution` trains two more arms that tell where a gain came from (auto: where there are unlabelled rows).
    `margin` is how far below the teacher still counts as "as good as the teacher" (unit of the metric). `noise` asks
    all models again about the test clips with white noise at these signal-to-noise ratios (dB): [20, 10, 5, 0].
    `folds` is for few rows: no test rows are split off, every labelled row is tested once, by students that were
    trained on the other folds; what is shipped is trained on all rows.
    """

    attribution: Literal["auto"] | bool = "auto"
    margin: float = 0.01
    noise: tuple[float, ...] = ()
    folds: int | None = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 0, "margin")
        at_least(problems, self, 2, "folds")
        refuse(problems, "evaluate")


@dataclass(frozen=True, kw_only=True)
class ExportSpec:
    """What is shipped: an ONNX file whose numbers agree with the student's within `tolerance`; auto: of every student
    that does not write texts.

    `int8` writes a second file with weights quantised to int8 and measures on the test rows what that costs.
    """

    onnx: Literal["auto"] | bool = "auto"
    int8: bool = False
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 0, "tolerance", above=True)
        if self.int8 and not self.onnx:
            problems.append(Problem("int8", "expected onnx: true, int8 is made of the ONNX file", "set onnx: true"))
        refuse(problems, "export")


@dataclass(frozen=True, kw_only=True)
class ChecksSpec:
    """Which checks are silenced, by code."""

    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from limbeck.core.checks import CHECKS

        problems = [
            Problem("ignore", f"there is no check '{code}'", suggest(code, CHECKS) or "see `limbeck checks`")
            for code in self.ignore
            if code not in CHECKS
        ]
        refuse(problems, "checks")
