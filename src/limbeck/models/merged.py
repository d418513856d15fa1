"""A teacher with other classes than its student: a mapping says which of its classes are which of the task's.

Chances of classes that mean one class of the task are added; a class of the teacher that means none is left out, and
the others share its chance. Classes of the task that no class of the teacher means are unknown to it: losses compare
the others only (`KD.among`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest
from limbeck.models.estimators import IMPOSSIBLE, class_name


@dataclass(frozen=True)
class MergedColumns:
    """For every class of a task the columns of a model that mean it; `missing` are the classes that none means."""

    groups: tuple[tuple[int, ...], ...]
    width: int
    missing: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """The first column of every class, -1 where none means it."""
        return tuple(group[0] if group else -1 for group in self.groups)

    @property
    def known(self) -> tuple[int, ...]:
        """The ids of the task's classes that the model knows."""
        return tuple(number for number, group in enumerate(self.groups) if group)

    def order(self, logits: Tensor) -> Tensor:
        """Logits [N, width] as logits [N, C] of the task's classes; one that the model does not know is impossible."""
        logs = logits.log_softmax(dim=-1)
        merged = {n: logs[:, list(self.groups[n])].logsumexp(dim=-1) for n in self.known}
        nothing = torch.stack(list(merged.values())).amax(dim=0) - IMPOSSIBLE
        return torch.stack([merged.get(n, nothing) for n in range(len(self.groups))], dim=1)


def merged_columns(
    own: Sequence[Any] | None, mapping: Mapping[Any, Any], names: Sequence[str], who: str
) -> MergedColumns:
    """Columns for a model whose classes in the order of its outputs are `own`; `mapping` is own class -> class or None.

    A class that is not in the mapping keeps its name. Raises ConfigError with everything that does not fit.
    """
    if own is None:
        raise ConfigError(
            f"expected the classes of {who} in the order of its outputs beside a mapping of them, got none",
            "name them: lb.Teacher(model, classes=[...], mapping={...})",
        )
    theirs = [class_name(value) for value in own]
    told = {class_name(mine): None if said is None else class_name(said) for mine, said in mapping.items()}
    problems = [
        Problem(f"mapping.{name}", f"{who} has no such class", suggest(name, theirs))
        for name in told
        if name not in theirs
    ]
    groups: dict[str, list[int]] = {name: [] for name in names}
    for column, name in enumerate(theirs):
        wanted = told.get(name, name)
        if wanted is None:
            continue
        if wanted not in groups:
            todo = suggest(wanted, names) or f"map it to one of {', '.join(names)}, or to null (None) to leave it out"
            problems.append(Problem(f"mapping.{name}", f"the task has no class '{wanted}'", todo))
            continue
        groups[wanted].append(column)
    if len(set(theirs)) < len(theirs):
        problems.append(Problem("classes", f"{who} names some classes twice", "name each of its outputs once"))
    if not problems and sum(bool(group) for group in groups.values()) < 2:
        problems.append(Problem("mapping", "fewer than two classes of the task are known to the teacher"))
    if problems:
        raise ConfigError.of(problems, "the classes of the teacher")
    missing = tuple(name for name, group in groups.items() if not group)
    return MergedColumns(tuple(tuple(group) for group in groups.values()), len(theirs), missing)
