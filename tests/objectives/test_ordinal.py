"""Losses on ordered classes, against the formulas written out."""

import pytest
import torch

from limbeck.objectives.response.ordinal import ordinal_ce_loss, ordinal_kd_loss, threshold_log_probs

STUDENT = torch.tensor([[0.3, -0.2, 1.1, 0.0], [2.0, 0.1, -1.0, -3.0]], dtype=torch.float64)
TEACHER = torch.tensor([[-0.5, 0.9, 0.4, 0.2], [1.0, 0.0, 0.5, -2.0]], dtype=torch.float64)


def above(logits):
    chances = logits.softmax(-1)
    return torch.stack([chances[:, k + 1 :].sum(-1) for k in range(3)], dim=-1)


def test_thresholds_are_sums_of_the_softmax():
    sides = threshold_log_probs(STUDENT).exp()
    torch.testing.assert_close(sides[..., 1], above(STUDENT))
    torch.testing.assert_close(sides.sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_the_hard_loss_is_cross_entropy_at_every_threshold():
    passed = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)  # levels 2 and 0
    wanted = torch.nn.functional.binary_cross_entropy(above(STUDENT), passed, reduction="none").sum(-1).mean()
    assert ordinal_ce_loss(STUDENT, torch.tensor([2, 0])) == pytest.approx(float(wanted), abs=1e-9)


def test_with_two_levels_they_are_those_of_classification():
    from limbeck.objectives.response.ce import ce_loss
    from limbeck.objectives.response.kd import kd_loss

    labels = torch.tensor([1, 0])
    assert ordinal_ce_loss(STUDENT[:, :2], labels) == pytest.approx(float(ce_loss(STUDENT[:, :2], labels)), abs=1e-9)
    wanted = kd_loss(STUDENT[:, :2], TEACHER[:, :2], 3.0)
    assert ordinal_kd_loss(STUDENT[:, :2], TEACHER[:, :2], 3.0) == pytest.approx(float(wanted), abs=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distillation_is_the_kl_of_every_threshold(temperature):
    p, q = above(TEACHER / temperature), above(STUDENT / temperature)
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    wanted = temperature**2 * kl.sum(-1).mean()
    assert ordinal_kd_loss(STUDENT, TEACHER, temperature) == pytest.approx(float(wanted), abs=1e-9)


def test_a_far_level_costs_more_than_a_near_one():
    sure = 5 * torch.eye(4, dtype=torch.float64)
    near, far = (ordinal_ce_loss(sure[level : level + 1], torch.tensor([0])) for level in (1, 3))
    assert far > 2 * near
