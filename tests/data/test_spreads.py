"""Quantiles, and means with a spread: units, order, measures, and what is refused."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

from limbeck.core.errors import ConfigError
from limbeck.data.gaussian import Gaussian
from limbeck.data.infer import build_task
from limbeck.data.quantiles import Quantiles
from limbeck.data.rows import Rows
from limbeck.data.tasks import task_from_spec
from limbeck.evaluate.quality import constant_answer, metric_for

RNG = np.random.default_rng(0)
Y = RNG.normal([10, -3], [4, 0.5], size=(60, 2))
TWO = build_task("quantiles(levels=[0.05, 0.5, 0.95])", Y, ["load", "price"])
SPREAD = build_task("gaussian", Y, ["load", "price"])


def rows_of(task):
    keys = np.stack([np.zeros(len(Y), np.uint64), np.arange(len(Y), dtype=np.uint64)], axis=1)
    targets, mask = task.encode(Y)
    return Rows("array", np.zeros((len(Y), 1), np.float32), keys, {"main": targets}, {"main": mask})


def test_a_task_of_quantiles_is_its_targets_and_levels():
    assert isinstance(TWO, Quantiles) and TWO.size == 6 and TWO.loss_fields == {"levels": (0.05, 0.5, 0.95)}
    assert TWO.names == ("load@0.05", "load@0.5", "load@0.95", "price@0.05", "price@0.5", "price@0.95")
    assert task_from_spec(TWO.spec) == TWO and task_from_spec(SPREAD.spec) == SPREAD
    assert SPREAD.names == ("load mean", "load sd", "price mean", "price sd") and SPREAD.size == 4
    assert TWO.encode(Y)[0].shape == TWO.unlabelled(60).shape == SPREAD.unlabelled(60).shape == (60, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "quantiles(levels=[0.9, 0.1])",
            r"expected levels of the task that rise and lie between 0 and 1, got \(0.9, 0",
        ),
        ("quantiles(levels=[0, 0.5])", "between 0 and 1"),
        ("quantiles(level=[0.5])", "quantiles.level: unknown setting; did you mean 'levels'"),
        ("quantiles(0.5)", r"a task such as quantiles\(levels=\[0.1, 0.5, 0.9\]\), got 'quantiles\(0.5\)'"),
        ("quantiles(levels=[0.5", "expected a task such as"),
        ("regression(levels=[0.5])", "known here: nothing"),
    ],
)
def test_settings_that_make_no_task_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_task(text, Y, None)


@pytest.mark.parametrize("task", [TWO, SPREAD])
def test_units_go_there_and_back_in_numpy_and_torch(task):
    answers = RNG.normal(size=(60, task.size))
    natural = task.to_natural(answers)
    np.testing.assert_allclose(task.to_training(natural), answers, atol=1e-9)
    tensor = torch.from_numpy(answers)
    np.testing.assert_allclose(task.to_natural(tensor).numpy(), natural, atol=1e-12)
    np.testing.assert_allclose(task.to_training(torch.from_numpy(natural)).numpy(), answers, atol=1e-9)
    np.testing.assert_allclose(task.natural_targets(task.encode(Y)[0]), Y, rtol=1e-4)


def test_crossing_quantiles_are_put_in_order_within_a_target():
    said = TWO.predict(np.array([[1.0, 0.0, -1.0, 0.0, 2.0, 1.0]]))
    np.testing.assert_allclose(said, TWO.to_natural(np.array([[-1.0, 0.0, 1.0, 0.0, 1.0, 2.0]])))
    np.testing.assert_allclose(TWO.judged(np.array([[1.0, 0.0, -1.0, 0.0, 2.0, 1.0]]), None), said, rtol=1e-6)


def test_measures_of_quantiles_are_those_of_scikit_learn():
    answers = np.sort(RNG.normal(size=(60, 2, 3)), axis=-1).reshape(60, 6) * 3 + np.repeat(Y, 3, axis=1)
    y, outcome = TWO.truth(rows_of(TWO), "main"), TWO.outcome
    wanted = [
        mean_pinball_loss(Y[:, k], answers[:, 3 * k + q], alpha=a) for k in (0, 1) for q, a in enumerate(TWO.levels)
    ]
    assert metric_for(outcome)(answers, y) == pytest.approx(np.mean(wanted), rel=1e-4)
    assert metric_for(outcome, "mae")(answers, y) == pytest.approx(np.abs(answers[:, [1, 4]] - Y).mean(), rel=1e-4)
    low, high = answers[:, [0, 3]], answers[:, [2, 5]]
    assert metric_for(outcome, "coverage")(answers, y) == pytest.approx(((low <= Y) & (high >= Y)).mean())
    constant = constant_answer(outcome, y, 4)
    np.testing.assert_allclose(constant[0], np.quantile(Y, TWO.levels, axis=0).T.ravel(), rtol=1e-4)


def test_without_a_median_there_is_no_error_of_it():
    task = build_task("quantiles(levels=[0.25, 0.75])", Y, None)
    assert set(task.measures()) == {"pinball", "coverage"}


def test_measures_of_a_spread_are_those_of_the_normal_distribution():
    means, spreads = Y + RNG.normal(size=Y.shape), RNG.uniform(0.5, 2, size=Y.shape)
    answers = np.stack([means, spreads], axis=-1).reshape(60, 4)
    y, outcome = SPREAD.truth(rows_of(SPREAD), "main"), SPREAD.outcome
    assert metric_for(outcome)(answers, y) == pytest.approx(-norm.logpdf(Y, means, spreads).mean(), rel=1e-4)
    roots = np.sqrt(((Y - means) ** 2).mean(axis=0)).mean()
    assert metric_for(outcome, "rmse")(answers, y) == pytest.approx(roots, rel=1e-4)
    inside = np.abs(Y - means) <= norm.ppf(0.95) * spreads
    assert metric_for(outcome, "coverage")(answers, y) == pytest.approx(inside.mean())
    np.testing.assert_allclose(constant_answer(outcome, y, 1)[0, [0, 2]], Y.mean(axis=0), rtol=1e-4)


def test_spreads_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"standard deviation above 0 .*load, price.*\n\na teacher that says log var"):
        SPREAD.to_training(np.array([[1.0, -2.0, 0.0, 1.0]]))


def test_a_scale_follows_the_rows_that_are_left():
    fitted = TWO.refit(Y[:20])
    assert isinstance(fitted, Quantiles) and fitted.levels == TWO.levels and fitted.mean != TWO.mean
    assert isinstance(SPREAD.refit(Y[:20]), Gaussian)
