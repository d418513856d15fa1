"""What scikit-learn estimators call their classes, put in the order of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from limbeck.core.errors import ConfigError

Array: TypeAlias = "np.ndarray[Any, Any]"
_SHOWN = 8
IMPOSSIBLE = 16.1  # below the likeliest class: a probability of 1e-7, the least that answers say


def refuse_unfitted(estimator: Any) -> None:
    """Refuse an estimator that was not fitted; raises ConfigError."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise ConfigError(
            f"expected a trained teacher, this {type(estimator).__name__} has not been fitted",
            "call its fit(X, y) on the training rows first",
        ) from None
    except (TypeError, AttributeError):  # an estimator of another library, which check_is_fitted does not know
        return


@dataclass(frozen=True)
class ClassColumns:
    """For every class of a task the column of a model that speaks of it, -1 where none does; `missing` are those."""

    places: tuple[int, ...]
    width: int
    missing: tuple[str, ...] = ()

    def order(self, logits: Tensor) -> Tensor:
        """Logits [N, width] as [N, C] in the task's order; a class that the model does not know is impossible."""
        if self.places == tuple(range(self.width)):
            return logits
        ordered = logits[:, [max(place, 0) for place in self.places]]
        absent = [n for n, place in enumerate(self.places) if place < 0]
        if absent:
            ordered[:, absent] = logits.max(dim=1, keepdim=True).values - IMPOSSIBLE
        return ordered


def class_columns(own: Sequence[Any], names: Sequence[str], who: str) -> ClassColumns:
    """Find every class of the task among a model's own, which may lack some.

    Integers are class ids where the task's classes are no numbers. Raises ConfigError where the model knows a class
    that the task does not, names one twice, or shares none with it.
    """
    theirs = [class_name(value) for value in own]
    wanted = list(names)
    if _ids(theirs) and not _ids(wanted) and set(theirs) <= {str(n) for n in range(len(wanted))}:
        wanted = [str(n) for n in range(len(wanted))]
    strange = [name for name in theirs if name not in wanted]
    missing = [name for name, text in zip(names, wanted, strict=True) if text not in theirs]
    if strange or len(set(theirs)) < len(theirs) or len(missing) == len(wanted):
        words = [f"it knows {_list(strange)} beside them"] if strange else []
        words += [f"it does not know {_list(missing)}"] if missing else []
        words += ["it names some twice"] if not words else []
        raise ConfigError(
            f"expected {who} to know the classes {_list(wanted)}; {' and '.join(words)}",
            "train it on the same labels, or name its columns in order: lb.Teacher(model, classes=[...])",
        )
    places = tuple(theirs.index(text) if text in theirs else -1 for text in wanted)
    return ClassColumns(places, len(theirs), tuple(missing))


def label_columns(raw: Any, estimator: Any, size: int) -> Array:
    """Probabilities [N, L] that each label is there, from one array or from a list with one array [N, 2] a label.

    Raises ConfigError for labels of other values than 0 and 1.
    """
    classes = getattr(estimator, "classes_", None)
    if not isinstance(raw, list | tuple):
        values = np.asarray(raw)
        alone = (
            size == 1 and values.ndim == 2 and values.shape[1] <= 2 and classes is not None and np.ndim(classes) == 1
        )
        return _present(values, classes)[:, None] if alone else values
    if classes is None or len(classes) != len(raw):
        classes = [None] * len(raw)
    return np.stack([_present(np.asarray(part), own) for part, own in zip(raw, classes, strict=True)], axis=1)


def _present(values: Array, classes: Any) -> Array:
    """The column of "this label is there"; zeros for a label that never was."""
    own = [class_name(value) for value in classes] if classes is not None else ["0", "1"][: values.shape[1]]
    if set(own) - {"0", "1", "False", "True"}:
        raise ConfigError(
            f"expected an estimator whose labels are 0 and 1, it knows {_list(own)}",
            "train it on columns of 0 and 1, one for each label",
        )
    there = [n for n, name in enumerate(own) if name in ("1", "True")]
    return np.asarray(values[:, there[0]]) if there else np.zeros(len(values))


def refuse_pairwise(estimator: Any, classes: int) -> None:
    """Refuse margins between pairs of classes, which are no scores of classes; raises ConfigError."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    if classes > 2 and getattr(last, "decision_function_shape", None) == "ovo":
        raise ConfigError(
            f"expected a score for each class from {type(last).__name__}, it gives margins between pairs of classes",
            "set decision_function_shape='ovr', or probability=True",
        )


def class_name(value: Any) -> str:
    """The name of a class: whole numbers without a point, everything else as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _ids(names: Sequence[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
