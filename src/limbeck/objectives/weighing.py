"""How per-row losses become a sum and a count: row weights, masks of positions, rows without a label.

Two rules hold everywhere. What is masked or unlabelled contributes exactly nothing to value and gradient, NaN and
infinity included; therefore inputs are blanked before a formula sees them, and losses after it. And the count
follows from the teacher's signals and the batch alone, so that it is known before the student has run.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from limbeck.core.errors import MissingSignal, ShapeMismatch
from limbeck.signals import MAIN, Batch, Output, Projected, Sampled, Signals, Text, TopK


def total_weight(batch: Batch, mask: Tensor | None = None) -> Tensor:
    """Total weight of the rows of a batch, or of its valid positions where there is a mask [B, T] (scalar)."""
    if mask is None:
        if batch.weight is not None:
            return batch.weight.sum()
        return _rows(len(batch))
    return _weights(mask, batch).sum()


@lru_cache(maxsize=64)
def _rows(count: int) -> Tensor:
    """A number of rows as a scalar; batches of one size share it, so nobody may write to it."""
    return torch.tensor(float(count))


def labelled_weight(batch: Batch, on: str = MAIN) -> Tensor:
    """Total weight of the rows (or positions) that carry a label for one task (scalar)."""
    return total_weight(batch, _any_entry(batch.label_mask.get(on), batch.targets.get(on)))


def weigh(losses: Tensor, batch: Batch, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum per-row losses [B] or per-position losses [B, T] under the row weights and the mask.

    `mask` has the shape of the losses and is True where they count. Without one every position of every row counts.
    """
    if mask is None and losses.dim() == 2:
        mask = torch.ones_like(losses, dtype=torch.bool)
    return weighted_sum(losses, batch, mask), total_weight(batch, mask)


def weighted_sum(losses: Tensor, batch: Batch, mask: Tensor | None = None) -> Tensor:
    """The sum of `weigh` alone, for losses that count in a way of their own."""
    if mask is not None:
        losses = torch.where(mask, losses, torch.zeros_like(losses))
    if batch.weight is not None:
        weight = batch.weight.to(losses.dtype)
        losses = losses * (weight if losses.dim() == 1 else weight[:, None])
    return losses.sum()


def mean_of(total: Tensor, count: Tensor) -> Tensor:
    """The mean that a sum and its count make; 0 where nothing counted."""
    return total / torch.where(count > 0, count, torch.ones_like(count))


