"""Contracts on how a batch may be cut, ordered, weighed, masked and padded without changing the loss."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from limbeck.objectives.base import Objective, mean_of
from limbeck.testing.numbers import close, same_gradients
from limbeck.testing.samples import Sample, make_sample


def count_ahead(objective: Objective) -> None:
    """`count` gives, before the student has run, the count that `loss` returns."""
    for positions in _kinds(objective):
        for sample in (
            make_sample(objective, positions=positions),
            make_sample(objective, positions=positions, weighted=True),
            _half_labelled(make_sample(objective, positions=positions, weighted=True)),
        ):
            ahead = objective.count(sample.teacher if objective.teaches else None, sample.batch)
            count = sample.parts()[1]
            assert ahead.shape == count.shape == (), (
                f"counts are scalars, got {tuple(ahead.shape)} {tuple(count.shape)}"
            )
            assert close(float(ahead), float(count), 1e-6), (
                f"count says {float(ahead):g}, loss returns {float(count):g}"
            )


def permutation(objective: Objective) -> None:
    """The order of the rows of a batch changes nothing."""
    sample = make_sample(objective, weighted=True)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    value, other = sample.measured()[0], sample.rows(order).measured()[0]
    assert close(value, other), f"another order of the rows changes the loss from {value:g} to {other:g}"


def row_weights(objective: Objective) -> None:
    """A row of weight 0 is as good as absent, a row of weight 2 as good as there twice."""
    sample = make_sample(objective)
    weighted = sample.with_batch(weight=torch.tensor([1.0, 1.0, 0.0, 2.0, 1.0, 1.0]))
    spelt_out = sample.rows(torch.tensor([0, 1, 3, 3, 4, 5]))
    value, other = weighted.measured()[0], spelt_out.measured()[0]
    assert close(value, other, 1e-6), f"row weights give {value:g}, the rows written out {other:g}"


def masked_positions(objective: Objective) -> None:
    """What stands at a masked position changes neither value nor gradient, NaN included; all masked gives 0."""
    if not objective.traits.positions:
        return
    sample = make_sample(objective, positions=5)
    mask = sample.student.mask
    assert mask is not None
    value, grads = sample.measured()
    for garbage in (1e3, float("nan"), float("inf")):
        dirty = _with_garbage(sample, mask, garbage)
        other, other_grads = dirty.measured()
        assert close(value, other), f"{garbage} at masked positions changes the loss from {value:g} to {other:g}"
        assert same_gradients(grads, other_grads), f"{garbage} at masked positions changes a gradient"
    outside = [g[~mask] for g in grads if g.shape[:2] == mask.shape]
    assert all(bool((g == 0).all()) for g in outside), "a gradient reaches a masked position"
    nothing = torch.zeros_like(mask)
    empty = _masked(sample, nothing).with_batch(label_mask=dict.fromkeys(sample.batch.label_mask, nothing))
    other, other_grads = empty.measured()
    assert other == 0, f"the loss is {other} where everything is masked, expected 0"
    assert all(bool((g == 0).all()) for g in other_grads), "there is a gradient where everything is masked"


def padding_length(objective: Objective) -> None:
    """More padding changes nothing."""
    if not objective.traits.positions:
        return
    sample = make_sample(objective, positions=4, weighted=True)
    mask = sample.student.mask
    assert mask is not None
    value = sample.measured()[0]
    longer_mask = _padded(mask, 3)
    longer = sample.student_as(lambda x: _padded(x, 3)).teacher_as(lambda x: _padded(x, 3))
    longer = _masked(longer, longer_mask).with_batch(
        targets={name: _padded(target, 3) for name, target in sample.batch.targets.items()},
        label_mask={name: _padded(known, 3) for name, known in sample.batch.label_mask.items()},
    )
    other = longer.measured()[0]
    assert close(value, other), f"three more padded positions change the loss from {value:g} to {other:g}"


def padding_side(objective: Objective) -> None:
    """Padding on the left is as good as padding on the right."""
    if not objective.traits.positions:
        return
    sample = make_sample(objective, positions=5, weighted=True)
    mask = sample.student.mask
    assert mask is not None
    left = _masked(sample.student_as(lambda x: _pushed(x, mask)).teacher_as(lambda x: _pushed(x, mask)), mask.flip(1))
    left = left.with_batch(
        targets={name: _pushed(target, mask) for name, target in sample.batch.targets.items()},
        label_mask={name: _pushed(known, mask) for name, known in sample.batch.label_mask.items()},
    )
    value, other = sample.measured()[0], left.measured()[0]
    assert close(value, other), f"padding on the left instead of the right changes the loss from {value:g} to {other:g}"


def micro_batches(objective: Objective) -> None:
    """Sums and counts of the parts of a batch add up to those of the whole; or `batchwise` says that they do not."""
    assert objective.traits.row_wise != objective.batchwise, "row_wise and batchwise must be each other's opposite"
    if objective.batchwise:
        return
    for positions in _kinds(objective):
        sample = make_sample(objective, positions=positions, weighted=True)
        whole = mean_of(*sample.parts())
        parts = [sample.rows(torch.tensor(index)).parts() for index in ([0, 1, 2, 3], [4], [5])]
        together = mean_of(
            torch.stack([part[0] for part in parts]).sum(), torch.stack([part[1] for part in parts]).sum()
        )
        left, right = float(whole.detach()), float(together.detach())
        assert close(left, right, 1e-6), (
            f"the parts of a batch give {right:g}, the whole {left:g}: return a sum, no mean"
        )


def missing_labels(objective: Objective) -> None:
    """What stands where a label is missing changes nothing; without any label a hard loss is 0."""
    kind = objective.traits.labels
    if kind == "none":
        return
    sample = _half_labelled(make_sample(objective))
    value, grads = sample.measured()
    for garbage in (-100, 999) if kind in ("class", "sequence") else (float("nan"), 1e30):
        dirty = sample.with_batch(
            targets={n: _unlabelled(t, sample, n, garbage) for n, t in sample.batch.targets.items()}
        )
        other, other_grads = dirty.measured()
        assert close(value, other), (
            f"{garbage} in place of a missing label changes the loss from {value:g} to {other:g}"
        )
        assert same_gradients(grads, other_grads), f"{garbage} in place of a missing label changes a gradient"
    none = {name: torch.zeros_like(known) for name, known in sample.batch.label_mask.items()}
    other, other_grads = sample.with_batch(label_mask=none).measured()
    assert all(bool(g.isfinite().all()) for g in other_grads), "a gradient is not finite where no row has a label"
    if not objective.teaches:
        assert other == 0, f"the loss is {other:g} where no row has a label, expected 0"


def _kinds(objective: Objective) -> tuple[int, ...]:
    return (0, 4) if objective.traits.positions else (0,)


def _masked(sample: Sample, mask: Tensor) -> Sample:
    student, teacher = (dataclasses.replace(side, mask=mask) for side in (sample.student, sample.teacher))
    return dataclasses.replace(sample, student=student, teacher=teacher)


def _with_garbage(sample: Sample, mask: Tensor, garbage: float) -> Sample:
    def dirty(x: Tensor) -> Tensor:
        return torch.where(mask[..., None], x, torch.full_like(x, garbage))

    return sample.student_as(dirty).teacher_as(dirty)


def _half_labelled(sample: Sample) -> Sample:
    known = torch.tensor([True, False, True, True, False, True])
    masks = {
        name: mask & (known if mask.dim() == 1 else known[:, None]) for name, mask in sample.batch.label_mask.items()
    }
    return sample.with_batch(label_mask=masks)


def _unlabelled(target: Tensor, sample: Sample, name: str, garbage: float) -> Tensor:
    known = sample.batch.label_mask[name]
    shaped = known.reshape(known.shape + (1,) * (target.dim() - known.dim()))
    return torch.where(shaped, target, torch.full_like(target, garbage))


def _pushed(x: Tensor, mask: Tensor) -> Tensor:
    """Rows whose padding on the right is moved to the left."""
    free = mask.shape[1] - mask.sum(dim=1)
    return torch.stack([row.roll(int(shift), 0) for row, shift in zip(x, free, strict=True)])


def _padded(x: Tensor, more: int) -> Tensor:
    filler = x.new_zeros((x.shape[0], more, *x.shape[2:]))
    return torch.cat([x, filler], dim=1)
