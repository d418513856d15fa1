"""Any trained thing behind one interface: given inputs, it answers every head in the form that is kept on disk.

Classes and labels are answered in logits (of an estimator: the logarithm of its probabilities), regression in natural
units. `adapt` chooses: a torch module, a scikit-learn estimator, or a callable.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.core.parts import plain
from limbeck.models.estimators import ClassColumns, class_columns, label_columns, refuse_pairwise, refuse_unfitted
from limbeck.models.fingerprint import module_hash, object_hash
from limbeck.models.merged import MergedColumns, merged_columns
from limbeck.models.outputs import (
    AUTO,
    LOGITS,
    PROBABILITIES,
    check_output_kind,
    check_width,
    looks_like_probabilities,
    to_logits,
    to_outputs,
)
from limbeck.models.predict import answer, answering, told

Columns: TypeAlias = ClassColumns | MergedColumns
Answers: TypeAlias = "dict[str, np.ndarray[Any, Any]]"  # float32 [N, width] by head


class TaskLike(Protocol):
    """What an adapter knows of a task."""

    @property
    def kind(self) -> str:
        """The kind of task."""
        ...

    @property
    def form(self) -> str:
        """What its answers are: those of classification, of multilabel, of regression, or of its own kind."""
        ...

    @property
    def size(self) -> int:
        """Width of the output."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Classes, labels or targets in the order of the output."""
        ...


class Answering(Protocol):
    """A teacher as limbeck sees it."""

    @property
    def fingerprint(self) -> str:
        """A hash of what decides its answers."""
        ...

    def describe(self) -> dict[str, Any]:
        """What it is, for resolved.yaml."""
        ...

    def __call__(self, inputs: Any) -> Mapping[str, Any]:
        """Answers [N, width] of every head: logits, and natural units for regression."""
        ...


def adapt(
    teacher: Any,
    tasks: Mapping[str, TaskLike],
    *,
    output: str = AUTO,
    device: str | None = None,
    classes: Sequence[Any] | None = None,
    mapping: Mapping[Any, Any] | None = None,
) -> Answering:
    """Put a teacher behind the interface.

    `output` says whether a module or callable gives logits or probabilities; auto looks at its first answers.
    `classes` names its classes in the order of its columns, where that is not the task's order; `mapping` says which of
    them are which classes of the task.
    Raises ConfigError for what cannot answer, is not fitted, or has other classes.
    """
    check_output_kind(output)
    columns = columns_of(teacher, tasks, classes, mapping)
    if isinstance(teacher, type):
        raise ConfigError(
            f"expected a trained teacher, got the class {teacher.__name__}", "make an object of it and train it first"
        )
    if isinstance(teacher, nn.Module):
        return TorchModel(teacher, tasks, output=output, columns=columns, device=device)
    if is_estimator(teacher):
        return SklearnEstimator(teacher, tasks, columns=columns)
    if callable(teacher):
        return Function(teacher, tasks, output=output, columns=columns)
    raise ConfigError(
        f"expected a teacher that answers: a torch module, a scikit-learn estimator or a callable, got "
        f"{type(teacher).__name__}",
        "wrap it in a function that takes inputs and returns logits or probabilities [N, C]",
    )


def is_estimator(what: Any) -> bool:
    """Whether something is what scikit-learn calls an estimator that predicts."""
    return not isinstance(what, type) and all(hasattr(what, name) for name in ("fit", "predict", "get_params"))


def columns_of(
    teacher: Any, tasks: Mapping[str, TaskLike], classes: Sequence[Any] | None, mapping: Mapping[Any, Any] | None
) -> Columns | None:
    """Which columns of a teacher mean which classes, where the user says it; None where nothing was said."""
    if classes is None and mapping is None:
        return None
    task = next(iter(tasks.values()))
    if len(tasks) > 1 or task.form != "classification":
        what = "classes=[...]" if mapping is None else "a mapping of classes"
        raise ConfigError(
            f"expected {what} for one task of classification, got {', '.join(tasks)} "
            f"({', '.join(each.kind for each in tasks.values())})",
            "give a mapping of tasks to teachers, each lb.Teacher(...) with its own classes",
        )
    if mapping is not None:
        own = classes if classes is not None else getattr(teacher, "classes_", None)
        return merged_columns(own, mapping, task.names, "the teacher")
    assert classes is not None
    return class_columns(classes, task.names, "the teacher")


