"""Any trained thing as a function from teacher inputs to named answers.

    answering = adapt(model, tasks)
    answering(inputs)      # {head: float32 [B, C]}: logits, and natural units for regression

A torch module runs in evaluation mode without gradients. A scikit-learn estimator gives the logarithm of its
probabilities, in the order of the task's classes whatever the order of its own. A callable returns an array, a tensor
or a mapping of task to these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding
from limbeck.core.kinds import suggest
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
from limbeck.models.taps import run

_SAME = 1e-4  # two passes that differ by more are not deterministic
_SURE, _UNSURE = 0.002, 0.98  # mean entropy as a share of log C


class Outcome(Protocol):
    """What an adapter must know of a task."""

    @property
    def kind(self) -> str:
        """One of "classification", "multilabel" and "regression"."""
        ...

    @property
    def size(self) -> int:
        """Width of the output."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Classes, labels or targets in the order of the output."""
        ...


Answering: TypeAlias = Callable[[Any], Mapping[str, Tensor]]


def adapt(model: Any, tasks: Mapping[str, Outcome], *, output: str = AUTO) -> Answering:
    """Make a function of a trained module, an estimator or a callable.

    `output` says whether modules and callables give logits or probabilities; auto looks at each answer as a whole.
    Raises ConfigError for what cannot answer, or answers other classes.
    """
    check_output_kind(output)
    if isinstance(model, nn.Module):
        return ModuleAnswers(model, tasks, output)
    if callable(getattr(model, "predict", None)):
        return EstimatorAnswers(model, tasks)
    if callable(model):
        return FunctionAnswers(model, tasks, output)
    raise ConfigError(
        f"expected a teacher that answers, got {type(model).__name__}",
        "give a torch module, a fitted estimator, or a function from rows to answers",
    )


@dataclass(frozen=True)
class ModuleAnswers:
    """A torch module."""

    module: nn.Module
    tasks: Mapping[str, Outcome]
    output: str = AUTO

    @property
    def fingerprint(self) -> str:
        """A hash of weights and buffers."""
        return state_hash(self.module)

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """Answer a batch in evaluation mode."""
        with answering(self.module):
            raw = run(self.module, inputs, (), ()).raw
        return _logits(to_outputs(raw, list(self.tasks)), self.tasks, self.output, "the teacher")


@dataclass(frozen=True)
class FunctionAnswers:
    """A callable on teacher inputs."""

    function: Callable[[Any], Any]
    tasks: Mapping[str, Outcome]
    output: str = AUTO

    @property
    def fingerprint(self) -> str:
        """A hash of the function and what it holds."""
        return object_hash(self.function)

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """Call it and name its answers."""
        raw = self.function(inputs)
        if isinstance(raw, Mapping):
            raw = {name: _tensor(value) for name, value in raw.items()}
        elif isinstance(raw, tuple):
            raw = tuple(_tensor(value) for value in raw)
        else:
            raw = _tensor(raw)
        return _logits(to_outputs(raw, list(self.tasks)), self.tasks, self.output, "the teacher")


