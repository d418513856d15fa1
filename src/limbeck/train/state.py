"""What changes while training, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from limbeck.train import checkpoint
from limbeck.train.ranks import Ranks


@dataclass
class State:
    """Where a training stands, beside weights, optimiser and random streams."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = -1
    best_score: float | None = None
    waited: int = 0  # validations since the best one
    skipped: int = 0
    loss_sum: float = 0.0  # since the last log point
    loss_count: int = 0
    seconds: float = 0.0
    stopped: bool = False


def copied(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a module."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def pack(
    state: State, learner: nn.Module, best: Mapping[str, Tensor] | None, optimizer: torch.optim.Optimizer, ranks: Ranks
) -> checkpoint.Snapshot:
    """Everything as tensors and plain values; random streams of all ranks (all must call)."""
    tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
    moments, other = checkpoint.optimizer_tensors(optimizer)
    tensors |= {f"optimizer.{name}": value for name, value in moments.items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    streams, positions = checkpoint.random_state()
    for name, value in streams.items():
        for rank, part in enumerate(ranks.gather(value)):
            tensors[f"random{rank}.{name}"] = part
    values = {"state": dataclasses.asdict(state), "optimizer": other, "random": positions}
    return checkpoint.Snapshot(state.step, tensors, values)


def unpack(
    found: checkpoint.Snapshot, learner: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks
) -> tuple[State, dict[str, Tensor] | None]:
    """Put everything back where it came from; the state and the best weights."""
    learner.load_state_dict(_under(found.tensors, "learner."))
    checkpoint.restore_optimizer(optimizer, _under(found.tensors, "optimizer."), found.values["optimizer"])
    checkpoint.restore_random(_under(found.tensors, f"random{ranks.rank}."), found.values["random"])
    return State(**found.values["state"]), _under(found.tensors, "best.") or None


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
