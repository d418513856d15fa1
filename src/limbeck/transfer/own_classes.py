"""The classes of a table of predictions, where they are other than the task's, and its columns in the task's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError
from limbeck.transfer.codecs import Array
from limbeck.transfer.manifest import Head

if TYPE_CHECKING:
    import pandas as pd

    from limbeck.models.estimators import ClassColumns
    from limbeck.models.merged import MergedColumns


@dataclass(frozen=True)
class OwnClasses:
    """`head` is the task as the table knows it, by its own classes; `columns` say which of them mean the task's."""

    head: Head
    columns: ClassColumns | MergedColumns

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame | None,
        heads: Mapping[str, Any],
        others: set[str],
        classes: Sequence[Any] | None,
        mapping: Mapping[Any, Any] | None,
    ) -> OwnClasses | None:
        """What `classes` and `mapping` say about a table, None where neither is given.

        Without `classes` they are the columns of the table beside `others`; it is looked at for nothing else. Raises
        ConfigError for tasks that are not one of classification, and for classes that do not fit.
        """
        from limbeck.data.tasks import Classification
        from limbeck.models.adapters import columns_of
        from limbeck.models.estimators import class_name

        if classes is None and mapping is None:
            return None
        name = next(iter(heads))
        one = len(heads) == 1 and heads[name].form == "classification"
        if classes is None and one and frame is not None:
            classes = _named(frame, name, others)
        columns = columns_of(None, heads, classes, mapping)
        assert columns is not None and classes is not None
        return cls(Classification(tuple(class_name(value) for value in classes)), columns)

    def order(self, logits: Array) -> Array:
        """Logits float32 [N, width] of the table's classes as [N, C] of the task's."""
        import torch

        ordered: Array = self.columns.order(torch.from_numpy(logits)).numpy()
        return ordered

    @property
    def told(self) -> str:
        """What an identity must say of the mapping."""
        return repr((self.head.names, getattr(self.columns, "groups", self.columns.places), self.columns.missing))


def _named(frame: pd.DataFrame, name: str, others: set[str]) -> list[str]:
    if name in frame.columns and frame[name].dtype == object:
        raise ConfigError(
            f"expected the classes of the lists in the column '{name}', in their order, beside a mapping of them, got "
            "none",
            "name them: lb.Predictions(table, classes=[...], mapping={...}), teacher.classes in a recipe",
        )
    prefix = f"{name}."
    dotted = [str(column)[len(prefix) :] for column in frame.columns if str(column).startswith(prefix)]
    return dotted or [str(column) for column in frame.columns if str(column) not in others]
