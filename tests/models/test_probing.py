import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from torch import nn

from limbeck.core.errors import LimbeckError
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.models.adapters import adapt
from limbeck.models.probing import entropy_share, probe

KINDS = {"main": Classification(("ant", "bee", "cat"))}
X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
LOGITS = X[:, :3] * 3


def findings(teacher, tasks=KINDS, inputs=X):
    return {found.code: found for found in probe(adapt(teacher, tasks), inputs, tasks)}


def test_a_sound_teacher_gives_no_findings():
    assert findings(lambda x: LOGITS) == {}
    assert findings(lambda x: x[:, 0] * 1e6, {"main": Regression(("p",), (0.0,), (1.0,))}) == {}


def test_answers_that_differ_are_said():
    dropout = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    assert "LB204" not in findings(dropout.train()), "a module is asked in eval mode"

    def sampled(x):
        return torch.nn.functional.dropout(torch.from_numpy(LOGITS), 0.5)

    found = findings(sampled)["LB204"]
    assert "two passes over 64 rows differ by up to" in found.measured and found.grade == "tip"


def test_a_teacher_that_changes_its_inputs_is_asked_with_copies():
    inputs = X.copy()

    def in_place(x):
        x *= 2
        return x[:, :3]

    assert findings(in_place, inputs=inputs) == {}
    np.testing.assert_array_equal(inputs, X)


def test_soft_labels_that_say_nothing_are_said():
    sure = findings(lambda x: np.eye(3)[LOGITS.argmax(1)])["LB207"]
    assert "are almost one-hot: 0.0% of the highest" in sure.measured, "whatever the least probability looks like at 4"
    wide = findings(lambda x: LOGITS * 1e3)["LB207"]
    assert "almost one-hot at temperature 4" in wide.measured
    assert findings(lambda x: LOGITS * 20) == {}, "sure of itself, and yet with an order among the other classes"
    flat = findings(lambda x: LOGITS * 1e-3)["LB207"]
    assert "almost uniform: 100.0%" in flat.measured
    tags = {"main": MultiLabel(("a", "b"))}
    assert "almost uniform" in findings(lambda x: LOGITS[:, :2] * 1e-3, tags)["LB207"].measured


def test_entropy_between_certain_and_uniform():
    assert entropy_share(np.array([[100.0, 0, 0]]), "classification", 1) == pytest.approx(0, abs=1e-6)
    assert entropy_share(np.zeros((2, 3)), "classification", 1) == pytest.approx(1)
    assert entropy_share(np.zeros((2, 3)), "multilabel", 1) == pytest.approx(1)
    half = np.log([[0.5, 0.25, 0.25]])
    assert entropy_share(half, "classification", 1) == pytest.approx(1.5 * np.log(2) / np.log(3))


def test_classes_that_the_teacher_never_saw_are_said():
    x, y = load_iris(return_X_y=True)
    found = findings(LogisticRegression().fit(x[y != 1], y[y != 1]), inputs=x)["LB206"]
    assert found.measured == "the teacher knows 2 of 3 classes, not bee"


def test_answers_that_are_not_finite_are_refused():
    def some(x):
        values = LOGITS.copy()
        values[[3, 9], 1] = np.nan
        return values

    with pytest.raises(LimbeckError, match=r"NaN or infinity for probe rows \[3, 9\]"):
        findings(some)
    with pytest.raises(LimbeckError, match="expected finite answers from the teacher for 'main'"):
        findings(lambda x: np.full((64, 3), np.inf))


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += len(x)
        return self.last(x)


def test_a_module_that_changes_when_it_answers_is_refused():
    with pytest.raises(LimbeckError, match="the teacher to be the same after it answered, its weights or buffers have"):
        findings(Counts())
