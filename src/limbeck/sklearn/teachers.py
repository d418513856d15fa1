"""The teacher of an estimator: fitted where it is not, and asked once about the training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.sklearn.rows import ParameterError
from limbeck.stages.several import teacher_of
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork
from limbeck.stages.teachers import GivenTeacher

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.data import Data

MANY = 5_000  # rows from which the boosting that bins its columns is the faster one


def default_teacher(classifies: bool, rows: int) -> Any:
    """A gradient boosting of scikit-learn in its own settings: exact for few rows, on binned columns for many."""
    from sklearn import ensemble

    kind = "Classifier" if classifies else "Regressor"
    return getattr(ensemble, f"{'Hist' if rows > MANY else ''}GradientBoosting{kind}")()


def source_of(teacher: Any) -> GivenTeacher | TaughtEstimator | TaughtNetwork:
    """A teacher in a form that an estimator can use; raises ParameterError for one that only a run can."""
    source = teacher_of(teacher)
    if isinstance(source, GivenTeacher | TaughtEstimator | TaughtNetwork):
        return source
    raise ParameterError(
        f"expected an estimator, a callable or the name of a network as the teacher, got {type(teacher).__name__}",
        "lb.distill takes ensembles, tables of predictions and transfer sets",
    )


def takes_weights(source: GivenTeacher | TaughtEstimator | TaughtNetwork) -> bool:
    """Whether row weights can be told to the teacher; one that is trained already needs none."""
    return not isinstance(source, TaughtEstimator) or weight_name(source.estimator) is not None


def weight_name(estimator: Any) -> str | None:
    """What `fit` of an estimator, or of a pipeline for its last step, calls row weights; None where it has none."""
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(estimator, "steps", None)
    name, last = (f"{steps[-1][0]}__sample_weight", steps[-1][1]) if steps else ("sample_weight", estimator)
    return name if has_fit_parameter(last, "sample_weight") else None


def fitted(estimator: Any, data: Data, labels: Callable[[Any], Any], seed: int) -> Any:
    """A copy of an estimator, fitted on the training rows; random states that nobody has set come of the seed."""
    from sklearn.base import clone

    copy, rows = clone(estimator), data.train
    free = [n for n, v in copy.get_params().items() if v is None and n.split("__")[-1] == "random_state"]
    copy.set_params(**dict.fromkeys(free, seed))
    name = weight_name(copy)
    more = {} if rows.weight is None or name is None else {name: rows.weight.astype(np.float64)}
    return copy.fit(rows.inputs, labels(rows.targets["main"]), **more)


def answers(given: GivenTeacher, data: Data) -> Tensor:
    """What a trained teacher says of the training rows, [N, C] logits or [N, 1] standardised values."""
    import torch

    from limbeck.models.adapters import adapt

    ask = adapt(given.model, data.tasks, output=given.output, classes=given.classes, mapping=given.mapping)
    said = np.asarray(ask(given._prepare(data)(data.train.inputs))["main"])
    task = data.tasks["main"]
    return torch.as_tensor(np.asarray(task.to_training(said) if task.natural else said, dtype=np.float32))
