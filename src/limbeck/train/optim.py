"""Optimisers and learning-rate schedules. A schedule is a function of the step, so it has no state to lose."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from limbeck.train.plan import TrainSpec

_FUSED_DEVICES = ("cpu", "cuda")
_ONECYCLE_START, _ONECYCLE_END = 1 / 25, 1e-4  # of the highest rate
_ONECYCLE_RISE = 0.3


def optimizer_of(module: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """The optimiser over the trainable parameters of a module; weight decay on matrices only.

    The fused kernels are used where there is one: the same formula, fewer passes over memory.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    decays = spec.weight_decay > 0  # one group where it makes no difference: one kernel call less
    matrices = [p for p in parameters if p.dim() >= 2 or not decays]
    vectors = [p for p in parameters if p.dim() < 2 and decays]
    groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    rate = spec.rate()
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    if spec.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=fused)
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, fused=fused)
    return torch.optim.RAdam(groups, lr=rate)


def schedule_of(spec: TrainSpec, steps: int) -> Callable[[int], float]:
    """The learning rate of every step (0 to steps - 1)."""
    peak = spec.rate()
    if spec.schedule == "onecycle":
        rising = max(round(max(spec.warmup, _ONECYCLE_RISE) * steps), 1)
        return lambda step: peak * _onecycle(step, rising, steps)
    warm = min(round(spec.warmup * steps), steps - 1)
    shape = _SHAPES[spec.schedule]

    def rate(step: int) -> float:
        if step < warm:
            return peak * (step + 1) / (warm + 1)
        return peak * shape((step - warm) / max(steps - warm, 1))

    return rate


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _steps(progress: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


_SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "linear": lambda progress: 1.0 - progress,
    "step": _steps,
    "constant": lambda progress: 1.0,
}


def _onecycle(step: int, rising: int, steps: int) -> float:
    between = partial(_between, shape=_cosine)
    if step < rising:
        return between(_ONECYCLE_START, 1.0, step / rising)
    return between(1.0, _ONECYCLE_END, (step - rising) / max(steps - rising, 1))


def _between(start: float, end: float, progress: float, shape: Callable[[float], float]) -> float:
    return end + (start - end) * shape(progress)
