"""Tables, sources and ensembles as teachers, and `teacher_of`, which takes whatever a user hands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.findings import Finding
from limbeck.core.kinds import suggest
from limbeck.signals import Batch, Needs, Signals, TeacherSource
from limbeck.stages.answered import AnsweredTeacher
from limbeck.stages.ensembles import EnsembleTeacher as EnsembleTeacher
from limbeck.stages.ensembles import Teachers
from limbeck.stages.per_task import PerTaskTeacher
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork
from limbeck.stages.teachers import NO_COST, GivenTeacher, Teacher
from limbeck.stages.teachers import refuse_inner as refuse_inner
from limbeck.train.plan import TrainSpec
from limbeck.transfer.dataset import TransferSet

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.data.rows import Rows
    from limbeck.stages.job import Job

TABLE_ENDINGS = (".csv", ".parquet", ".jsonl", ".npz")
ANSWERS = "answers:"


@dataclass
class TableTeacher:
    """A table of predictions: a DataFrame or a file (CSV, JSONL, Parquet, NPZ), one row for each row of the data.

    `output` says whether classes and labels are given as "probabilities" or "logits"; "auto" looks. `id_column` holds
    the row ids of the data. `classes` are those of the table, in the order of lists, where it does not name them in its
    columns; `mapping` says which class of the task each of them is, as that of `lb.Teacher`.
    """

    table: Any
    output: str = "auto"
    id_column: str = "id"
    classes: Sequence[Any] | None = None
    mapping: Mapping[Any, Any] | None = None
    _source: Any = field(default=None, repr=False)
    _looked: tuple[Rows, tuple[str, ...]] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        from limbeck.models.outputs import check_output_kind
        from limbeck.transfer.read_table import check_file

        check_output_kind(self.output)
        if isinstance(self.table, str | Path):
            check_file(Path(self.table))
        elif not _is_frame(self.table):
            raise ConfigError(
                f"expected a table of predictions as a DataFrame or a file, got {type(self.table).__name__}",
                "one row for each row of the data, with its id and a column for each class",
            )

    def describe(self) -> dict[str, Any]:
        from limbeck.core.files import checksum
        from limbeck.models.fingerprint import object_hash

        if isinstance(self.table, str | Path):
            file, content = Path(self.table).name, checksum(Path(self.table))
        else:
            file, content = None, object_hash({str(name): self.table[name].to_numpy() for name in self.table.columns})
        told: dict[str, Any] = {} if self.classes is None else {"classes": [str(name) for name in self.classes]}
        if self.mapping is not None:
            told["mapping"] = [[str(mine), None if said is None else str(said)] for mine, said in self.mapping.items()]
        return {"kind": "predictions", "file": file, "fingerprint": content} | told

    def known(self, tasks: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Ids of the classes that it knows where its mapping leaves some out, by task; raises ConfigError."""
        from limbeck.models.merged import MergedColumns
        from limbeck.transfer.own_classes import OwnClasses
        from limbeck.transfer.read_table import KEY, read_table

        if self.mapping is None:
            return {}
        looked = self.classes is None  # else the table is not needed to know its classes
        frame = read_table(Path(self.table), self.id_column) if looked and not _is_frame(self.table) else self.table
        own = OwnClasses.of(frame if looked else None, tasks, {self.id_column, KEY}, self.classes, self.mapping)
        if own is None or not isinstance(own.columns, MergedColumns) or not own.columns.missing:
            return {}
        return {next(iter(tasks)): own.columns.known}

    def look(self, data: Data) -> None:
        """Read the table and match it with the rows; `teach` takes what was found here for the same rows.

        Raises what `PredictionTable` raises.
        """
        self._source, self._looked = self._read(data), (data.train, tuple(data.tasks))

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        from limbeck.models.probing import unknown_classes

        data, looked, self._looked = job.data, self._looked, None
        if looked is None or looked[0] is not data.train or looked[1] != tuple(data.tasks):
            self._source = self._read(data)
        return unknown_classes(None if self._source.own is None else self._source.own.columns)

    def _read(self, data: Data) -> Any:
        from limbeck.transfer.source import PredictionTable

        rows = [rows for rows in (data.train, data.unlabeled, data.validation, data.test) if rows is not None]
        return PredictionTable(
            self.table, rows, data.tasks,
            id_column=self.id_column, output=self.output, classes=self.classes, mapping=self.mapping,
        )  # fmt: skip

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        refuse_inner(needs, "a table of predictions")
        source: TeacherSource = self._source
        return source

    def fingerprint(self) -> str:
        return str(self._source.fingerprint)

    def cost(self, job: Job) -> dict[str, Any]:
        return dict(NO_COST)


