"""Teachers in files, from Python and from recipes: they answer as the model that was written, and go the whole way."""

import builtins

import numpy as np
import pandas as pd
import pytest
from e2e_model_corpus import graph

import limbeck as lb
from limbeck.core.errors import NotInstalled
from limbeck.core.files import checksum
from limbeck.stages.recipes import run_recipe

SHORT = {"train": lb.TrainSpec(steps=20, batch_size=32), "seeds": 3, "until": "export", "attribution": False}


@pytest.fixture(scope="module")
def frame():
    x = np.random.default_rng(0).normal(size=(300, 2))
    kind = np.where(x[:, 0] > x[:, 1], "blue", "red")  # in the order of their names
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": kind})


@pytest.fixture(scope="module")
def files(frame, tmp_path_factory):
    """A folder with the data and a teacher of each kind."""
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    folder = tmp_path_factory.mktemp("files")
    frame.to_csv(folder / "rows.csv", index=False)
    (folder / "m.onnx").write_bytes(graph().SerializeToString())
    fitted = HistGradientBoostingClassifier(max_iter=5).fit(frame[["a", "b"]], frame["kind"])
    (folder / "m.skops").write_bytes(skops.io.dumps(fitted))
    return folder


def data_of(frame):
    return lb.Data(train=frame, columns=lb.Columns(target="kind"), task="classification", test_fraction=0.2)


def whole(run, path):
    """The run shipped a student, and its teacher is the file."""
    told = run.scorecard["provenance"]["teacher"]
    assert told["file"] == path.name
    assert (run.folder / "export" / "student.onnx").exists()
    card = run.scorecard["tasks"]["main"]["arms"]
    assert card["teacher"]["metrics"]["accuracy"]["value"] > 0.85
    assert card["student"]["metrics"]["accuracy"]["value"] > 0.6
    return told["fingerprint"]


def test_an_onnx_file_goes_the_whole_way(frame, files, tmp_path):
    run = lb.distill(str(files / "m.onnx"), "mlp(hidden=[8])", data_of(frame), out=tmp_path / "run", **SHORT)
    assert whole(run, files / "m.onnx") == checksum(files / "m.onnx")
    told = lb.Teacher(files / "m.onnx", classes=["red", "blue"])
    assert told.fingerprint() != checksum(files / "m.onnx")


RECIPE = """
data: {{train: rows.csv, columns: {{target: kind}}, task: classification}}
teacher: {teacher}
student: mlp(hidden=[8])
seeds: 3
train: {{steps: 20}}
evaluate: {{attribution: false}}
"""


def recipe(files, teacher):
    return lb.Recipe.from_text(RECIPE.format(teacher=teacher), base=files)


def test_a_skops_file_of_a_recipe_goes_the_whole_way(files, tmp_path):
    run = run_recipe(recipe(files, "m.skops"), out=tmp_path / "run", until="export")
    assert whole(run, files / "m.skops") == checksum(files / "m.skops")


def test_a_lightgbm_file_of_a_recipe_goes_the_whole_way(frame, files, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    names = ["b", "a"]  # asked for by name, not by place
    rows = lightgbm.Dataset(frame[names], (frame["kind"] == "red").astype(int))
    made = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, rows, num_boost_round=8)
    made.save_model(files / "m.txt")
    run = run_recipe(
        recipe(files, "{model: m.txt, classes: [blue, red], output: probabilities}"), out=tmp_path / "run",
        until="export",
    )  # fmt: skip
    whole(run, files / "m.txt")
    said = lb.Teacher(files / "m.txt").model(frame)
    np.testing.assert_allclose(said[:, 1], made.predict(frame[names]))


def test_the_classes_of_a_file_are_mapped(frame, files, tmp_path):
    settings = SHORT | {"until": "label"}
    teacher = lb.Teacher(str(files / "m.onnx"), classes=["x", "y"], mapping={"x": "blue", "y": "red"}, output="logits")
    run = lb.distill(teacher, "mlp(hidden=[8])", data_of(frame), out=tmp_path / "run", **settings)
    plain = lb.distill(files / "m.onnx", "mlp(hidden=[8])", data_of(frame), out=tmp_path / "plain", **settings)
    one, other = (lb.TransferSet(each.folder / "transfer").outputs() for each in (run, plain))
    np.testing.assert_allclose(np.diff(one), np.diff(other), atol=1e-2)
    wrong = lb.Teacher(files / "m.onnx", classes=["red", "blue"])
    with pytest.raises(lb.ConfigError, match="expected the teacher to speak of the classes in their order"):
        lb.distill(wrong, "mlp(hidden=[8])", data_of(frame), out=tmp_path / "wrong", **settings)


def test_what_a_recipe_says_before_anything_is_read(files, tmp_path):
    with pytest.raises(lb.ConfigError, match=r"teacher.0.model: .*n.onnx does not exist; .*m.onnx"):
        recipe(files, "n.onnx").check()
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(lb.ConfigError, match=r"m.pkl: a .pkl file is a pickle"):
        lb.distill(tmp_path / "m.pkl", "mlp", None, out=tmp_path / "run")


def test_without_lightgbm(files, tmp_path, monkeypatch):
    (tmp_path / "m.txt").write_text("tree\n")
    inside = builtins.__import__

    def absent(name, *more):
        if name == "lightgbm":
            raise ImportError(name)
        return inside(name, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(NotInstalled, match=r"expected the package lightgbm for m.txt.*\n\npip install"):
        lb.Teacher(tmp_path / "m.txt")
