"""Losses that are not finite: what is skipped, what is said, and when training stops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.signals import Batch, Signals, TeacherSource, TopK
from limbeck.train.feed import Array
from limbeck.train.steps import Learner, Part

_NAMED = 5


def describe_fault(
    learner: Learner,
    step: int,
    parts: Sequence[Part],
    batch: Batch,
    teacher: Signals | None,
    rows: Array,
) -> str:
    """Say which step, term and rows made a loss that is not finite."""
    bad = [
        label
        for label, (total, _) in zip(learner.labels, parts, strict=True)
        if not math.isfinite(float(total.detach()))
    ]
    text = f"the loss is not finite at step {step}"
    if bad:
        text += f" in {', '.join(bad)}"
    for who, values in _suspects(batch, teacher):
        wrong = _wrong_rows(values, rows)
        if wrong:
            return f"{text}: {who} not finite for training rows {_shown(wrong)}"
    if not weights_finite(learner):
        return f"{text}: the weights are not finite any more"
    with torch.no_grad():
        said = learner.signals(batch)
    for name, output in said.outputs.items():
        if isinstance(output, Tensor) and (wrong := _wrong_rows(output, rows)):
            return f"{text}: the student's output '{name}' is not finite for training rows {_shown(wrong)}"
    return text


def weights_finite(module: nn.Module) -> bool:
    """Whether all parameters and buffers are finite."""
    tensors = [*module.parameters(), *module.buffers()]
    return all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())


def diverged(fault: str, skipped: int, learner: Learner, precision: str) -> LimbeckError:
    """The error that ends a training, with what to do."""
    todo = "lower train.learning_rate, or set train.clip: 1.0"
    if "training rows" in fault and "student" not in fault:
        todo = "look at these rows: remove them, or repair their targets or the teacher's answers"
    if precision == "bf16":
        todo += "; or use train.precision: fp32"
    count = f"{skipped} step{'s' if skipped != 1 else ''} skipped"
    state = "" if weights_finite(learner) else ", and the weights or the statistics of a norm are not finite any more"
    return LimbeckError(f"expected a finite loss, but {fault} ({count}{state})", todo)


def refuse_shared(learner: Learner, modules: Sequence[nn.Module]) -> None:
    """Refuse a student that shares weights with its teacher (LB208); raises ConfigError."""
    mine = {p.data_ptr() for p in learner.student.parameters() if p.numel()}
    for module in modules:
        shared = [name for name, p in module.named_parameters() if p.numel() and p.data_ptr() in mine]
        if shared:
            raise ConfigError(
                f"expected student and teacher to have weights of their own, they share {shared[0]}"
                + (f" and {len(shared) - 1} more" if len(shared) > 1 else ""),
                "give the student a copy (copy.deepcopy), or a network of its own (LB208)",
            )


def teacher_modules(source: TeacherSource | None) -> list[nn.Module]:
    """The torch modules that answer live behind a source."""
    from limbeck.transfer.source import Ensemble, Live

    if isinstance(source, Live):
        return [source.model] if isinstance(source.model, nn.Module) else []
    if isinstance(source, Ensemble):
        return [module for part in source.sources for module in teacher_modules(part)]
    return []


def _suspects(batch: Batch, teacher: Signals | None) -> list[tuple[str, Tensor]]:
    found = [(f"the target '{name}' is", values) for name, values in batch.targets.items()]
    if batch.weight is not None:
        found.append(("the weight is", batch.weight))
    if isinstance(batch.student_inputs, Tensor):
        found.insert(0, ("the input is", batch.student_inputs))
    elif isinstance(batch.student_inputs, Mapping):
        found = [(f"the input '{name}' is", part) for name, part in batch.student_inputs.items()] + found
    for name, output in teacher.outputs.items() if teacher is not None else ():
        values = output.logprobs if isinstance(output, TopK) else output
        if isinstance(values, Tensor):
            found.append((f"the teacher's answer '{name}' is", values))
    return found


def _wrong_rows(values: Tensor, rows: Array) -> list[int]:
    if not values.is_floating_point() or len(values) != len(rows):
        return []
    wrong = ~torch.isfinite(values.detach().reshape(len(values), -1)).all(1)
    return [int(rows[place]) for place in torch.nonzero(wrong).flatten().tolist()]


def _shown(rows: Sequence[int]) -> str:
    return ", ".join(str(row) for row in rows[:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
