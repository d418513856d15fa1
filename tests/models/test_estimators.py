import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from limbeck.core.errors import ConfigError, LimbeckError, MissingSignal
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.models.adapters import adapt

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
NUMBERED = {"main": Classification(("0", "1", "2"))}
# not in the order of the alphabet, in which estimators keep theirs
NAMED = {"main": Classification(("virginica", "setosa", "versicolor"))}


def softmax(logits):
    values = np.exp(logits - logits.max(1, keepdims=True))
    return values / values.sum(1, keepdims=True)


def logistic(x=X, y=Y):
    return LogisticRegression(max_iter=2000).fit(x, y)


def test_probabilities_come_in_the_order_of_the_task():
    estimator = logistic(y=NAMES[Y])
    found = adapt(estimator, NAMED)(X)["main"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(softmax(found), estimator.predict_proba(X)[:, [2, 0, 1]], atol=1e-6)


def test_classes_as_numbers():
    want = logistic().predict_proba(X)
    for labels in (Y, Y.astype(float), Y.astype(str)):
        np.testing.assert_allclose(softmax(adapt(logistic(y=labels), NUMBERED)(X)["main"]), want, atol=1e-6)
    found = adapt(logistic(), NAMED)(X)["main"]  # numbers are class ids where classes have names
    np.testing.assert_allclose(softmax(found), want, atol=1e-6)
    truth = {"main": Classification(("False", "True"))}
    found = adapt(logistic(y=Y == 1), truth)(X)["main"]
    np.testing.assert_allclose(softmax(found), logistic(y=Y == 1).predict_proba(X), atol=1e-6)


def test_classes_that_the_task_does_not_have_are_refused():
    with pytest.raises(
        ConfigError, match="LogisticRegression to know the classes 0, 1, 2; it knows setosa, versicolor"
    ):
        adapt(logistic(y=NAMES[Y]), NUMBERED)
    four = logistic(y=np.where(X[:, 0] > 7, 3, Y))
    with pytest.raises(ConfigError, match="to know the classes 0, 1, 2; it knows 3 beside them") as caught:
        adapt(four, NUMBERED)
    assert "classes=[...]" in caught.value.todo


def test_names_of_its_columns_can_be_given():
    other = np.array(["a", "b", "c"])
    found = adapt(logistic(y=other[Y]), NAMED, classes=list(NAMES))(X)["main"]
    np.testing.assert_allclose(softmax(found), logistic().predict_proba(X)[:, [2, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("kind", [LogisticRegression, RidgeClassifier])
def test_a_class_that_was_never_seen_counts_as_impossible(kind):
    seen = Y != 1
    teacher = adapt(kind().fit(X[seen], Y[seen]), NUMBERED)
    found = softmax(teacher(X)["main"])
    assert found[:, 1].max() < 1.1e-7
    assert (found.argmax(1)[seen] == Y[seen]).mean() > 0.95
    assert teacher.columns.missing == ("1",)
    only = adapt(DummyClassifier().fit(X[Y == 2], Y[Y == 2]), NUMBERED)
    assert (only(X)["main"].argmax(1) == 2).all()


@pytest.mark.parametrize(
    "estimator",
    [
        RidgeClassifier(),
        SVC(),
        make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
    ],
)
def test_margins_stand_in_where_there_are_no_probabilities(estimator):
    teacher = adapt(estimator.fit(X, NAMES[Y]), NAMED)
    assert teacher.describe()["output"] == "margins"
    assert (np.array(NAMED["main"].classes)[teacher(X)["main"].argmax(1)] == estimator.predict(X)).all()
    two = {"main": Classification(("virginica", "other"))}
    binary = np.where(Y == 2, "virginica", "other")
    found = adapt(estimator.fit(X, binary), two)(X)["main"]
    np.testing.assert_allclose(found[:, 0] - found[:, 1], estimator.decision_function(X), rtol=1e-4)  # classes_[1]


def test_margins_between_pairs_are_refused():
    pairs = make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")).fit(X, Y)
    with pytest.raises(ConfigError, match="a score for each class from SVC, it gives margins between pairs") as caught:
        adapt(pairs, NUMBERED)
    assert "decision_function_shape='ovr'" in caught.value.todo


@pytest.mark.parametrize("estimator", [KMeans(3, n_init=1), LinearRegression()])
def test_decisions_only_are_refused(estimator):
    with pytest.raises(MissingSignal, match=f"from {type(estimator).__name__}, it gives decisions only"):
        adapt(estimator.fit(X, Y), NUMBERED)


def test_an_estimator_that_was_not_fitted_is_refused():
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(ConfigError, match=f"this {type(estimator).__name__} has not been fitted") as caught:
            adapt(estimator, NUMBERED)
        assert "fit(X, y)" in caught.value.todo


LABELS = np.stack([X[:, 0] > 5.8, X[:, 1] > 3, X[:, 2] > 4], axis=1).astype(int)
TAGS = {"main": MultiLabel(("long", "wide", "big"))}


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_depth=3),
        RandomForestClassifier(10, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())),
        OneVsRestClassifier(SGDClassifier(random_state=0)),
        RidgeClassifier(),
    ],
)
def test_estimators_of_several_labels(estimator):
    found = adapt(estimator.fit(X, LABELS), TAGS)(X)["main"]
    assert found.shape == (150, 3) and np.isfinite(found).all()
    certain = np.abs(found) > 1e-6
    np.testing.assert_array_equal((found > 0)[certain], (estimator.predict(X) == 1)[certain])