class _Bridge:
    """Names the outputs of a model and turns probabilities into logits; `auto` is decided by the first answers."""

    def __init__(self, tasks: Mapping[str, TaskLike], output: str, who: str, columns: Columns | None = None) -> None:
        self.tasks, self.output, self.who, self.columns = tasks, output, who, columns
        self.found: dict[str, str] = {}

    def __call__(self, raw: Any, rows: int | None) -> Answers:
        outputs = to_outputs(raw, list(self.tasks))
        answers = {}
        for head, task in self.tasks.items():
            values = outputs[head].detach().float()
            check_width(values, self.columns.width if self.columns else task.size, head, self.who)
            _check_rows(values, rows, head, self.who)
            if self.kind_of(head, values) == PROBABILITIES:
                values = to_logits(values, task.form)
            answers[head] = (self.columns.order(values) if self.columns else values).cpu().numpy()
        return answers

    def kind_of(self, head: str, values: Tensor) -> str:
        """Whether a head answers in logits or in probabilities; raises ConfigError where that cannot be seen."""
        if self.output != AUTO:
            return self.output
        if head not in self.found:
            kind = self.tasks[head].form
            probable = looks_like_probabilities(values, kind)
            if kind == "classification" and not probable and bool(((values >= 0) & (values <= 1)).all()):
                raise ConfigError(
                    f"expected logits, or probabilities that sum to 1, from {self.who} for '{head}', its first "
                    f"{len(values)} answers lie between 0 and 1 and sum to {values[0].sum():.3g} in the first row",
                    "say which they are: lb.Teacher(model, output='logits') or output='probabilities'",
                )
            self.found[head] = PROBABILITIES if probable else LOGITS
        return self.found[head]

    def describe(self) -> dict[str, Any]:
        found = {head: f"{kind} (auto)" for head, kind in self.found.items()}
        return {"output": self.output if self.output != AUTO or not found else found}


def _check_rows(values: Tensor, rows: int | None, head: str, who: str) -> None:
    if rows is not None and len(values) != rows:
        raise ShapeMismatch(
            f"expected {who} to answer each of {rows} rows for '{head}', it gives {len(values)} answers",
            "return one row of numbers for each row that it is given, in their order",
        )


def _count(inputs: Any) -> int | None:
    return len(inputs) if hasattr(inputs, "__len__") and not isinstance(inputs, Mapping) else None


class TorchModel:
    """A torch module, in eval mode and without gradients whenever it answers, and left as it was found."""

    def __init__(
        self,
        module: nn.Module,
        tasks: Mapping[str, TaskLike],
        *,
        output: str = AUTO,
        columns: Columns | None = None,
        device: str | None = None,
    ) -> None:
        self.fingerprint = module_hash(module)
        self.columns = columns
        self.who = f"the teacher {type(module).__name__}"
        self._bridge = _Bridge(tasks, output, self.who, columns)
        self._ask(module if device is None else module.to(device))

    def _ask(self, module: nn.Module) -> None:
        self.module = module
        self._parts = list(module.modules())
        self._weight = next(itertools.chain(module.parameters(), module.buffers()), None)

    def through(self, module: nn.Module) -> TorchModel:
        """The same teacher, answered by another form of its module; what its outputs are is known already."""
        other = copy.copy(self)
        other._ask(module)
        return other

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "torch module",
            "class": f"{type(self.module).__module__}.{type(self.module).__qualname__}",
            "parameters": sum(p.numel() for p in self.module.parameters()),
            **self._bridge.describe(),
        }

    def __call__(self, inputs: Any) -> Answers:
        if isinstance(inputs, np.ndarray):
            inputs = torch.from_numpy(np.ascontiguousarray(inputs))
        if isinstance(inputs, Tensor):
            inputs = self._fitting(inputs)
        with answering(self.module, self._parts):
            with told(self.who, inputs):
                raw = answer(self.module, inputs)
            return self._bridge(raw, _count(inputs))

    def _fitting(self, inputs: Tensor) -> Tensor:
        """Inputs on the device of the weights, and numbers in their precision."""
        weight = self._weight
        if weight is None:
            return inputs.float() if inputs.dtype == torch.float64 else inputs
        precise = inputs.is_floating_point() and weight.is_floating_point()
        return inputs.to(weight.device, weight.dtype if precise else inputs.dtype)


class Function:
    """A callable that gives arrays or tensors: one for one task, a mapping of them for several."""

    def __init__(
        self,
        function: Any,
        tasks: Mapping[str, TaskLike],
        *,
        output: str = AUTO,
        columns: Columns | None = None,
    ) -> None:
        self.function = function
        self.fingerprint = object_hash(function)
        self.columns = columns
        self.name = str(getattr(function, "__qualname__", type(function).__qualname__))
        self.who = f"the teacher {self.name}"
        self._bridge = _Bridge(tasks, output, self.who, columns)

    def describe(self) -> dict[str, Any]:
        return {"kind": "callable", "name": self.name, **self._bridge.describe()}

    def __call__(self, inputs: Any) -> Answers:
        with torch.no_grad():
            with told(self.who, inputs):
                raw = self.function(plain(inputs))
            return self._bridge(_tensors(raw, self.who), _count(inputs))


