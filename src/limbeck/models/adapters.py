"""Any trained thing behind one interface: given inputs, it answers every head in the form that is kept on disk.

Classes and labels are answered in logits (of an estimator: the logarithm of its probabilities), regression in natural
units. `adapt` chooses: a torch module, a scikit-learn estimator, a callable, or a mapping of heads to these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, MissingSignal
from limbeck.core.runtime import device_of
from limbeck.models.estimators import class_columns, label_columns, refuse_unfitted
from limbeck.models.fingerprint import object_hash, state_hash
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
from limbeck.models.predict import answering

Answers: TypeAlias = "dict[str, np.ndarray[Any, Any]]"  # float32 [N, width] by head


class TaskLike(Protocol):
    """What an adapter knows of a task."""

    @property
    def kind(self) -> str:
        """One of classification, multilabel and regression."""
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


@runtime_checkable
class Estimator(Protocol):
    """What scikit-learn calls an estimator that predicts."""

    def fit(self, X: Any, y: Any) -> Any: ...

    def predict(self, X: Any) -> Any: ...

    def get_params(self) -> Any: ...


@runtime_checkable
class _Probabilities(Protocol):
    def predict_proba(self, X: Any) -> Any: ...


@runtime_checkable
class _Margins(Protocol):
    def decision_function(self, X: Any) -> Any: ...


def adapt(
    teacher: Any,
    tasks: Mapping[str, TaskLike],
    *,
    output: str = AUTO,
    device: str | None = None,
    classes: Sequence[Any] | None = None,
) -> Answering:
    """Put a teacher behind the interface.

    `output` says whether a module or callable gives logits or probabilities; auto looks at its first answers.
    `classes` names the classes of an estimator in the order of its columns, where its own names mean something else.
    Raises ConfigError for what cannot answer, is not fitted, or has other classes.
    """
    check_output_kind(output)
    if isinstance(teacher, Mapping):
        return PerHead(teacher, tasks, output=output, device=device)
    if isinstance(teacher, type):
        raise ConfigError(
            f"expected a trained teacher, got the class {teacher.__name__}", "make an object of it and train it first"
        )
    if isinstance(teacher, nn.Module):
        return TorchModel(teacher, tasks, output=output, device=device)
    if isinstance(teacher, Estimator):
        return SklearnEstimator(teacher, tasks, classes=classes)
    if callable(teacher):
        return Function(teacher, tasks, output=output)
    raise ConfigError(
        f"expected a teacher that answers: a torch module, a scikit-learn estimator or a callable, got "
        f"{type(teacher).__name__}",
        "wrap it in a function that takes inputs and returns logits or probabilities [N, C]",
    )


class _Bridge:
    """Names the outputs of a model and turns probabilities into logits; `auto` is decided by the first answers."""

    def __init__(self, tasks: Mapping[str, TaskLike], output: str, who: str) -> None:
        self.tasks, self.output, self.who = tasks, output, who
        self.found: dict[str, str] = {}

    def __call__(self, raw: Any) -> Answers:
        outputs = to_outputs(raw, list(self.tasks))
        answers = {}
        for head, task in self.tasks.items():
            values = outputs[head].detach().float()
            check_width(values, task.size, head, self.who)
            if self.kind_of(head, values) == PROBABILITIES:
                values = to_logits(values, task.kind)
            answers[head] = values.cpu().numpy()
        return answers

    def kind_of(self, head: str, values: Tensor) -> str:
        if self.output != AUTO:
            return self.output
        if head not in self.found:
            probable = looks_like_probabilities(values, self.tasks[head].kind)
            self.found[head] = PROBABILITIES if probable else LOGITS
        return self.found[head]

    def describe(self) -> dict[str, Any]:
        found = {head: f"{kind} (auto)" for head, kind in self.found.items()}
        return {"output": self.output if self.output != AUTO or not found else found}


class TorchModel:
    """A torch module, in eval mode and without gradients whenever it answers, and left as it was found."""

    def __init__(
        self, module: nn.Module, tasks: Mapping[str, TaskLike], *, output: str = AUTO, device: str | None = None
    ) -> None:
        self.module = module if device is None else module.to(device)
        self.fingerprint = state_hash(module)
        self._bridge = _Bridge(tasks, output, "the teacher")

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
            inputs = inputs.float() if inputs.dtype == torch.float64 else inputs
        if isinstance(inputs, Tensor):
            inputs = inputs.to(device_of(self.module))
        with answering(self.module):
            return self._bridge(self.module(inputs))


class Function:
    """A callable that gives arrays or tensors: one for one task, a mapping of them for several."""

    def __init__(self, function: Any, tasks: Mapping[str, TaskLike], *, output: str = AUTO) -> None:
        self.function = function
        self.fingerprint = object_hash(function)
        self._bridge = _Bridge(tasks, output, "the teacher")

    def describe(self) -> dict[str, Any]:
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return {"kind": "callable", "name": str(name), **self._bridge.describe()}

    def __call__(self, inputs: Any) -> Answers:
        with torch.no_grad():
            return self._bridge(_tensors(self.function(inputs)))


class SklearnEstimator:
    """A fitted estimator: probabilities, else margins, for classes and labels; predictions for regression.

    Its columns are put in the order of the task's classes. Raises ConfigError where it is not fitted, has other
    classes, or gives decisions only.
    """

    def __init__(self, estimator: Any, tasks: Mapping[str, TaskLike], *, classes: Sequence[Any] | None = None) -> None:
        if len(tasks) != 1:
            raise ConfigError(
                f"expected one estimator for each of the {len(tasks)} tasks ({', '.join(tasks)}), got one in all",
                f"give a mapping: {{{', '.join(repr(head) + ': ...' for head in tasks)}}}",
            )
        refuse_unfitted(estimator)
        self.estimator = estimator
        self.head, self.task = next(iter(tasks.items()))
        self.fingerprint = object_hash(estimator)
        self.gives = self._what_it_gives()
        self.columns = None
        if self.task.kind == "classification":
            self.columns = class_columns(estimator, self.task.names, classes)

    def _what_it_gives(self) -> str:
        if self.task.kind == "regression":
            return "predictions"
        if isinstance(self.estimator, _Probabilities):
            return "probabilities"
        if isinstance(self.estimator, _Margins):
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
        values = getattr(self, f"_{self.gives}")(inputs)
        check_width(values, self.task.size, self.head, f"the estimator {type(self.estimator).__name__}")
        return {self.head: values.float().numpy()}

    def _predictions(self, inputs: Any) -> Tensor:
        values = torch.as_tensor(np.asarray(self.estimator.predict(inputs), dtype=np.float64))
        return values[:, None] if values.dim() == 1 else values

    def _probabilities(self, inputs: Any) -> Tensor:
        raw = self.estimator.predict_proba(inputs)
        if self.task.kind == "multilabel":
            raw = label_columns(raw, self.estimator)
        elif self.columns is not None:
            raw = np.asarray(raw)[:, self.columns]
        return to_logits(torch.as_tensor(np.asarray(raw, dtype=np.float64)), self.task.kind)

    def _margins(self, inputs: Any) -> Tensor:
        margins = torch.as_tensor(np.asarray(self.estimator.decision_function(inputs), dtype=np.float64))
        if self.task.kind == "multilabel":
            return margins[:, None] if margins.dim() == 1 else margins
        if margins.dim() == 1:  # two classes: the margin of the second over the first
            margins = torch.stack([-margins / 2, margins / 2], dim=1)
        return margins if self.columns is None else margins[:, self.columns]


class PerHead:
    """A teacher of its own for every task."""

    def __init__(
        self, teachers: Mapping[str, Any], tasks: Mapping[str, TaskLike], *, output: str, device: str | None
    ) -> None:
        missing = [head for head in tasks if head not in teachers]
        if missing:
            raise ConfigError(
                f"expected a teacher for every task ({', '.join(tasks)}), there is none for {', '.join(missing)}",
                "add them to the mapping of teachers",
            )
        self.parts = {
            head: adapt(teachers[head], {head: task}, output=output, device=device) for head, task in tasks.items()
        }

    @property
    def fingerprint(self) -> str:
        """A hash of all parts."""
        return object_hash({head: part.fingerprint for head, part in self.parts.items()})

    def describe(self) -> dict[str, Any]:
        return {"kind": "one teacher for each task", "teachers": {h: part.describe() for h, part in self.parts.items()}}

    def __call__(self, inputs: Any) -> Answers:
        return {head: np.asarray(part(inputs)[head]) for head, part in self.parts.items()}


def _tensors(raw: Any) -> Any:
    """Arrays and lists as float tensors, whatever they are nested in."""
    if isinstance(raw, Mapping):
        return {name: _tensors(value) for name, value in raw.items()}
    if isinstance(raw, Tensor) or raw is None:
        return raw
    if isinstance(raw, tuple):
        return tuple(_tensors(value) for value in raw)
    try:
        return torch.as_tensor(np.asarray(raw, dtype=np.float32))
    except (TypeError, ValueError):
        return raw
