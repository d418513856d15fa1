"""Teachers that limbeck trains first: a network of its own, or a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.core.parts import Parts
from limbeck.data.entries import whole
from limbeck.data.ondisk import OnDisk
from limbeck.data.ragged import refuse_fixed_length
from limbeck.signals import Needs, TeacherSource
from limbeck.stages.parts import prepare_parts, refuse_parts
from limbeck.stages.teachers import GivenTeacher, Prepared, estimator_input, looks_inside
from limbeck.train.plan import TrainSpec

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.stages.job import Job


@dataclass
class TaughtEstimator:
    """A scikit-learn estimator that limbeck fits on the labelled rows: a pipeline on raw rows, others on encoded."""

    estimator: Any
    parts: Sequence[str] | None = None  # that it takes of rows of several
    _given: GivenTeacher | None = field(default=None, repr=False)
    _taught_on: str | None = field(default=None, repr=False)  # fingerprint of the data

    def describe(self) -> dict[str, Any]:
        told = {} if self.parts is None else {"parts": list(self.parts)}
        return {
            "kind": "estimator", "model": type(self.estimator).__name__, "settings": _settings(self.estimator)
        } | told  # fmt: skip

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        from sklearn.base import clone

        if self._given is not None and _is_taught(job, self._taught_on):
            return self._given.teach(job, folder)
        heads = tuple(job.data.tasks)
        if len(heads) > 1:
            raise ConfigError(
                f"expected one task for a scikit-learn teacher that is fitted here, got {', '.join(heads)}",
                f"give a mapping with one for each: {{{', '.join(repr(head) + ': ...' for head in heads)}}}",
            )
        from limbeck.models.text.tagging import refuse_whole_texts

        refuse_whole_texts(self.estimator, {head: task.form for head, task in job.data.tasks.items()}, "the teacher")
        x, y, weight = self._labelled(job, heads[0])
        estimator = clone(self.estimator)
        estimator.set_params(**dict.fromkeys(_unseeded(estimator), job.settings.seed))
        weights = _weights(estimator, weight, job)
        fitted = _fitted(estimator, x, y, weights, folder)
        self._given = GivenTeacher(fitted, inputs=self._takes(), parts=self.parts)
        self._taught_on = job.data.fingerprint
        return self._given.teach(job, folder)

    def _takes(self) -> str:
        return "raw" if hasattr(self.estimator, "steps") else "encoded"

    def _labelled(self, job: Job, head: str) -> tuple[Any, Any, Any]:
        """Inputs, labels as the user wrote them and weights of the labelled rows."""
        task, mask = job.data.tasks[head], job.data.train.label_mask[head]
        if not (known := whole(job.data.train, head)).any():
            raise ConfigError(
                f"expected rows of '{head}' of which every target is known for the teacher "
                f"{type(self.estimator).__name__}, each of {int(mask.sum())} misses one",
                "take a network as the teacher, which learns of the entries that are known, or fill the targets",
            )
        if lost := int(mask.sum() - known.sum()):
            job.console.say(f"the teacher is fitted without {lost} rows that miss an entry of '{head}'")
        rows = job.data.train.take(known)
        if isinstance(rows.inputs, OnDisk):
            raise ConfigError(
                f"expected a teacher that is trained in batches on labelled rows that do not fit in memory, "
                f"{type(self.estimator).__name__} is fitted on all {len(rows):,} at once",
                "fit it on a part of them and give the fitted one, or take a network; lb.Data(labels=N) keeps N labels",
            )
        x = self._inputs(job.data, rows.inputs)
        y = rows.targets[head]
        if task.form == "classification":
            return x, np.asarray(task.names)[y], rows.weight
        y = np.asarray(task.natural_targets(y))
        return x, y[:, 0] if task.form == "regression" and y.shape[1] == 1 else y, rows.weight

    def _inputs(self, data: Data, inputs: Any) -> Any:
        if not isinstance(inputs, Parts):
            refuse_parts(self.parts, data.train.kind)
            if data.preprocess.ragged:
                raise refuse_fixed_length(f"the estimator {type(self.estimator).__name__}")
            return estimator_input(inputs) if self._takes() == "raw" else data.preprocess.encode(inputs)
        if self.parts is None or len(self.parts) != 1:
            raise ConfigError(
                f"expected one part of the rows ({', '.join(inputs)}) for a scikit-learn teacher that is fitted here, "
                f"got {', '.join(self.parts or ('all of them',))}",
                "say which: parts: [NAME] in a recipe, lb.Teacher(estimator, parts=['NAME']) in Python",
            )
        return prepare_parts(self.estimator, self.parts, self._takes(), data)(inputs)

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        return self._ready().source(job, needs)

    def fingerprint(self) -> str:
        return self._ready().fingerprint()

    def cost(self, job: Job) -> dict[str, Any]:
        return self._ready().cost(job)

    def _ready(self) -> GivenTeacher:
        assert self._given is not None, "teach comes first"
        return self._given


def _is_taught(job: Job, on: str | None) -> bool:
    """Whether what was taught serves this run: its encoding and units are those of the data it was taught on."""
    if on == job.data.fingerprint:
        return True
    if on is not None:
        job.console.say("the teacher is taught again: these are other data than it was taught on")
    return False


def _unseeded(estimator: Any) -> list[str]:
    """The random states, of parts too, that nobody has set: without a seed each fit would be another teacher."""
    settings = estimator.get_params()
    return [n for n, v in settings.items() if v is None and (n == "random_state" or n.endswith("__random_state"))]


def _settings(estimator: Any) -> dict[str, Any]:
    return {name: repr(value) for name, value in sorted(estimator.get_params(deep=False).items())}


def _weights(estimator: Any, weight: Any, job: Job) -> dict[str, Any]:
    """Row weights under the name that `fit` has for them; none where it has none, which is said."""
    from sklearn.utils.validation import has_fit_parameter

    if weight is None:
        return {}
    steps = getattr(estimator, "steps", None)
    name, last = (f"{steps[-1][0]}__sample_weight", steps[-1][1]) if steps else ("sample_weight", estimator)
    if has_fit_parameter(last, "sample_weight"):
        return {name: weight}
    job.console.detail(f"{type(last).__name__} takes no row weights: the teacher is fitted without them")
    return {}


_SKLEARN = ("sklearn.", "scipy.", "numpy.")  # trees and forests are kept in types that skops asks about


def _fitted(estimator: Any, x: Any, y: Any, weights: Mapping[str, Any], folder: Path) -> Any:
    """Fit, or read what an earlier attempt fitted; skops holds it, never a pickle."""
    import skops.io

    from limbeck.core.files import write_bytes

    path = folder / "estimator.skops"
    if path.is_file():
        asked = skops.io.get_untrusted_types(file=path)
        if all(name.startswith(_SKLEARN) for name in asked):
            return skops.io.load(path, trusted=asked)
    try:
        estimator.fit(x, y, **weights)
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise ConfigError(
            f"expected a teacher that can be fitted, {type(estimator).__name__} says: {reason[0] if reason else e}",
            "change its settings, or take another estimator; for several labels a row wrap it in "
            "sklearn.multioutput.MultiOutputClassifier",
        ) from e
    try:
        write_bytes(path, skops.io.dumps(estimator))
    except Exception as e:  # an estimator that skops cannot hold is fitted again on resume
        from limbeck.core.files import write_text

        write_text(folder / "estimator.txt", f"{estimator!r}\nnot kept: {e}\n")
    return estimator


@dataclass
class TaughtNetwork:
    """A network that limbeck trains on the labelled rows: a built-in name, an import path or a factory.

    `members` of them are trained from different seeds and answer as one.
    """

    what: Any
    members: int = 1
    train: TrainSpec | None = None
    _given: list[GivenTeacher] = field(default_factory=list, repr=False)
    _taught_on: str | None = field(default=None, repr=False)  # fingerprint of the data

    def describe(self) -> dict[str, Any]:
        from torch import nn

        name = self.what if isinstance(self.what, str) else getattr(self.what, "__qualname__", type(self.what).__name__)
        from limbeck.models.fingerprint import module_hash, object_hash

        if not isinstance(self.what, str):
            module = isinstance(self.what, nn.Module)
            name = f"{name} {module_hash(self.what) if module else object_hash(self.what)}"
        return {
            "kind": "network",
            "model": name,
            "members": self.members,
            "train": None if self.train is None else asdict(self.train),
        }

    def teach(self, job: Job, folder: Path) -> list[Finding]:
        from limbeck.stages.train import teach_network

        if not _is_taught(job, self._taught_on):
            self._given = []
            for member in range(self.members):
                module = teach_network(job, self.what, self.train or job.train, member, folder / f"member-{member}")
                self._given.append(GivenTeacher(module, inputs="encoded", output="logits"))
            self._taught_on = job.data.fingerprint
        return [finding for given in self._given for finding in given.teach(job, folder)]

    @property
    def members_taught(self) -> tuple[GivenTeacher, ...]:
        """What was taught, empty before."""
        return tuple(self._given)

    def source(self, job: Job, needs: Needs) -> TeacherSource:
        from limbeck.models.half import in_dtype
        from limbeck.transfer.source import Ensemble, Live

        sources = []
        for given in self._given:
            # it was trained here, on standardised targets
            model = given.model if looks_inside(needs) else in_dtype(given.model, job.settings.label_dtype)
            live = Live(model, job.data.tasks, taps=needs.taps, output="logits", units="training")
            sources.append(Prepared(live, given._prepare(job.data)))
        return sources[0] if len(sources) == 1 else Ensemble(sources, heads=job.data.tasks)

    def fingerprint(self) -> str:
        from limbeck.models.fingerprint import object_hash

        return object_hash([given.fingerprint() for given in self._given])

    def cost(self, job: Job) -> dict[str, Any]:
        return added([given.cost(job) for given in self._given])


def added(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cost of asking several models one after the other."""
    if len(costs) == 1:
        return costs[0]
    total: dict[str, Any] = {}
    for name in ("parameters", "flops", "state_bytes"):
        values = [cost.get(name) for cost in costs]
        total[name] = None if None in values else sum(value for value in values if value is not None)
    memory = [cost.get("inference_bytes") for cost in costs]
    total["inference_bytes"] = None if None in memory else max(value for value in memory if value is not None)
    total |= {"onnx_bytes": None, "threads": costs[0].get("threads")}
    total["latency"] = {
        size: {
            "p50_ms": sum(cost["latency"][size]["p50_ms"] for cost in costs),
            "p95_ms": sum(cost["latency"][size]["p95_ms"] for cost in costs),
            "calls": min(cost["latency"][size]["calls"] for cost in costs),
        }
        for size in costs[0]["latency"]
    }
    return total


def trained_how(job: Job) -> str:
    """What to do first about a teacher that knows too little: train it, or longer where it was trained here."""
    teacher = job.teacher
    if not isinstance(teacher, TaughtNetwork):
        return "train it first (lb.teach)"
    labelled = int(max(mask.sum() for mask in job.data.train.label_mask.values()))
    steps = int((teacher.train or job.train).total_steps(labelled).value)
    return f"it was trained {steps:,} steps here: raise them (teacher.train in a recipe, teacher_train in Python)"
