"""Inner features are looked for before any work."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.core.errors import ConfigError, MissingSignal, NotSupported
from limbeck.data.windows import windows
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


def tagged():
    """Rows of two and three words with ids, and a table of what was said of them."""
    words = [["ann", f"w{n}", "bob"][: 2 + n % 2] for n in range(40)]
    tags = [["B-X", "O", "B-X"][: len(each)] for each in words]
    ids = list(range(40))
    cuts = {"train": slice(0, 20), "validation": slice(20, 30), "test": slice(30, 40)}
    data = lb.Data(task="tagging", **{split: (words[c], tags[c], ids[c]) for split, c in cuts.items()})
    said = [[[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]][: len(each)] for each in words]
    return data, pd.DataFrame({"id": ids, "main": said})


@pytest.mark.parametrize("around", [lambda t: t, lambda t: [t, t], lambda t: {"main": t}])
def test_a_table_that_lacks_words_is_refused_before_a_folder_is_made(tmp_path, around):
    data, table = tagged()
    table.at[35, "main"] = table.at[35, "main"][:2]
    words = r"every word in the predictions of head 'main', 1 rows have another number: id 35 has 3 words, got 2"
    with pytest.raises(ConfigError, match=words):
        lb.distill(around(table), "text_cnn(dim=8)", data, seeds=1, out=tmp_path / "r")
    with pytest.raises(ConfigError, match=words):
        lb.label(around(table), data, out=tmp_path / "a")
    assert not (tmp_path / "r").exists() and not (tmp_path / "a").exists()


def test_a_table_that_was_looked_at_is_read_once_and_anew_for_other_rows(tmp_path, monkeypatch):
    from limbeck.stages.several import TableTeacher
    from limbeck.transfer import source

    data, table = tagged()
    read, once = [], source.PredictionTable

    def counted(*args, **settings):
        read.append(args)
        return once(*args, **settings)

    monkeypatch.setattr(source, "PredictionTable", counted)
    teacher = TableTeacher(table)
    lb.label(teacher, data, out=tmp_path / "a")
    assert len(read) == 1
    teacher.look(data)
    lb.label(teacher, tagged()[0], out=tmp_path / "b")
    assert len(read) == 3


def test_noise_and_folds_at_once_are_refused(data):
    from limbeck.stages.noise import refuse_noise

    with pytest.raises(ConfigError, match="expected noise or folds, got both"):
        refuse_noise((10.0,), data, folds=5)


def test_test_rows_of_one_group_are_refused_before_a_folder_is_made(tmp_path):
    times = np.sin(np.arange(600) / 10)
    splits = windows(pd.DataFrame({"v": times}), target="v", history=96, horizon=48, test_fraction=0.2)
    data = lb.Data(**splits, task="regression")
    with pytest.raises(ConfigError, match="test rows of 'main' from two groups or more") as refused:
        lb.distill("series_cnn(hidden=4)", "series_cnn(hidden=2)", data, train=3, out=tmp_path / "r")
    assert "twice as long as history and horizon" in str(refused.value) and not (tmp_path / "r").exists()
