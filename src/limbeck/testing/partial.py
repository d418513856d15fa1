"""Contract on entries without a label: of several labels or numbers a row knows some and not others."""

from __future__ import annotations

import torch

from limbeck.core.errors import MissingSignal
from limbeck.objectives.base import Objective, mean_of
from limbeck.testing.numbers import close
from limbeck.testing.samples import Sample, make_sample

_GAPS = ((1, 0), (1, 3), (2, 6), (4, 1))  # row and entry; rows 0, 3 and 5 know everything


def missing_entries(objective: Objective) -> None:
    """An unknown entry moves nothing: no gradient there, the rows beside as before, the same count of rows.

    A loss may refuse such rows instead, as `labels_of` does where it is not told otherwise.
    """
    if objective.traits.labels not in ("multilabel", "real"):
        return
    whole = make_sample(objective, weighted=True)
    partial = _with_gaps(whole)
    try:
        partial.parts()
    except MissingSignal:
        return
    full = torch.tensor([0, 3, 5])
    value, other = whole.rows(full).measured()[0], partial.rows(full).measured()[0]
    assert close(value, other, 0), f"unknown entries of other rows change the loss from {value:g} to {other:g}"
    (total, count), before = partial.parts(), whole.parts()[1]
    assert bool(total.isfinite()), f"the loss is {float(total.detach())} where some entries are unknown"
    assert close(float(count), float(before)), f"unknown entries change the count from {before:g} to {count:g}"
    ahead = float(objective.count(partial.teacher if objective.teaches else None, partial.batch))
    assert close(ahead, float(count), 1e-6), f"count says {ahead:g}, loss returns {float(count):g}"
    _no_gradient(objective, partial)
    parts = [partial.rows(torch.tensor(index)).parts() for index in ([0, 1], [2, 3, 4], [5])]
    together = mean_of(torch.stack([p[0] for p in parts]).sum(), torch.stack([p[1] for p in parts]).sum())
    assert close(float(together.detach()), float(partial.value().detach()), 1e-6), "parts of a batch give another loss"


def _no_gradient(objective: Objective, partial: Sample) -> None:
    """The gradient is finite, exactly 0 at unknown entries and not at known ones of the same row."""
    each, (gradient, *_) = objective.traits.answers_per_label, partial.measured()[1]
    assert bool(gradient.isfinite().all()), "a gradient is not finite where some entries are unknown"
    by_entry = gradient.reshape(len(gradient), -1, each).abs().sum(dim=-1)
    for row, entry in _GAPS:
        assert float(by_entry[row, entry]) == 0, f"a gradient of {by_entry[row, entry]:g} reaches an unknown entry"
    if not objective.teaches:
        (known,) = partial.batch.label_mask.values()
        assert bool((by_entry[known] > 0).all()), "no gradient reaches a known entry"


def _with_gaps(sample: Sample) -> Sample:
    """The sample with a label mask for each entry, and NaN for the targets that it hides."""
    targets, masks = {}, {}
    for name, target in sample.batch.targets.items():
        known = torch.ones_like(target, dtype=torch.bool)
        for row, entry in _GAPS:
            known[row, entry] = False
        targets[name], masks[name] = torch.where(known, target, torch.full_like(target, float("nan"))), known
    return sample.with_batch(targets=targets, label_mask=masks)