def masked_mean(losses: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over rows or valid positions, for the pure functions; 0 where everything is masked."""
    if mask is None:
        return losses.mean()
    kept = torch.where(mask, losses, torch.zeros_like(losses)).sum()
    return kept / mask.sum().clamp(min=1)


def blank(values: Tensor, mask: Tensor | None) -> Tensor:
    """Replace what is masked by zeros; `mask` has the leading shape of the values."""
    if mask is None:
        return values
    shaped = mask.reshape(mask.shape + (1,) * (values.dim() - mask.dim()))
    return torch.where(shaped, values, torch.zeros_like(values))


def row_weights(batch: Batch, like: Tensor, mask: Tensor | None = None) -> Tensor:
    """The weight of every row [B], or of every position [B, T] where there is a mask, in the dtype of `like`."""
    if mask is not None:
        return _weights(mask, batch).to(like.dtype)
    if batch.weight is not None:
        return batch.weight.to(like.dtype)
    return torch.ones(len(batch), dtype=like.dtype, device=like.device)


def positions(output: Output, mask: Tensor | None) -> Tensor | None:
    """The mask [B, T] of an output or tap with positions [B, T, ...]; None where it has one entry a row."""
    shape = shape_of(output)
    if len(shape) != 3:
        return None
    if mask is None:
        return torch.ones(shape[:2], dtype=torch.bool, device=_device_of(output))
    if tuple(mask.shape) != shape[:2]:
        raise ShapeMismatch(
            f"expected a mask of shape {shape[:2]} for an output of shape {shape}, got {tuple(mask.shape)}",
            "the mask has one entry for every position of the output, True where it is real",
        )
    return mask


def fit_positions(values: Tensor, width: int) -> Tensor:
    """Values [B, T, ...] with `width` positions: cut off behind, or padded with zeros."""
    missing = width - values.shape[1]
    if missing <= 0:
        return values[:, :width]
    return torch.nn.functional.pad(values, (*[0] * (2 * (values.dim() - 2)), 0, missing))


def valid_mask(student: Signals, teacher: Signals, output: Output, on: str | None = None) -> Tensor | None:
    """The mask under which two models are compared: the teacher's, since it is known before the student has run.

    `on` names what is compared where it is an output, which may have positions of its own.
    """
    mine, theirs = (side.mask if on is None else side.mask_of(on) for side in (student, teacher))
    if theirs is None and mine is not None and len(shape_of(output)) == 3:
        raise MissingSignal(
            "expected the teacher's signals to carry the mask of valid positions that the student's carry, got none",
            "give both models the same mask [B, T], True where a position is real",
        )
    return positions(output, theirs)


def shape_of(output: Output) -> tuple[int, ...]:
    """Shape of the dense output that a form stands for."""
    if isinstance(output, TopK | Sampled):
        return (*output.ids.shape[:-1], output.size)
    if isinstance(output, Projected):
        return (*output.hidden.shape[:-1], output.weight.shape[0])
    if isinstance(output, Text):
        return tuple(output.ids.shape)
    return tuple(output.shape)


def labels_of(
    batch: Batch, on: str, shape: tuple[int, ...], width: int = 0, *, entries: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The targets of one task and the mask of what is labelled; targets without a label become 0.

    `shape` is the shape that the targets must have, the last `width` dimensions belong to one row (0 for class ids, 1
    for several labels or values). `entries` says that the loss leaves out the values that `entry_mask` does not have.
    Raises MissingSignal where the batch has no such task, or hides single values from a loss that looks at all of them.
    """
    target, mask = _target(batch, on), label_mask(batch, on, width)
    if mask is not None and target.dim() - width == 2 and len(shape) - width == 2:
        target, mask = _as_long(target, mask, shape[1])
    known = batch.label_mask.get(on)
    if known is not None and _by_entry(known, target):
        if not entries:
            raise MissingSignal(
                f"expected a loss that leaves out the values of '{on}' that a row does not know, got one that looks at "
                "all of them",
                "pass entries=True to labels_of, and blank and mean over what entry_mask has (see MSE); or give rows "
                "that know every target",
            )
        target = blank(target, known)
    if tuple(target.shape) != tuple(shape):
        raise ShapeMismatch(
            f"expected labels of shape {tuple(shape)} for the output '{on}', got {tuple(target.shape)}",
            "check that the task of the data is the task that the objective trains",
        )
    return blank(target, mask), mask


def _as_long(target: Tensor, mask: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Targets and mask [B, T, ...] without the positions beyond those of a batch that was cut to its longest row.

    They stay as they are where one of these positions is labelled.
    """
    if target.shape[1] <= positions or bool(mask[:, positions:].any()):
        return target, mask
    return target[:, :positions], mask[:, :positions]


def label_mask(batch: Batch, on: str, width: int = 0) -> Tensor | None:
    """What is labelled for one task: [B], [B, T], or None where every row is."""
    target = _target(batch, on)
    mask = _any_entry(batch.label_mask.get(on), target)
    if mask is None and target.dim() - width == 2:
        return torch.ones(target.shape[:2], dtype=torch.bool, device=target.device)
    return mask


def entry_mask(batch: Batch, on: str, copies: int = 1) -> Tensor | None:
    """Which values [B, K] of each row are labelled, each `copies` times in turn; None where rows are whole or without.

    Rows without a label have no entry.
    """
    mask = batch.label_mask.get(on)
    if mask is None or not _by_entry(mask, _target(batch, on)):
        return None
    return mask if copies == 1 else mask.repeat_interleave(copies, dim=-1)


def over_entries(losses: Tensor, known: Tensor | None, *, mean: bool) -> Tensor:
    """Sum or mean [...] of losses [..., K] over the values of a row; a sum is scaled up to all K where some count.

    What is unknown adds nothing to value and gradient.
    """
    if known is None:
        return losses.mean(dim=-1) if mean else losses.sum(dim=-1)
    share = torch.where(known, losses, torch.zeros_like(losses)).sum(dim=-1) / known.sum(dim=-1).clamp(min=1)
    return share if mean else share * losses.shape[-1]


def _by_entry(mask: Tensor, target: Tensor) -> bool:
    """Whether a label mask has an entry for each value of a row."""
    return target.is_floating_point() and mask.dim() == target.dim() and target.dim() > 1


def _any_entry(mask: Tensor | None, target: Tensor | None) -> Tensor | None:
    if mask is None or target is None or not _by_entry(mask, target):
        return mask
    return mask.any(dim=-1)


def _device_of(output: Output) -> torch.device:
    if isinstance(output, Projected):
        return output.hidden.device
    return output.device if isinstance(output, Tensor) else output.ids.device


def _target(batch: Batch, on: str) -> Tensor:
    target = batch.targets.get(on)
    if target is None:
        there = f"labels for {', '.join(sorted(batch.targets))}" if batch.targets else "no labels"
        raise MissingSignal(
            f"expected labels for the output '{on}', the batch has {there}",
            f"name the output whose labels are meant, as in CE(on='{next(iter(batch.targets), MAIN)}')",
        )
    return target


def _weights(mask: Tensor, batch: Batch) -> Tensor:
    weights = mask.to(torch.float32)
    if batch.weight is not None:
        weights = weights * (batch.weight if mask.dim() == 1 else batch.weight[:, None])
    return weights
