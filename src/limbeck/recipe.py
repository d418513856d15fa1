"""A recipe: one whole run as a frozen value, from YAML or from Python, with every default in its place.

Units, everywhere in a recipe: fractions are 0 to 1; counts are rows, steps or epochs; `seed` is the first of `seeds`
random seeds; `margin` is in the unit of the metric (0.01 is one point of accuracy); relative paths start at the
folder of the recipe file.

Nothing here imports torch; an objective is text until it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from limbeck.core.errors import ConfigError, LimbeckError, Problem
from limbeck.core.kinds import suggest
from limbeck.core.manifest import ASKED_NAME
from limbeck.core.overrides import assign, override
from limbeck.core.specs import at_least, build, dump_yaml, fingerprint, refuse, to_plain, without_defaults
from limbeck.core.yamltext import Document, parse_yaml, read_yaml
from limbeck.data.streams.shards import is_pattern, paths_of
from limbeck.data.writing import WriteSpec, idle_settings
from limbeck.recipe_parts import BUILTIN as BUILTIN
from limbeck.recipe_parts import TASKS as TASKS
from limbeck.recipe_parts import ChecksSpec as ChecksSpec
from limbeck.recipe_parts import Columns as Columns
from limbeck.recipe_parts import DataSpec as DataSpec
from limbeck.recipe_parts import EvaluateSpec as EvaluateSpec
from limbeck.recipe_parts import ExportSpec as ExportSpec
from limbeck.recipe_parts import LabelSpec as LabelSpec
from limbeck.recipe_parts import TeacherSpec as TeacherSpec
from limbeck.train.plan import TrainSpec

_FIRST = "`limbeck init NAME --data FILE` writes one; it needs data, teacher and student"
_BASE_MARK = "# relative paths start at:"

NETWORKS = (
    "linear",
    "mlp",
    "cnn",
    "resnet",
    "unet",
    "series_cnn",
    "audio_cnn",
    "audio_conformer",
)  # built in; the names of limbeck.models.zoo, which needs torch

COMMENTS = {  # above the keys of a written recipe
    "name": "the name of the run and of its folder below runs/",
    "data": "paths are relative to this file; a test set is read once, at the end; fractions are 0 to 1",
    "teacher": 'built in: mlp(hidden=[128, 64]), cnn(width=16), linear; or "sklearn:NAME(...)", a table of\n'
    'predictions, "answers:DIR" (a run that was labelled before), or an import path "package.module:make";\n'
    "members: 5 trains an ensemble of five",
    "weighting": "how the answers of several teachers are weighed: mean (by weight:), or in each row by entropy,\n"
    "confidence (how right they are about its label) or routing (the surest answers alone)",
    "student": 'a built-in network, an import path "package.module:make", or for texts "hf:FOLDER", or a chain such\n'
    'as "keep_layers(2) | vocabulary(8000)" (made of the teacher), static(dim=64), bag_of_words, text_cnn',
    "objective": "a weighted sum of losses; the control keeps those without a teacher",
    "train": "for student and control alike; steps or epochs, learning_rate per step",
    "codec": "how answers are stored: auto is fp16 for classes and labels, fp32 for numbers",
    "label": "dtype: bf16 lets a network answer faster; what that costs in exactness is measured and said",
    "writing": "how texts are written and filtered (generation)",
    "seeds": "how many students and controls are trained; fewer than three give no verdict",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run. Equal recipes are the same run; `out` only says where it is written."""

    name: str = "run"
    data: DataSpec
    teacher: tuple[TeacherSpec, ...]
    weighting: Literal["mean", "entropy", "confidence", "routing"] = "mean"
    student: str
    objective: str = "auto"
    train: TrainSpec = field(default_factory=TrainSpec)
    seeds: int = 5
    seed: int = 0
    metric: str | None = None
    codec: Literal["auto", "fp16", "fp32"] = "auto"
    label: LabelSpec = field(default_factory=LabelSpec)
    writing: WriteSpec = field(default_factory=WriteSpec)
    evaluate: EvaluateSpec = field(default_factory=EvaluateSpec)
    export: ExportSpec = field(default_factory=ExportSpec)
    checks: ChecksSpec = field(default_factory=ChecksSpec)
    out: str | None = None
    base: Path = field(default=Path(), compare=False)  # where relative paths start
    text: str = field(default="", compare=False, repr=False)  # the file as it was read

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 1, "seeds")
        at_least(problems, self, 0, "seed")
        if not self.name or set(self.name) & set('/\\:*?"<>|') or self.name.startswith("."):
            problems.append(Problem("name", f"expected a name that can be a folder, got '{self.name}'"))
        named = [spec.task for spec in self.teacher if spec.task is not None]
        if named and len(named) < len(self.teacher):
            problems.append(
                Problem("teacher", "expected every teacher to name its task, or none", "say task: NAME in each")
            )
        if not self.teacher:
            problems.append(Problem("teacher", "expected at least one teacher, got none"))
        if self.weighting != "mean":
            problems += self._weighting_problems()
        refuse(problems, "the recipe")

    def _weighting_problems(self) -> Iterator[Problem]:
        groups = [
            [spec.weight for spec in self.teacher if spec.task == task] for task in {s.task for s in self.teacher}
        ]
        if all(len(group) == 1 for group in groups):
            yield Problem(
                "weighting", f"expected several teachers to be weighed by {self.weighting}, got one",
                "list them under teacher:, or leave weighting out",
            )  # fmt: skip
        if any(len(set(group)) > 1 for group in groups):
            yield Problem(
                "weighting", f"expected equal weights beside {self.weighting}, which weighs every row by itself",
                "leave weight: out of the teachers, or use weighting: mean",
            )  # fmt: skip

    # ----------------------------------------------------------------------------------------- reading

    @classmethod
    def from_yaml(cls, path: str | Path, assignments: Sequence[str] = (), *, base: str | Path | None = None) -> Recipe:
        """Read a recipe file; raises ConfigError with every problem in it, files that do not exist included.

        `base` is where relative paths of data start, the folder of the file without it.
        """
        document = override(cls, read_yaml(path), assignments)
        start = Path(base) if base is not None else Path(path).parent
        recipe = cls._built(document, start, Path(path).read_text(encoding="utf-8"))
        return recipe._as_changed() if assignments else recipe

    @classmethod
    def from_run(cls, folder: str | Path, assignments: Sequence[str] = (), *, base: str | Path | None = None) -> Recipe:
        """The recipe that a run folder was made from, with the folder as its `out`.

        Raises ConfigError where the run was made from Python, so that there is no recipe to read.
        """
        folder = Path(folder)
        path = folder / ASKED_NAME
        if not path.is_file():
            raise ConfigError(
                f"expected {folder} to hold a {ASKED_NAME}, there is none: it was made from Python",
                "run the script that made it again; it goes on where it stopped",
            )
        if base is None:
            marks = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(_BASE_MARK)]
            base = marks[-1].removeprefix(_BASE_MARK).strip() if marks else "."
        return replace(cls.from_yaml(path, assignments, base=base), out=str(folder))

    @classmethod
    def from_text(cls, text: str, assignments: Sequence[str] = (), *, base: str | Path = ".") -> Recipe:
        """Read a recipe from YAML text."""
        document = override(cls, parse_yaml(text, "the recipe"), assignments)
        return cls._built(document, Path(base), text)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, base: str | Path = ".") -> Recipe:
        """Make a recipe of plain data, with the same shorthands and the same strictness as YAML."""
        return cls._built(Document(to_plain(values), source="the recipe"), Path(base), "")

    def _as_changed(self) -> Recipe:
        return replace(self, text="# as changed with -s\n" + self.to_yaml(defaults=False))

    @classmethod
    def _built(cls, document: Document, base: Path, text: str) -> Recipe:
        if document.value == {} and not document.problems:
            raise ConfigError(f"expected a recipe in {document.source}, it is empty", _FIRST)
        return build(cls, document, more=lambda recipe: recipe.problems(), early=_objective_in, base=base, text=text)

    def with_(self, changes: Mapping[str, Any] | None = None, **more: Any) -> Recipe:
        """A changed copy: `recipe.with_({"train.steps": 200}, seeds=3)`; strict as YAML."""
        document = assign(Recipe, Document(to_plain(self), source="the recipe"), to_plain({**(changes or {}), **more}))
        return build(Recipe, document, base=self.base, text="")

    # ----------------------------------------------------------------------------------------- writing

    def to_yaml(self, *, defaults: bool = True) -> str:
        """The recipe as YAML with comments; reading it gives an equal recipe."""
        return dump_yaml(self, defaults=defaults, comments=COMMENTS)

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, as plain data: the identity of the run (`out` is none of it)."""
        plain: dict[str, Any] = to_plain(replace(self, out=None))
        del plain["out"]
        return plain

    @property
    def fingerprint(self) -> str:
        """A hash that equal recipes share (32 hex digits)."""
        return fingerprint(self.resolved())

    @property
    def asked(self) -> str:
        """What a run folder keeps as recipe.yaml: the text that was asked, and where its relative paths start."""
        text = self.text or self.to_yaml(defaults=False)
        kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_BASE_MARK))
        return f"{kept.rstrip()}\n{_BASE_MARK} {self.base.resolve()}\n"

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain data."""
        plain: dict[str, Any] = without_defaults(self)
        return plain

    # ----------------------------------------------------------------------------------------- looking

    @property
    def folder(self) -> Path:
        """Where the run is written: `out`, or runs/NAME."""
        return Path(self.out) if self.out is not None else Path("runs") / self.name

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds of the students."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def locate(self, path: str) -> Path:
        """A path of the recipe from here: relative ones start at the recipe's folder, else at the working one."""
        inside = self.base / Path(path).expanduser()
        return inside if _there(inside) or not _there(Path(path)) else Path(path)

    def problems(self) -> Iterator[Problem]:
        """What can be known to be wrong without reading data: files that are not there, an objective that is none."""
        for split, path in self.data.files.items():
            yield from self._missing(f"data.{split}", path)
        yield from self._folds_problems()
        for number, teacher in enumerate(self.teacher):
            if teacher.kind in ("predictions", "answers", "file"):
                yield from self._missing(f"teacher.{number}.model", teacher.model.removeprefix("answers:"))
        yield from _text_problems("student", self.student)
        for number, teacher in enumerate(self.teacher):
            if teacher.kind == "zoo":
                yield from _text_problems(f"teacher.{number}.model", teacher.model)
        if self.objective != "auto":
            yield from _objective_problems(self.objective)
        kinds = {self.data.task} if isinstance(self.data.task, str) else set(self.data.task.values())
        if "auto" not in kinds:  # else the rows say it
            yield from idle_settings("generation" in kinds, self.writing, self.codec, self.data.view is not None)

    def _folds_problems(self) -> Iterator[Problem]:
        if self.evaluate.folds is None:
            return
        what = "expected none beside evaluate.folds: "
        if self.data.test is not None:
            yield Problem(
                "data.test", f"{what}with folds every labelled row is a test row once", "leave one of the two out"
            )
        if self.data.windows is not None:
            yield Problem(
                "data.windows", f"{what}a fold would be forecast by models that know what came after it",
                "leave folds out: the test of windows is the last stretch of time",
            )  # fmt: skip
        if self.export.int8:
            yield Problem(
                "export.int8", f"{what}the shipped student has seen all rows on which it would be measured",
                "leave int8 out, or give test rows instead of folds",
            )  # fmt: skip

    def _missing(self, where: str, text: str) -> Iterator[Problem]:
        path = self.locate(text)
        if is_pattern(str(path)):
            found = paths_of(str(path))
            absent = [each for each in found if not each.exists()]
            if absent or not found:
                what = f"{absent[0]} (of {text}) does not exist" if absent else f"there are no files {path}"
                yield Problem(where, what, "check the pattern: every number in braces is a file")
        elif not path.exists():
            names = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
            near = suggest(path.name, names)
            yield Problem(where, f"{path} does not exist", near or _listing(path.parent, names))


