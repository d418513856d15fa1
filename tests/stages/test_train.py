"""Finished arms of an interrupted train stage are taken for done only while their files are as they were written."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.stages import train

PLAN = lb.TrainSpec(steps=4, batch_size=16)
KEPT = ("student/seed-0/model.safetensors", "predictions/validation-student-0.parquet",
        "predictions/test-student-0.parquet")  # fmt: skip


class Stopped(Exception):
    """What the test raises before the second arm."""


@pytest.fixture(scope="module")
def data():
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return lb.Data(train=(x[order[:90]], y[order[:90]]), test=(x[order[90:]], y[order[90:]]))


def distil(data, folder):
    teacher = LogisticRegression(max_iter=500).fit(data.train.inputs, data.train.targets["main"])
    return lb.distill(teacher, "mlp(hidden=[4])", data, train=PLAN, seeds=1, out=folder, until="train")


def stop_before_the_second_arm(data, folder, monkeypatch):
    """Leave a run whose student is trained and whose control is not."""
    train_arm = train.train_arm

    def one(training, arm, seed, bar):
        if arm.name != "student":
            raise Stopped
        train_arm(training, arm, seed, bar)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(train, "train_arm", one)
        distil(data, folder)


def resume(data, folder, monkeypatch):
    """Go on with a run; return the arms that it trained."""
    trained, fit_network = [], train.fit_network

    def watched(*args, label, **more):
        trained.append(label)
        return fit_network(*args, label=label, **more)

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit_network", watched)
        distil(data, folder)
    return trained


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_sound_arm_is_not_trained_again(data, tmp_path, monkeypatch):
    stop_before_the_second_arm(data, tmp_path, monkeypatch)
    assert "student" not in resume(data, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", KEPT)
def test_a_damaged_arm_is_trained_again_to_the_same_bytes(data, tmp_path, monkeypatch, name):
    stop_before_the_second_arm(data, tmp_path, monkeypatch)
    before = {each: (tmp_path / each).read_bytes() for each in KEPT}
    flip_a_byte(tmp_path / name)
    assert "student" in resume(data, tmp_path, monkeypatch)
    assert {each: (tmp_path / each).read_bytes() for each in KEPT} == before


@pytest.mark.parametrize("name", ["facts.json", "config.json"])
@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"seconds": 1})])
def test_an_arm_whose_facts_are_broken_is_trained_again(data, tmp_path, monkeypatch, name, text):
    stop_before_the_second_arm(data, tmp_path, monkeypatch)
    (tmp_path / "student" / "seed-0" / name).write_text(text)
    assert "student" in resume(data, tmp_path, monkeypatch)
