"""Both estimators keep what scikit-learn asks of an estimator, without exceptions."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

import limbeck as lb
from limbeck.sklearn import DistilledClassifier, DistilledRegressor

CHECKED = [
    DistilledClassifier(GradientBoostingClassifier(n_estimators=20), steps=60),
    DistilledRegressor(GradientBoostingRegressor(n_estimators=20), steps=150),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_it_is_reached_lazily_and_its_name_hides_nothing():
    code = "import sys, limbeck; assert not {'torch', 'sklearn', 'limbeck.sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert lb.sklearn.DistilledRegressor is DistilledRegressor
    assert is_classifier(lb.sklearn.DistilledClassifier()) and is_regressor(DistilledRegressor())


def test_parameters_are_kept_as_they_were_given():
    teacher = GradientBoostingClassifier()
    made = DistilledClassifier(teacher, "linear", steps=7, seeds=2, out="there")
    assert made.get_params(deep=False) == {
        "teacher": teacher, "student": "linear", "objective": "auto", "steps": 7, "seeds": 2,
        "validation_fraction": 0.2, "test_fraction": None, "random_state": None, "out": "there",
    }  # fmt: skip
    assert clone(made).get_params(deep=False)["student"] == "linear"


def test_pickled_and_fitted_again_it_says_the_same():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.where(X[:, 0] > 0, "yes", "no")
    first = DistilledClassifier(steps=30, random_state=3).fit(X, y)
    again = DistilledClassifier(steps=30, random_state=3).fit(X, y)
    other = DistilledClassifier(steps=30, random_state=4).fit(X, y)
    said = first.predict_proba(X)
    assert np.array_equal(said, again.predict_proba(X))
    assert np.array_equal(said, pickle.loads(pickle.dumps(first)).predict_proba(X))
    assert not np.array_equal(said, other.predict_proba(X))


@pytest.mark.parametrize("made", [DistilledClassifier(steps=30), DistilledRegressor(steps=30)])
def test_a_weight_means_what_a_repetition_means(made):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 2))
    y = (X[:, 0] + rng.normal(size=50) > 0).astype(int)
    weight = rng.integers(0, 4, size=50)
    weighted = clone(made).set_params(random_state=0).fit(X, y, sample_weight=weight).predict(X)
    repeated = clone(made).set_params(random_state=0).fit(np.repeat(X, weight, 0), np.repeat(y, weight)).predict(X)
    plain = clone(made).set_params(random_state=0).fit(X, y)
    assert np.array_equal(weighted, repeated)
    assert not np.array_equal(weighted, plain.predict(X))