@dataclass(frozen=True)
class EstimatorAnswers:
    """A fitted scikit-learn estimator for one task."""

    estimator: Any
    tasks: Mapping[str, Outcome]

    def __post_init__(self) -> None:
        if len(self.tasks) != 1:
            raise ConfigError(
                f"expected one task for an estimator, got {', '.join(self.tasks)}",
                "give a callable that returns {task: answers}",
            )
        _refuse_unfitted(self.estimator)
        if self.task.kind == "classification":
            self._order()

    @property
    def head(self) -> str:
        """The name of the task."""
        return next(iter(self.tasks))

    @property
    def task(self) -> Outcome:
        """The task."""
        return self.tasks[self.head]

    @property
    def fingerprint(self) -> str:
        """A hash of settings and fitted arrays."""
        return object_hash(self.estimator)

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """Probabilities as logits, or values, in the task's order."""
        kind = self.task.kind
        if kind == "regression":
            values = _tensor(self.estimator.predict(inputs))
            return {self.head: values[:, None] if values.dim() == 1 else values}
        if kind == "multilabel":
            return {self.head: to_logits(self._label_probabilities(inputs), kind)}
        order = self._order()
        if callable(getattr(self.estimator, "predict_proba", None)):
            given = _tensor(self.estimator.predict_proba(inputs))
            whole = torch.zeros(len(given), self.task.size)
            whole[:, order] = given
            return {self.head: to_logits(whole, kind)}
        scores = _tensor(self.estimator.decision_function(inputs))
        scores = torch.stack([-scores / 2, scores / 2], dim=1) if scores.dim() == 1 else scores
        return {self.head: scores[:, np.argsort(order)]}

    def _label_probabilities(self, inputs: Any) -> Tensor:
        given = self.estimator.predict_proba(inputs)
        if isinstance(given, list):  # one array [B, 2] for each label
            return torch.stack([_tensor(part)[:, -1] for part in given], dim=1)
        return _tensor(given)

    def _order(self) -> list[int]:
        """The place of each of its classes in the task; raises ConfigError for other classes."""
        if not any(callable(getattr(self.estimator, name, None)) for name in ("predict_proba", "decision_function")):
            raise ConfigError(
                f"expected an estimator with predict_proba or decision_function, {type(self.estimator).__name__} has "
                "neither",
                "hard decisions carry little; fit it with probability=True, or wrap it with CalibratedClassifierCV",
            )
        names = [str(name) for name in self.task.names]
        own = [_text(name) for name in self.estimator.classes_]
        by_id = not set(own) & set(names) and all(n.isdigit() and int(n) < len(names) for n in own)
        if by_id:  # it was fitted on class ids
            return [int(name) for name in own]
        strange = [name for name in own if name not in names]
        if strange:
            raise ConfigError(
                f"expected a teacher for the classes {', '.join(names[:8])}, it knows '{strange[0]}'"
                + (f" and {len(strange) - 1} more that are not among them" if len(strange) > 1 else ""),
                suggest(strange[0], names) or "fit it on the same labels",
            )
        if not callable(getattr(self.estimator, "predict_proba", None)) and len(own) < len(names):
            raise ConfigError(
                f"expected scores for {len(names)} classes, the teacher knows {len(own)} and gives no probabilities",
                "fit it on all classes, or use an estimator with predict_proba",
            )
        return [names.index(name) for name in own]


def _text(value: Any) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)


def _tensor(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().float().cpu()
    try:
        return torch.from_numpy(np.array(values, dtype=np.float32))
    except (TypeError, ValueError) as e:
        raise ConfigError(
            f"expected the teacher to return numbers, got {type(values).__name__}",
            "return logits or probabilities [B, C], values [B, K], or a mapping of task to these",
        ) from e


def _refuse_unfitted(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as e:
        raise ConfigError(
            f"expected a trained teacher, {type(estimator).__name__} is not fitted", "fit it first, or use lb.teach"
        ) from e
    except TypeError:  # no scikit-learn estimator, but it predicts
        return


def _logits(outputs: Mapping[str, Any], tasks: Mapping[str, Outcome], output: str, who: str) -> dict[str, Tensor]:
    found = {}
    for head, task in tasks.items():
        values = outputs[head].float()
        check_width(values, task.size, head, who)
        probable = output == PROBABILITIES or (output != LOGITS and looks_like_probabilities(values, task.kind))
        found[head] = to_logits(values, task.kind) if probable else values
    return found


def probe(answers: Answering, inputs: Any, tasks: Mapping[str, Outcome]) -> Iterator[Finding]:
    """Look at a teacher on a few rows: whether it repeats itself, and whether its answers carry anything."""
    first, second = answers(inputs), answers(inputs)
    for head, task in tasks.items():
        spread = float((first[head] - second[head]).abs().max()) if len(first[head]) else 0.0
        if spread > _SAME:
            yield Finding(
                "LB204", "issue", "the teacher does not repeat itself",
                f"two passes over the same {len(first[head])} rows differ by up to {spread:.3g}",
                "dropout or batch statistics are live, or it draws at random: its stored answers are one draw of many",
                "put it in evaluation mode (model.eval()), or average several draws in a callable",
                {"spread": spread, "task": head},
            )  # fmt: skip
        if task.kind == "classification" and task.size > 1:
            yield from _sureness(first[head], task.size)


def _sureness(logits: Tensor, size: int) -> Iterator[Finding]:
    p = logits.softmax(-1)
    share = float(-(p * p.clamp_min(1e-12).log()).sum(-1).mean()) / float(np.log(size))
    if share < _SURE or share > _UNSURE:
        what = "almost one-hot" if share < _SURE else "almost uniform"
        yield Finding(
            "LB207", "tip", f"the teacher's answers are {what}",
            f"their mean entropy is {100 * share:.2g} % of the largest possible one",
            "such answers say hardly more than a label" if share < _SURE else "such answers say hardly anything",
            "use temperature=auto, or a teacher that was trained less long or calibrated"
            if share < _SURE else "look at the teacher's training, inputs and output kind",
            {"entropy_share": share},
        )  # fmt: skip
