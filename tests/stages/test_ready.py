"""Inner features are looked for before any work."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.core.errors import MissingSignal, NotSupported
from limbeck.recipe import Recipe
from limbeck.stages.ready import recipe_taps

HINT = "1.0 * CE + 0.1 * Hint(pair=['{}', '{}'])"


@pytest.fixture
def data():
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return lb.Data(train=(x[order[:100]], y[order[:100]]), test=(x[order[100:]], y[order[100:]]))


def test_a_tap_that_the_student_has_not_is_refused_before_a_folder_is_made(data, tmp_path):
    objective = HINT.format("body.9", "body.1")
    with pytest.raises(MissingSignal, match=r"expected .*'body\.9'.*"):
        lb.distill("mlp(hidden=[8])", "mlp(hidden=[4])", data, objective=objective, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_teacher_without_an_inside_is_refused_before_a_folder_is_made(data, tmp_path):
    teacher = LogisticRegression(max_iter=500).fit(data.train.inputs, data.train.targets["main"])
    with pytest.raises(NotSupported, match=r"expected a teacher with inner features for tap 'body\.1', got"):
        lb.distill(teacher, "mlp(hidden=[4])", data, objective=HINT.format("body.1", "body.1"), out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_taps_of_a_recipe_are_those_that_a_loss_can_name():
    text = "data: {builtin: digits}\nteacher: mlp(hidden=[16])\nstudent: mlp(hidden=[8, 4])\n"
    recipe = Recipe.from_text(text)
    found = recipe_taps(recipe)
    assert found["student  mlp(hidden=[8, 4])"]["body.3"] == [4]
    assert found["teacher  mlp(hidden=[16])"]["body.1"] == [16]