@dataclass
class SourceTeacher:
    """Any object with `have()` and `answer(batch)`; its teacher inputs are raw rows."""

    given: Any

    def describe(self) -> dict[str, Any]:
        return {"kind": "source", "model": type(self.given).__name__, "fingerprint": self.fingerprint()}

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        return []

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        return _Told(self.given)

    def fingerprint(self) -> str:
        from limbeck.models.fingerprint import object_hash

        own = getattr(self.given, "fingerprint", None)
        return own if isinstance(own, str) else object_hash(self.given)

    def cost(self, job: Job) -> dict[str, Any]:
        return dict(NO_COST)


@dataclass(frozen=True)
class _Told:
    """A source of the user's; what goes wrong inside is told with its name."""

    inner: TeacherSource

    def have(self) -> Needs:
        """What the one inside has."""
        return self.inner.have()

    def answer(self, batch: Batch) -> Signals:
        """Ask the one inside."""
        from limbeck.models.predict import told

        with told(f"the teacher {type(self.inner).__name__}", batch.teacher_inputs):
            return self.inner.answer(batch)


_READY = (
    AnsweredTeacher, EnsembleTeacher, GivenTeacher, PerTaskTeacher, SourceTeacher, TableTeacher, TaughtEstimator,
    TaughtNetwork,
)  # fmt: skip


def teacher_of(what: Any, *, members: int = 1, train: TrainSpec | None = None, output: str = "auto") -> Teacher:
    """Take a teacher in any of its forms; raises ConfigError for what is none.

    A text is a built-in network ("mlp(hidden=[128, 64])"), "sklearn:NAME(...)", a file of predictions, a file with a
    model (`models.files`), "answers:DIR" (what was labelled before) or an import path; a list is an ensemble, of
    teachers or of pairs (teacher, weight), as is `Teachers`, which says how they are weighed; a mapping has a teacher
    of its own for each task.
    """
    from torch import nn

    from limbeck.models.adapters import is_estimator
    from limbeck.models.keras_network import as_module
    from limbeck.models.text.sentences import SentenceNetwork, is_sentence_transformer

    if isinstance(what, GivenTeacher) and is_estimator(what.model) and not _is_fitted(what.model):
        return TaughtEstimator(what.model, what.parts)
    if isinstance(what, _READY):
        return what
    if isinstance(what, TransferSet):
        return AnsweredTeacher(what.store.path)
    if isinstance(what, list | tuple) and len(what) > 0:
        what = Teachers(what)
    if isinstance(what, Teachers):
        pairs = [entry if _is_weighted(entry) else (entry, 1.0) for entry in what.teachers]
        members_of = [(teacher_of(one, train=train, output=output), float(weight)) for one, weight in pairs]
        return EnsembleTeacher(members_of, what.weighting)
    if isinstance(what, Mapping) and len(what) > 0:
        return PerTaskTeacher(
            {str(h): teacher_of(t, members=members, train=train, output=output) for h, t in what.items()}
        )
    if isinstance(what, str | Path):
        return _of_text(str(what), members, train, output)
    if is_sentence_transformer(what):
        return GivenTeacher(SentenceNetwork.of(what), output="logits")
    what = as_module(what)
    if isinstance(what, nn.Module):
        return GivenTeacher(what, output=output)
    if is_estimator(what):
        return GivenTeacher(what, output=output) if _is_fitted(what) else TaughtEstimator(what)
    if callable(getattr(what, "have", None)) and callable(getattr(what, "answer", None)):
        return SourceTeacher(what)
    if _is_frame(what):
        return TableTeacher(what, output)
    if callable(what):
        return GivenTeacher(what, output=output)
    raise ConfigError(
        f"expected a teacher, got {type(what).__name__}",
        "give a trained torch module, a scikit-learn estimator, a callable, a table of predictions, the name of a "
        "network such as 'mlp(hidden=[128, 64])', a list of these, or a mapping of tasks to these",
    )


