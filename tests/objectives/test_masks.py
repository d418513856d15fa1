"""Losses of masks, against their formulas written out by hand."""

import numpy as np
import pytest
import torch

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.objectives import CWD, Dice
from limbeck.objectives.response.cwd import cwd_loss, cwd_rows
from limbeck.objectives.response.dice import dice_loss, dice_rows
from limbeck.signals import Batch, Signals


def drawn(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_cwd_is_the_divergence_of_where_each_channel_is_seen():
    student, teacher, t = drawn(0, 2, 5, 3), drawn(1, 2, 5, 3), 4.0
    total = 0.0
    for channel in range(3):
        p, q = (np.exp(side[0, :, channel].numpy() / t) for side in (teacher, student))
        p, q = p / p.sum(), q / q.sum()
        total += float((p * np.log(p / q)).sum())
    assert float(cwd_rows(student, teacher, t)[0]) == pytest.approx(t**2 * total / 3, rel=1e-12)
    assert float(cwd_loss(student, teacher, t)) == pytest.approx(float(cwd_rows(student, teacher, t).mean()))


def test_cwd_sees_no_constant_of_a_channel_and_no_masked_place():
    student, teacher = drawn(0, 2, 5, 3), drawn(1, 2, 5, 3)
    moved = student + drawn(2, 1, 1, 3)
    assert torch.allclose(cwd_rows(moved, teacher), cwd_rows(student, teacher))
    mask = torch.tensor([[True, True, True, False, False], [False] * 5])
    value = cwd_loss(student, teacher, 2.0, mask)
    assert float(value) == pytest.approx(float(cwd_rows(student[:1, :3], teacher[:1, :3], 2.0)[0]), rel=1e-12)


def test_cwd_counts_images():
    mask = torch.tensor([[True, True], [False, False], [True, False]])
    outputs = {"main": drawn(0, 3, 2, 3)}
    batch = Batch(keys=np.zeros((3, 2), np.uint64), weight=torch.tensor([1.0, 1.0, 3.0]))
    sides = Signals(outputs, mask=mask), Signals({"main": drawn(1, 3, 2, 3)}, mask=mask)
    total, count = CWD().loss(*sides, batch, None)
    assert float(count) == 4.0 == float(CWD().count(sides[1], batch)) and float(total) > 0


def test_cwd_needs_places():
    side = Signals({"main": drawn(0, 3, 4)})
    with pytest.raises(ShapeMismatch, match=r"outputs with positions \[B, T, C\] for cwd, got \[3, 4\]"):
        CWD().loss(side, side, Batch(keys=np.zeros((3, 2), np.uint64)), None)


def test_dice_is_one_less_the_soft_overlap():
    logits, labels = drawn(0, 1, 4, 2), torch.tensor([[0, 1, 1, 0]])
    p, truth = torch.softmax(logits[0], -1).numpy(), np.eye(2)[labels[0]]
    each = [(2 * (p[:, c] * truth[:, c]).sum() + 1) / (p[:, c].sum() + truth[:, c].sum() + 1) for c in range(2)]
    assert float(dice_rows(logits, labels)[0]) == pytest.approx(1 - np.mean(each), rel=1e-12)
    sure = 50.0 * torch.from_numpy(2 * truth - 1)[None]
    assert float(dice_loss(sure, labels)) == pytest.approx(0, abs=1e-9)


def test_dice_leaves_out_pixels_and_images_without_a_label():
    logits, labels = drawn(0, 2, 4, 3), torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0]])
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    assert float(dice_loss(logits, labels, 1.0, mask)) == pytest.approx(
        float(dice_rows(logits[:1, :2], labels[:1, :2])[0])
    )
    batch = Batch(np.zeros((2, 2), np.uint64), targets={"main": labels}, label_mask={"main": mask})
    total, count = Dice().loss(Signals({"main": logits}), None, batch, None)
    assert float(count) == 1.0 == float(Dice().count(None, batch)) and float(total) > 0


@pytest.mark.parametrize(("loss", "fields"), [(CWD, {"temperature": 0}), (Dice, {"smooth": 0})])
def test_settings_are_checked(loss, fields):
    with pytest.raises(ConfigError, match=r"above 0|greater than 0|> 0"):
        loss(**fields)