def test_a_label_that_was_never_there_or_always():
    labels = LABELS.copy()
    labels[:, 0], labels[:, 2] = 0, 1
    found = adapt(MultiOutputClassifier(DecisionTreeClassifier()).fit(X, labels), TAGS)(X)["main"]
    assert (found[:, 0] < -15).all() and (found[:, 2] > 15).all()


def test_one_label_alone():
    alone = {"main": MultiLabel(("long",))}
    for labels in (LABELS[:, 0], LABELS[:, 0].astype(bool), np.zeros(150, int)):
        estimator = DecisionTreeClassifier(max_depth=2).fit(X, labels)
        found = adapt(estimator, alone)(X)["main"]
        np.testing.assert_array_equal(found[:, 0] > 0, estimator.predict(X) == 1)


def test_labels_that_are_no_zeros_and_ones_are_refused():
    words = MultiOutputClassifier(DecisionTreeClassifier()).fit(X, np.where(LABELS == 1, "yes", "no"))
    with pytest.raises(ConfigError, match="an estimator whose labels are 0 and 1, it knows no, yes"):
        adapt(words, TAGS)(X)


def test_regression_is_answered_in_natural_units():
    x, y = load_diabetes(return_X_y=True)
    task = {"main": Regression(("y",), (150.0,), (77.0,))}
    estimator = LinearRegression().fit(x, y)
    np.testing.assert_allclose(adapt(estimator, task)(x)["main"][:, 0], estimator.predict(x), rtol=1e-5)
    two = {"main": Regression(("a", "b"), (0.0, 0.0), (1.0, 1.0))}
    estimator.fit(x, np.stack([y, -y], axis=1))
    np.testing.assert_allclose(adapt(estimator, two)(x)["main"], estimator.predict(x), rtol=1e-5)


def test_a_pipeline_gets_a_table_with_its_names():
    frame = pd.DataFrame({"size": X[:, 2], "shape": np.where(X[:, 1] > 3, "wide", "narrow")})
    columns = make_column_transformer((OneHotEncoder(), ["shape"]), remainder="passthrough")
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn warns where names are lost
        found = adapt(estimator, NUMBERED)(frame)["main"]
    np.testing.assert_allclose(softmax(found), estimator.predict_proba(frame), atol=1e-6)
    with pytest.raises(LimbeckError, match=r"the estimator Pipeline to answer a table of 150 rows \(size, form\)"):
        adapt(estimator, NUMBERED)(frame.rename(columns={"shape": "form"}))


def test_one_estimator_cannot_answer_two_tasks():
    with pytest.raises(ConfigError, match=r"one estimator for each of the 2 tasks \(a, b\), got one in all") as caught:
        adapt(logistic(), {"a": NUMBERED["main"], "b": NUMBERED["main"]})
    assert caught.value.todo == "give a mapping: {'a': ..., 'b': ...}"


class Foreign:
    """An estimator of another library: no BaseEstimator, and nothing that says whether it was fitted."""

    classes_ = (2, 0, 1)

    def fit(self, x, y):
        return self

    def predict(self, x):
        return self.predict_proba(x).argmax(1)

    def predict_proba(self, x):
        return np.tile([0.7, 0.2, 0.1], (len(x), 1))

    def get_params(self, deep=True):
        return {}


def test_estimators_of_other_libraries():
    np.testing.assert_allclose(softmax(adapt(Foreign(), NUMBERED)(X)["main"])[0], [0.2, 0.1, 0.7], atol=1e-6)
