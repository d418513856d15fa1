"""The temperature that a teacher's confidence asks for.

A teacher that is sure of everything says nothing beyond the label; a temperature that is too high says nothing at all.
`auto_temperature` takes the one, between 1 and 4, at which the teacher's mean entropy on the distillation rows is 0.2
of the largest possible (log C; for several labels log 2 each).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from limbeck.core.errors import ConfigError, MissingSignal
from limbeck.objectives.base import Objective, Sum, Term
from limbeck.objectives.divergences import entropy, raised

Temperature: TypeAlias = float | Literal["auto"]

TARGET_SHARE = 0.2
LOWEST, HIGHEST = 1.0, 4.0


def auto_temperature(
    teacher_logits: Tensor, *, multilabel: bool = False, share: float = TARGET_SHARE
) -> tuple[float, str]:
    """Return (temperature, reason) for a teacher's logits [N, C] (or [N, L] of independent labels)."""
    if teacher_logits.shape[0] == 0 or not bool(torch.isfinite(teacher_logits).all()):
        raise ConfigError(
            "expected finite teacher logits of at least one row to choose a temperature",
            "give the temperature as a number, or check the teacher's answers",
        )
    at_one = entropy_share(teacher_logits, 1.0, multilabel)
    start = f"the teacher's mean entropy is {at_one:.3f} of the largest at temperature 1"
    if at_one >= share:
        return LOWEST, f"{start}, which is soft enough"
    if entropy_share(teacher_logits, HIGHEST, multilabel) <= share:
        return HIGHEST, f"{start}; {HIGHEST:g} is the highest temperature that is chosen by itself"
    low, high = LOWEST, HIGHEST
    for _ in range(12):
        middle = (low + high) / 2
        if entropy_share(teacher_logits, middle, multilabel) < share:
            low = middle
        else:
            high = middle
    value = round(high, 2)
    return (
        value,
        f"{start} and {entropy_share(teacher_logits, value, multilabel):.3f} at {value:g}; {share:g} is aimed at",
    )


def entropy_share(logits: Tensor, temperature: float, multilabel: bool = False) -> float:
    """Mean entropy of softened logits as a share of the largest possible one (0 to 1)."""
    logits = raised(logits.detach())
    if multilabel:
        logits = torch.stack([logits, torch.zeros_like(logits)], dim=-1)
    return float(entropy(logits, temperature).mean()) / math.log(logits.shape[-1])


def resolve_auto(objective: Sum, teacher_outputs: Mapping[str, Tensor]) -> tuple[Sum, list[str]]:
    """Replace every `temperature="auto"` by a number, with one reason for each.

    `teacher_outputs` maps the names of outputs to the teacher's logits on the distillation rows.
    """
    terms, reasons = [], []
    for label, term in zip(objective.labels(), objective.terms, strict=True):
        part = term.objective
        if is_auto(part):
            on = str(getattr(part, "on", ""))
            if on not in teacher_outputs:
                there = ", ".join(f"'{name}'" for name in sorted(teacher_outputs)) or "none"
                raise MissingSignal(
                    f"expected the teacher's output '{on}' to choose a temperature for {label}, there is: {there}",
                    "give the temperature as a number, or name another output with `on`",
                )
            multilabel = part.traits.independent_labels
            value, why = auto_temperature(teacher_outputs[on], multilabel=multilabel)
            part = dataclasses.replace(part, temperature=value)  # type: ignore[call-arg]
            reasons.append(f"{label}: temperature {value:g}, since {why}")
        terms.append(Term(term.weight, part))
    return Sum(tuple(terms)), reasons


def is_auto(objective: Objective) -> bool:
    """Whether an objective has a temperature that is still to be chosen."""
    return any(f.name == "temperature" and getattr(objective, f.name) == "auto" for f in dataclasses.fields(objective))


def known(temperature: Temperature, name: str) -> float:
    """The temperature as a number; raises ConfigError while it is "auto"."""
    if isinstance(temperature, str):
        raise ConfigError(
            f"expected a number as the temperature of {name}, it is still '{temperature}'",
            "resolve_auto(objective, teacher_outputs) chooses it from the teacher's answers before training",
        )
    return temperature
