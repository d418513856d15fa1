"""What scikit-learn estimators call their classes, put in the order of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError

_SHOWN = 8


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
    except TypeError:  # an estimator of another library, which check_is_fitted does not know
        return


def class_columns(estimator: Any, names: Sequence[str], given: Sequence[Any] | None = None) -> list[int]:
    """For every class of the task the column of the estimator that speaks of it.

    `given` names the columns where the estimator's own names mean something else. Integers are class ids where the
    task's classes are no numbers. Raises ConfigError where the classes are not the same.
    """
    own = given if given is not None else getattr(estimator, "classes_", None)
    if own is None:
        return list(range(len(names)))
    theirs = [class_name(value) for value in own]
    wanted = list(names)
    if _ids(theirs) and not _ids(wanted) and set(theirs) == {str(n) for n in range(len(wanted))}:
        wanted = [str(n) for n in range(len(wanted))]
    if sorted(theirs) != sorted(wanted):
        strange = [name for name in theirs if name not in wanted]
        missing = [name for name in wanted if name not in theirs]
        words = [f"it knows {_list(strange)} beside them"] if strange else []
        words += [f"it does not know {_list(missing)}"] if missing else []
        raise ConfigError(
            f"expected an estimator for the classes {_list(wanted)}; {' and '.join(words)}",
            "train it on the same labels, or name its columns in order with classes=[...]",
        )
    return [theirs.index(name) for name in wanted]


def label_columns(raw: Any, estimator: Any) -> np.ndarray:
    """Probabilities [N, L] that each label is there, from one array or from a list with one array [N, 2] a label."""
    if not isinstance(raw, list | tuple):
        return np.asarray(raw)
    classes = getattr(estimator, "classes_", None)
    columns = []
    for number, part in enumerate(raw):
        values = np.asarray(part)
        own = [class_name(value) for value in classes[number]] if classes is not None else ["0", "1"][: values.shape[1]]
        present = [n for n, name in enumerate(own) if name in ("1", "True")]
        columns.append(values[:, present[0]] if present else np.zeros(len(values)))  # a label that was never there
    return np.stack(columns, axis=1)


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
