"""Losses on labels where single values of a row are unknown."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import MissingSignal
from limbeck.objectives import BCE, MSE, BoundedKD, GaussianNLL, Pinball
from limbeck.objectives.base import labelled_weight
from limbeck.objectives.weighing import labels_of
from limbeck.signals import Batch, Signals

LOSSES = [(BCE(), 1), (BCE(label_smoothing=0.1), 1), (MSE(), 1), (GaussianNLL(beta=0.5), 2), (Pinball(), 3),
          (BoundedKD(margin=100.0), 1)]  # fmt: skip
K = 4


def measured(loss, values, targets, mask, copies, weight=None):
    rows = len(values)
    batch = Batch(
        keys=np.zeros((rows, 2), dtype=np.uint64), views=None, teacher_inputs=None,
        student_inputs=torch.zeros(rows, 1), targets={"main": targets},
        label_mask={} if mask is None else {"main": mask}, weight=weight,
    )  # fmt: skip
    values = values.clone().requires_grad_()
    teacher = Signals({"main": torch.zeros(rows, K * copies, dtype=values.dtype)})
    total, count = loss.loss(Signals({"main": values}), teacher, batch, None)
    total.backward()
    return total.detach(), count, values.grad, batch


@pytest.mark.parametrize(("loss", "copies"), LOSSES)
@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 50))
def test_unknown_values_add_nothing_and_whole_rows_are_as_ever(loss, copies, seed):
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(5, K * copies, generator=draw, dtype=torch.float64)
    targets = (torch.rand(5, K, generator=draw, dtype=torch.float64) > 0.5).double()
    known = torch.rand(5, K, generator=draw) > 0.3
    known[0] = True
    known[1] = False
    plain, count, grad, _ = measured(loss, values, targets, None, copies)
    same, again, same_grad, _ = measured(loss, values, targets, torch.ones(5, K, dtype=torch.bool), copies)
    torch.testing.assert_close(same, plain)
    torch.testing.assert_close(same_grad, grad)
    assert count == again

    bad = values.clone()
    wide = known.repeat_interleave(copies, dim=1)
    bad[~wide] = float("nan")
    holes = torch.where(known, targets, torch.full_like(targets, float("nan")))
    part, count, part_grad, batch = measured(loss, bad, holes, known, copies)
    clean, _, clean_grad, _ = measured(loss, values, targets, known, copies)
    assert torch.isfinite(part) and (part_grad[~wide] == 0).all()
    torch.testing.assert_close(part, clean)
    torch.testing.assert_close(part_grad, clean_grad)
    assert count == known.any(dim=1).sum() == labelled_weight(batch)
    _, _, alone_grad, _ = measured(loss, values[:1], targets[:1], None, copies)
    torch.testing.assert_close(part_grad[:1], alone_grad)
    assert (part_grad[1] == 0).all()


@pytest.mark.parametrize(("loss", "copies"), LOSSES)
def test_a_row_counts_as_one_however_much_it_knows(loss, copies):
    values, targets = torch.full((2, K * copies), 0.7), torch.ones(2, K)
    known = torch.tensor([[True] * K, [True] + [False] * (K - 1)])
    total, count, _, _ = measured(loss, values, targets, known, copies, weight=torch.tensor([1.0, 2.0]))
    one, _, _, _ = measured(loss, values[:1], targets[:1], None, copies)
    assert count == 3
    torch.testing.assert_close(total, 3 * one)


def test_a_loss_that_looks_at_all_values_is_told_so():
    batch = Batch(
        keys=np.zeros((2, 2), dtype=np.uint64), targets={"main": torch.zeros(2, K)},
        label_mask={"main": torch.tensor([[True] * K, [False] + [True] * (K - 1)])},
    )  # fmt: skip
    with pytest.raises(MissingSignal, match="a loss that leaves out the values of 'main' that a row does not know"):
        labels_of(batch, "main", (2, K), width=1)
    assert labels_of(batch, "main", (2, K), width=1, entries=True)[1].tolist() == [True, True]
