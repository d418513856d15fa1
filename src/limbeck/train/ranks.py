"""Several processes as one: sums over ranks, and batches gathered from all ranks with their gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from limbeck.core.parts import Parts
from limbeck.signals import Batch, Projected, Sampled, Signals, TopK

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those of one training; one of one where torch.distributed is not in use."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Ask torch.distributed."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def several(self) -> bool:
        """Whether there are other ranks."""
        return self.size > 1

    @property
    def first(self) -> bool:
        """Whether this rank writes files and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add a tensor over all ranks, in place."""
        if self.several:
            dist.all_reduce(values)
        return values

    def gather(self, value: Tensor) -> list[Tensor]:
        """A tensor of the same shape from every rank, in the order of the ranks."""
        if not self.several:
            return [value]
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value.contiguous())
        return parts

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.several:
            dist.barrier()


class _GatherRows(torch.autograd.Function):
    """Concatenate the rows of all ranks; the gradient of every rank's loss flows back to the rank of the row."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.rows = ranks, len(value)
        return torch.cat(ranks.gather(value))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = ctx.ranks.sum(grads[0].contiguous().clone())
        start = ctx.ranks.rank * ctx.rows
        return total[start : start + ctx.rows], None


def gather_signals(signals: Signals, ranks: Ranks) -> Signals:
    """The signals of the whole batch of all ranks; every rank needs the same number of rows."""
    return Signals(
        {name: _gather(output, ranks) for name, output in signals.outputs.items()},
        {name: _gather(tap, ranks) for name, tap in signals.taps.items()},
        {name: _gather(weights, ranks) for name, weights in signals.attention.items()},
        _gather(signals.mask, ranks),
        {name: _gather(mask, ranks) for name, mask in signals.masks.items()},
    )


def gather_batch(batch: Batch, ranks: Ranks) -> Batch:
    """Keys, views, targets, masks and weights of all ranks; model inputs stay behind."""
    return Batch(
        keys=_gather(batch.keys, ranks),
        views=_gather(batch.views, ranks),
        targets={name: _gather(values, ranks) for name, values in batch.targets.items()},
        label_mask={name: _gather(values, ranks) for name, values in batch.label_mask.items()},
        weight=_gather(batch.weight, ranks),
    )


def _gather(value: Any, ranks: Ranks) -> Any:
    """Gather the tensors in a form of output; the head of projected states is the same on every rank."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.dtype == torch.bool:
            return torch.cat(ranks.gather(value.to(torch.uint8))).bool()
        if value.requires_grad:
            return _GatherRows.apply(value, ranks)  # type: ignore[no-untyped-call]
        return torch.cat(ranks.gather(value))
    if isinstance(value, np.ndarray):
        signed = torch.from_numpy(np.ascontiguousarray(value).view(np.int64))
        return torch.cat(ranks.gather(signed)).numpy().view(value.dtype)
    if isinstance(value, Projected):
        return dataclasses.replace(value, hidden=_gather(value.hidden, ranks))
    if isinstance(value, TopK | Sampled):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _gather(v, ranks) for k, v in fields.items() if k != "size"})
    return dataclasses.replace(value, ids=_gather(value.ids, ranks), mask=_gather(value.mask, ranks))


def to_device(value: T, device: torch.device) -> T:
    """Move the tensors in signals, a batch, a mapping or a tensor to a device."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to(device, non_blocking=True)
    elif isinstance(value, Parts):
        moved = value.map(lambda _, part: to_device(part, device))
    elif isinstance(value, Mapping):
        moved = {key: to_device(entry, device) for key, entry in value.items()}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: to_device(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        moved = dataclasses.replace(value, **changed)
    return moved  # type: ignore[no-any-return]
