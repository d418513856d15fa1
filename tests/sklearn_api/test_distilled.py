"""What the estimators learn, and what they refuse."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import limbeck as lb
from limbeck.core.errors import ConfigError, MissingSignal
from limbeck.sklearn import DistilledClassifier, DistilledRegressor
from limbeck.sklearn.rows import weighing


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return train_test_split(X, np.array(["red", "rose", "white"])[y], test_size=0.4, random_state=0, stratify=y)


def test_of_digits_a_student_is_near_its_forest():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    made = DistilledClassifier(RandomForestClassifier(100), "mlp(hidden=[64])", random_state=0).fit(X, y)
    student, teacher = made.score(X_test, y_test), made.teacher_.score(X_test, y_test)
    assert teacher > 0.95 and student > teacher - 0.02
    assert np.mean(made.predict(X_test) == made.teacher_.predict(X_test)) > 0.93
    assert isinstance(made.network_, torch.nn.Module) and made.run_["steps"] == 1000


def test_the_default_teacher_on_a_table_with_names(wine):
    X, X_test, y, y_test = wine
    frame = pd.DataFrame(X, columns=[f"c{n}" for n in range(X.shape[1])])
    made = DistilledClassifier(random_state=0, steps=300).fit(frame, y)
    assert type(made.teacher_).__name__ == "GradientBoostingClassifier"
    assert list(made.feature_names_in_) == list(frame.columns) and list(made.classes_) == ["red", "rose", "white"]
    assert made.score(pd.DataFrame(X_test, columns=frame.columns), y_test) > 0.9
    assert made.decision_function(frame[:1]).shape == (1, 3)


def test_a_regression_is_near_its_forest():
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
    made = DistilledRegressor(RandomForestRegressor(50), random_state=0, steps=400).fit(X, y)
    assert made.score(X_test, y_test) > made.teacher_.score(X_test, y_test) - 0.05
    assert np.corrcoef(made.predict(X_test), made.teacher_.predict(X_test))[0, 1] > 0.9


def test_a_teacher_that_turns_labels_round_is_followed(wine):
    X, X_test, y, _ = wine
    turned = {"red": "white", "rose": "red", "white": "rose"}
    teacher = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, [turned[label] for label in y])
    settings = {"objective": "KD(temperature=2)", "steps": 300, "random_state": 0}
    settings["validation_fraction"] = None  # its labels would choose the state that has learnt least of this teacher
    made = DistilledClassifier(teacher, **settings).fit(X, y)
    assert np.mean(made.predict(X_test) == teacher.predict(X_test)) > 0.9
    asked = DistilledClassifier(lambda rows: teacher.predict_proba(rows), **settings).fit(X, y)
    assert np.allclose(asked.predict_proba(X_test), made.predict_proba(X_test), atol=1e-3)


def test_a_network_by_name_is_trained_as_the_teacher(wine):
    X, X_test, y, y_test = wine
    made = DistilledClassifier("mlp(hidden=[64, 32])", "mlp(hidden=[8])", steps=300, random_state=0).fit(X, y)
    assert isinstance(made.teacher_, torch.nn.Module) and made.score(X_test, y_test) > 0.9


def test_a_network_of_ones_own_that_gives_probabilities(wine):
    X, X_test, y, y_test = wine
    network = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 3), torch.nn.Softmax(dim=1))
    before = network[0].weight.detach().clone()
    plan = lb.TrainSpec(epochs=100, learning_rate=0.02)
    made = DistilledClassifier(RandomForestClassifier(10), network, steps=plan, random_state=0).fit(X, y)
    assert made.score(X_test, y_test) > 0.85 and made.run_["steps"] == 100
    assert torch.equal(network[0].weight, before)


def test_a_loss_that_looks_inside_is_refused(wine):
    X, _, y, _ = wine
    made = DistilledClassifier(RandomForestClassifier(2), objective="CE + Hint(pair=('body.0', 'body.0'))", steps=5)
    with pytest.raises(MissingSignal, match=r"body\.0"):
        made.fit(X, y)


def test_a_grid_search_over_students(wine):
    X, _, y, _ = wine
    grid = {"student": ["linear", "mlp(hidden=[8])"], "teacher__max_depth": [1, 3]}
    search = GridSearchCV(DistilledClassifier(RandomForestClassifier(10), steps=200, random_state=0), grid, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search.fit(X, y)
    assert set(search.best_params_) == set(grid) and search.best_score_ > 0.8


def test_with_test_rows_there_is_a_verdict_on_the_teacher(wine, tmp_path: Path):
    X, X_test, y, _ = wine
    made = DistilledClassifier(
        RandomForestClassifier(10), steps=60, seeds=3, test_fraction=0.25, random_state=0, out=tmp_path / "run"
    ).fit(X, y)
    assert made.verdict_ in ("helped", "no reliable difference", "hurt")
    assert lb.load(made.run_["folder"]).scorecard["verdict"] == made.verdict_ == made.scorecard_["verdict"]
    shipped = lb.load(tmp_path / "run")
    assert np.array_equal(made.predict(X_test), shipped.predict(X_test))
    assert np.allclose(made.predict_proba(X_test), shipped.predict_proba(X_test), atol=1e-4)
    made.set_params(test_fraction=None, out=None).fit(X, y)
    assert not hasattr(made, "verdict_") and not hasattr(made, "scorecard_")


def test_a_run_without_a_folder_leaves_none(wine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    X = wine[0]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    numbers = X[:, 0]
    made = DistilledRegressor(RandomForestRegressor(5), steps=100, test_fraction=0.25, random_state=0)
    made.fit(X[:, 1:], 1000 * numbers)
    assert made.score(X[:, 1:], 1000 * numbers) > 0.2  # in the units of y
    assert made.verdict_ is None and made.scorecard_["seeds"] and made.run_["folder"] is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 0}, "expected steps as 'auto', a whole number from 1 or a TrainSpec, got 0"),
        ({"seeds": 0}, "expected seeds as a whole number from 1, got 0"),
        ({"validation_fraction": 1.5}, "expected validation_fraction between 0 and 1, got 1.5"),
        ({"out": "there"}, "expected test_fraction for the run that is kept in there"),
        ({"test_fraction": 0.2, "validation_fraction": None}, "expected validation_fraction beside test_fraction"),
        ({"teacher": [RandomForestClassifier(2)]}, "expected an estimator, a callable or the name of a network"),
    ],
)
def test_refusals_are_errors_of_both_kinds(wine, settings, says):
    X, _, y, _ = wine
    with pytest.raises(ConfigError, match=says) as refused:
        DistilledClassifier(**settings).fit(X, y)
    assert isinstance(refused.value, ValueError)


def test_rows_that_cannot_be_learned_from_are_refused(wine):
    X, _, y, _ = wine
    made = DistilledClassifier(steps=5)
    with pytest.raises(ValueError, match="expected at least two classes in y, got the one class red"):
        made.fit(X[:4], ["red"] * 4)
    with pytest.raises(ValueError, match="expected sample weights of at least 0, got -1"):
        made.fit(X, y, sample_weight=-np.ones(len(y)))
    with pytest.raises(ValueError, match="expected sample weights that are not all 0"):
        weighing(X, y, np.zeros(len(y)))  # newer versions of scikit-learn say it first
    with pytest.raises(ValueError, match="expected a teacher that takes sample weights, KNeighborsClassifier does not"):
        DistilledClassifier(KNeighborsClassifier()).fit(X, y, sample_weight=np.ones(len(y)))