def _there(path: Path) -> bool:
    """Whether a path, or the first file of a pattern, is there."""
    return path.exists() or (is_pattern(str(path)) and any(each.exists() for each in paths_of(str(path))[:1]))


def _listing(folder: Path, names: Sequence[str]) -> str:
    shown = sorted(name for name in names if not name.startswith("."))[:5]
    return f"in {folder} there is {', '.join(shown)}" if shown else f"{folder} is not there, or empty"


def _text_problems(where: str, name: str) -> Iterator[Problem]:
    from limbeck.models.parts.spec import is_parts, parts_problems
    from limbeck.models.text.chain import chain_problems, is_chain

    if is_parts(name):
        yield from parts_problems(name, where)
    elif is_chain(name, NETWORKS):
        yield from chain_problems(name, where)


def _objective_in(values: Mapping[str, Any]) -> Iterator[Problem]:
    text = values.get("objective", "auto")
    if isinstance(text, str) and text != "auto":
        yield from _objective_problems(text)


def _objective_problems(text: str) -> Iterator[Problem]:
    from limbeck.objectives import parse

    try:
        parse(text)
    except ConfigError as err:
        for problem in err.problems or (Problem("", err.what, err.todo),):
            place = "" if problem.where in ("", "objective") else f"{problem.where}: "
            yield Problem("objective", f"{place}{problem.what}", problem.todo.replace("\n", "; "))
    except LimbeckError as err:
        yield Problem("objective", err.what, err.todo)