def _is_weighted(entry: Any) -> bool:
    """Whether an entry of an ensemble is a pair (teacher, weight)."""
    pair = isinstance(entry, tuple) and len(entry) == 2
    return pair and isinstance(entry[1], int | float) and not isinstance(entry[1], bool)


def _of_text(text: str, members: int, train: TrainSpec | None, output: str) -> Teacher:
    from limbeck.models import zoo
    from limbeck.models.files import is_model_file
    from limbeck.models.parts.spec import PartsSpec, is_parts
    from limbeck.models.text.chain import SENTENCES, Chain, is_chain
    from limbeck.models.text.sentences import SentenceNetwork
    from limbeck.models.text.seq2seq import NAME

    if text.lower().endswith(TABLE_ENDINGS):
        return TableTeacher(Path(text), output)
    if is_model_file(text):
        return GivenTeacher(Path(text), output=output)
    if text.startswith(ANSWERS):
        return AnsweredTeacher.of(text.removeprefix(ANSWERS))
    if text.startswith(SENTENCES) and "|" not in text:  # it is trained already
        return GivenTeacher(SentenceNetwork.load(text.removeprefix(SENTENCES)), output="logits")
    if text.partition("(")[0].strip() == NAME:
        return TaughtNetwork(text, members, train)
    if is_parts(text):
        return TaughtNetwork(PartsSpec.parse(text).written(), members, train)
    if text.startswith("sklearn:"):
        return TaughtEstimator(estimator_of(text.removeprefix("sklearn:")))
    if is_chain(text, tuple(zoo.ZOO)):
        return TaughtNetwork(str(Chain.parse(text)), members, train)
    if ":" not in text or zoo.is_zoo_name(text):
        return TaughtNetwork(zoo.canonical(text), members, train)
    return teacher_of(_imported(text), output=output)


def _imported(text: str) -> Any:
    """What stands at an import path: a trained thing, a function that answers, or one without arguments."""
    import inspect

    from torch import nn

    from limbeck.core.catalog import load_path

    found = load_path(text)
    if isinstance(found, nn.Module) or not callable(found) or hasattr(found, "predict") or hasattr(found, "answer"):
        return found
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(found).parameters.values()
    if any(parameter.default is parameter.empty and parameter.kind not in free for parameter in parameters):
        return found
    try:
        return found()
    except LimbeckError:
        raise
    except Exception as error:
        raise ConfigError(
            f"expected {text} to make a teacher, it raised {type(error).__name__}: {error}",
            "call it by itself to see where; it is called without arguments",
        ) from error


def estimator_of(text: str) -> Any:
    """A scikit-learn estimator from "NAME(setting=value)", parsed and never evaluated; raises ConfigError."""
    import ast

    from sklearn.utils import all_estimators

    known = dict(all_estimators())
    try:
        node = ast.parse(text, mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        assert isinstance(call.func, ast.Name) and not call.args
        settings = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        name = call.func.id
    except (SyntaxError, ValueError, AssertionError) as e:
        raise ConfigError(
            f"expected sklearn:NAME(setting=value), got sklearn:{text}",
            "for example sklearn:HistGradientBoostingClassifier(max_iter=200)",
        ) from e
    if name not in known:
        raise ConfigError(f"expected an estimator of scikit-learn, got '{name}'", suggest(name, known))
    try:
        return known[name](**settings)
    except TypeError as e:
        raise ConfigError(f"expected settings of {name}, got: {e}", f"see the parameters of sklearn's {name}") from e


def _is_fitted(estimator: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    except (TypeError, AttributeError):  # of another library: it says itself when it is asked
        return True
    return True


def _is_frame(what: Any) -> bool:
    import pandas as pd

    return isinstance(what, pd.DataFrame)
