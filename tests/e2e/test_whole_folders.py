"""What a run leaves behind: predictions of the shipped student, folders that resume, refuse and are replaced."""

import shutil

import numpy as np
import pytest
import torch
from e2e_runs import Trained, digits, distil, weight_bytes

import limbeck as lb
from limbeck.core.errors import StoreMismatch
from limbeck.core.run import Run
from limbeck.stages import train as stage

SHORT = {"train": lb.TrainSpec(steps=30, batch_size=32, learning_rate=0.02, validate_every=10)}


@pytest.fixture(scope="module")
def rows():
    x, y = digits(1 / 16)
    return x, np.array([f"digit {number}" for number in y])


@pytest.fixture(scope="module")
def data(rows):
    x, y = rows
    cuts = {"train": slice(0, 150), "validation": slice(150, 250), "test": slice(250, 400)}
    return lb.Data(**{split: (x[cut], y[cut]) for split, cut in cuts.items()})


@pytest.fixture(scope="module")
def teacher():
    x, y = digits(1 / 16)
    return Trained(x[400:], y[400:])


@pytest.fixture(scope="module")
def made(data, teacher, tmp_path_factory):
    """A whole run with its export; tests that change it take a copy."""
    return distil(teacher, "mlp(hidden=[12])", data, tmp_path_factory.mktemp("made") / "run", until="report", **SHORT)


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "run")


@pytest.fixture
def trained(monkeypatch):
    """The arms and seeds that are trained while the test runs."""
    seen, train_arm = [], stage.fit_network

    def watching(job, student, objective, feed, source, spec, steps, seed, folder, *rest, **more):
        seen.append(f"{folder.parent.name} {seed}")
        return train_arm(job, student, objective, feed, source, spec, steps, seed, folder, *rest, **more)

    monkeypatch.setattr(stage, "fit_network", watching)
    return seen


def test_the_shipped_student_says_what_the_trained_one_says(made, rows, tmp_path):
    x = rows[0][400:700]
    shares = made.predict_proba(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    names = np.array([f"digit {number}" for number in range(10)])
    said = made.predict(x)
    np.testing.assert_array_equal(said, names[shares.argmax(axis=1)])
    assert np.mean(said == rows[1][400:700]) > 0.5
    assert made.export(tmp_path / "deep" / "student.onnx").read_bytes() == made.exported.read_bytes()
    loaded = lb.load(made.folder)
    np.testing.assert_array_equal(loaded.predict_proba(x), shares)
    assert (loaded.verdict, loaded.gain, loaded.status) == (made.verdict, made.gain, "done")
    one, other = made.student.state_dict(), loaded.student.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_predictions_of_the_run_are_those_of_its_student(made, data):
    from limbeck.evaluate import predictions

    best = made._run.stage("train", {}).facts["best_seed"]
    kept = predictions.read(made.folder / "predictions" / f"test-student-{best}.parquet")
    said = kept.answers["student"]["main"][0]
    inputs = torch.from_numpy(np.ascontiguousarray(data.preprocess.encode(data.test.inputs), dtype=np.float32))
    with torch.no_grad():
        np.testing.assert_allclose(made.student(inputs).numpy(), said, atol=1e-5)
    truth = data.test.targets["main"]
    per_seed = made.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["accuracy"]["per_seed"]
    assert np.mean(said.argmax(1) == truth) == pytest.approx(per_seed[best])


def test_the_same_call_again_trains_nothing(made, folder, data, teacher, trained):
    before = Run.read(folder).state["stages"]
    again = distil(teacher, "mlp(hidden=[12])", data, folder, until="report", **SHORT)
    assert trained == [] and again.gain == made.gain
    assert {name: stage["seconds"] for name, stage in Run.read(folder).state["stages"].items()} == {
        name: stage["seconds"] for name, stage in before.items()
    }


def test_only_what_is_gone_is_trained_again(made, folder, data, teacher, trained):
    shutil.rmtree(folder / "control" / "seed-1")
    (folder / "report.html").unlink()
    again = distil(teacher, "mlp(hidden=[12])", data, folder, until="report", **SHORT)
    assert trained == ["control 1"]
    for arm in ("student", "control"):
        assert weight_bytes(again, arm) == weight_bytes(made, arm)
    assert (folder / "report.html").is_file() and Run.read(folder).verify() == []


def test_damaged_bytes_are_seen_and_made_again(made, folder, data, teacher, trained, capsys):
    path = folder / "student" / "seed-2" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert any("student/seed-2/model.safetensors" in problem for problem in Run.read(folder).verify())
    again = distil(teacher, "mlp(hidden=[12])", data, folder, until="report", **SHORT)
    assert trained == ["student 2"]
    assert capsys.readouterr().err == "⚠ student/seed-2 is not as it was written: it is made again\n"
    assert weight_bytes(again, "student") == weight_bytes(made, "student")
    assert Run.read(folder).verify() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"train": lb.TrainSpec(steps=31, batch_size=32, learning_rate=0.02, validate_every=10)}, "train.steps"),
        ({"objective": "0.5 * CE + 0.5 * KD"}, "objective"),
        ({"seeds": 4}, "seeds"),
        ({"margin": 0.02}, "margin"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_setting_is_refused_by_name(folder, data, teacher, trained, change, named):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(StoreMismatch, match=rf"(?s)differs in 1 setting\n\n  {named}: .*overwrite"):
        distil(teacher, "mlp(hidden=[12])", data, folder, until="report", **SHORT | change)
    assert trained == []
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_another_teacher_student_or_data_is_refused_by_name(folder, rows, data, teacher):
    x, y = rows
    moved = lb.Data(train=(x[1:151], y[1:151]), validation=(x[151:250], y[151:250]), test=(x[250:400], y[250:400]))
    other = Trained(*digits(1 / 16), width=8, steps=60)
    for given, named in (
        ((other, "mlp(hidden=[12])", data), "teacher"),
        ((teacher, "mlp(hidden=[13])", data), "student"),
        ((teacher, "mlp(hidden=[12])", moved), "data"),
    ):
        with pytest.raises(StoreMismatch, match=rf"(?s){named}\."):
            distil(*given, folder, until="report", **SHORT)


def test_overwrite_replaces_an_earlier_run(folder, data, teacher):
    plan = {"train": lb.TrainSpec(steps=5, batch_size=32)}
    run = distil(teacher, "linear", data, folder, overwrite=True, seeds=1, **plan)
    assert run.verdict is None and run.scorecard["seeds"] == [0]
    assert not (folder / "export").exists() and not (folder / "student" / "seed-1").exists()
    assert Run.read(folder).verify() == []


def test_a_folder_of_something_else_is_refused(tmp_path, data, teacher):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(StoreMismatch, match=r"diary\.txt"):
        distil(teacher, "linear", data, tmp_path / "notes", overwrite=True, **SHORT)
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"