class SklearnEstimator:
    """A fitted estimator: probabilities, else margins, for classes and labels; predictions for regression.

    Its columns are put in the order of the task's classes; a class that it does not know counts as impossible.
    Raises ConfigError where it is not fitted or knows other classes, MissingSignal where it gives decisions only.
    """

    def __init__(self, estimator: Any, tasks: Mapping[str, TaskLike], *, columns: Columns | None = None) -> None:
        if len(tasks) != 1:
            raise ConfigError(
                f"expected one estimator for each of the {len(tasks)} tasks ({', '.join(tasks)}), got one in all",
                f"give a mapping: {{{', '.join(repr(head) + ': ...' for head in tasks)}}}",
            )
        refuse_unfitted(estimator)
        self.estimator = estimator
        self.who = f"the estimator {type(estimator).__name__}"
        self.head, self.task = next(iter(tasks.items()))
        self.fingerprint = object_hash(estimator)
        self.gives = self._what_it_gives()
        self.columns: Columns | None = columns
        own = getattr(estimator, "classes_", None)
        if self.columns is None and self.task.form == "classification" and own is not None:
            self.columns = class_columns(own, self.task.names, self.who)

    def _what_it_gives(self) -> str:
        if self.task.form == "regression":
            return "predictions"
        if hasattr(self.estimator, "predict_proba"):
            return "probabilities"
        if hasattr(self.estimator, "decision_function"):
            refuse_pairwise(self.estimator, self.task.size)
            return "margins"
        raise MissingSignal(
            f"expected probabilities or margins from {type(self.estimator).__name__}, it gives decisions only",
            "use an estimator with predict_proba, or wrap this one in sklearn.calibration.CalibratedClassifierCV",
        )

    def describe(self) -> dict[str, Any]:
        return {"kind": "scikit-learn estimator", "class": type(self.estimator).__name__, "output": self.gives}

    def __call__(self, inputs: Any) -> Answers:
        if isinstance(inputs, Tensor):
            inputs = inputs.cpu().numpy()
        with told(self.who, inputs):
            values = getattr(self, f"_{self.gives}")(inputs)
        check_width(values, self.columns.width if self.columns else self.task.size, self.head, self.who)
        return {self.head: (self.columns.order(values) if self.columns else values).float().numpy()}

    def _predictions(self, inputs: Any) -> Tensor:
        if getattr(self.task, "spread", False) and "return_std" in inspect.signature(self.estimator.predict).parameters:
            said = np.stack(self.estimator.predict(inputs, return_std=True), axis=-1)  # [N, 2], or [N, K, 2]
            return torch.as_tensor(said.reshape(len(said), -1), dtype=torch.float64)
        values = torch.as_tensor(np.asarray(self.estimator.predict(inputs), dtype=np.float64))
        return values[:, None] if values.dim() == 1 else values

    def _probabilities(self, inputs: Any) -> Tensor:
        raw = self.estimator.predict_proba(inputs)
        if self.task.form == "multilabel":
            raw = label_columns(raw, self.estimator, self.task.size)
        return to_logits(torch.as_tensor(np.asarray(raw, dtype=np.float64)), self.task.form)

    def _margins(self, inputs: Any) -> Tensor:
        margins = torch.as_tensor(np.asarray(self.estimator.decision_function(inputs), dtype=np.float64))
        if self.task.form == "multilabel":
            return margins[:, None] if margins.dim() == 1 else margins
        if margins.dim() == 1:  # two classes: the margin of the second over the first
            margins = torch.stack([-margins / 2, margins / 2], dim=1)
        return margins


def _tensors(raw: Any, who: str) -> Any:
    """Arrays and lists as float tensors, whatever they are nested in; raises MissingSignal for text."""
    if isinstance(raw, Mapping):
        return {name: _tensors(value, who) for name, value in raw.items()}
    if isinstance(raw, Tensor) or raw is None:
        return raw
    if isinstance(raw, tuple):
        return tuple(_tensors(value, who) for value in raw)
    try:
        values = np.asarray(raw)
        numbers = values.astype(np.float32) if values.ndim else None
    except (TypeError, ValueError):  # rows of unequal lengths, or text
        first = next(iter(raw), raw)
        first = first.item() if isinstance(first, np.generic) else first
        raise MissingSignal(
            f"expected rows of numbers of one length from {who}, the first it gives is {first!r:.60}",
            "give a score for each class (probabilities or logits), not the name of the one it decides for",
        ) from None
    return raw if numbers is None else torch.from_numpy(numbers)
