"""Losses on quantiles and on means with a variance, against scikit-learn and torch.distributions."""

import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from torch.distributions import Normal, kl_divergence

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.objectives import Pinball
from limbeck.objectives.response.gaussian import gaussian_kd_loss, gaussian_nll_loss
from limbeck.objectives.response.pinball import pinball_loss
from limbeck.signals import Batch, Signals

DRAW = torch.Generator().manual_seed(0)
STUDENT, TEACHER = torch.randn(2, 5, 6, generator=DRAW, dtype=torch.float64)
LABELS = torch.randn(5, 3, generator=DRAW, dtype=torch.float64)


def normal(answers):
    return Normal(answers[:, 0::2], (answers[:, 1::2] / 2).exp())


def test_pinball_is_that_of_scikit_learn():
    levels = (0.2, 0.7)
    wanted = [
        mean_pinball_loss(LABELS[:, k], STUDENT[:, 2 * k + q], alpha=level)
        for k in range(3)
        for q, level in enumerate(levels)
    ]
    assert pinball_loss(STUDENT, LABELS, levels) == pytest.approx(sum(wanted) / 6, abs=1e-9)


def test_at_one_half_it_is_half_of_the_absolute_error():
    error = (STUDENT[:, :3] - LABELS).abs().mean()
    assert pinball_loss(STUDENT[:, :3], LABELS, (0.5,)) == pytest.approx(float(error) / 2, abs=1e-9)


def test_likelihood_and_divergence_are_those_of_normal_distributions():
    wanted = -normal(STUDENT).log_prob(LABELS).mean()
    assert gaussian_nll_loss(STUDENT, LABELS) == pytest.approx(float(wanted), abs=1e-9)
    wanted = kl_divergence(normal(TEACHER), normal(STUDENT)).mean()
    assert gaussian_kd_loss(STUDENT, TEACHER) == pytest.approx(float(wanted), abs=1e-9)


def test_at_beta_1_the_mean_learns_as_under_squared_error():
    student = STUDENT.clone().requires_grad_()
    gaussian_nll_loss(student, LABELS, beta=1.0).backward()
    torch.testing.assert_close(student.grad[:, 0::2], (STUDENT[:, 0::2] - LABELS) / LABELS.numel())


def test_levels_that_do_not_divide_the_output_are_refused():
    batch = Batch(keys=torch.zeros(5, 2).numpy(), targets={"main": LABELS}, label_mask={})
    with pytest.raises(ShapeMismatch, match="a quantile at each of 4 levels for every target of 'main', got 6 numbers"):
        Pinball(levels=(0.1, 0.2, 0.3, 0.4)).loss(Signals({"main": STUDENT}), None, batch, None)
    with pytest.raises(ConfigError, match=r"levels.*rising numbers between 0 and 1, got \(0.5, 0.5\)"):
        Pinball(levels=(0.5, 0.5))
