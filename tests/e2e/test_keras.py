"""Keras models as teacher and student on the torch backend, and a Keras model handed back."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported
import copy
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_runs import digits

import limbeck as lb
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.fingerprint import module_hash
from limbeck.models.keras_network import KerasNetwork

keras = pytest.importorskip("keras")
EXAMPLE = Path(__file__).parents[2] / "examples" / "keras_article.py"


def network(*widths, inside=64, outside=10):
    layers = [keras.layers.Dense(width, activation="relu") for width in widths]
    made = keras.Sequential([keras.Input((inside,)), *layers, keras.layers.Dense(outside, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    x, y = digits(1 / 16)
    keras.utils.set_random_seed(0)
    teacher = network(32)
    teacher.fit(x[:600], y[:600], epochs=8, verbose=0)
    data = lb.Data(
        train=(x[:150], y[:150]), unlabeled=x[150:600], validation=(x[600:700], y[600:700]), test=(x[700:], y[700:])
    )
    out = tmp_path_factory.mktemp("keras") / "run"
    return (
        lb.distill(
            teacher,
            lambda: network(12),
            data,
            train=lb.TrainSpec(steps=150, learning_rate=0.01),
            seeds=3,
            attribution=False,
            out=out,
        ),
        x[700:],
        y[700:],
    )


def test_both_networks_are_keras_and_the_run_ends_in_a_verdict(run):
    found, *_ = run
    assert found.verdict in ("helped", "no reliable difference", "hurt")
    arms = found.scorecard["tasks"]["main"]["arms"]
    assert (
        arms["teacher"]["metrics"]["accuracy"]["value"] > 0.8 and arms["student"]["metrics"]["accuracy"]["value"] > 0.6
    )


def test_a_keras_model_comes_back_that_takes_raw_rows(run):
    found, x, _ = run
    student = found.student
    assert isinstance(student, keras.Model)
    said = student.predict(x, verbose=0)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)  # its softmax is on again
    assert (said.argmax(axis=1) == found.predict(x)).all()
    again = keras.models.load_model(sorted((found.folder / "student").glob("*/model.keras"))[0], compile=False)
    assert again.predict(x[:5], verbose=0).shape == (5, 10)
    seed = found.folder / "student" / f"seed-{found._run.stage('train', {}).facts['best_seed']}"
    best = keras.models.load_model(seed / "model.keras", compile=False)
    np.testing.assert_allclose(best.predict(x, verbose=0), said, rtol=1e-5, atol=1e-6)


def test_names_that_keras_counts_are_no_part_of_an_identity():
    keras.utils.set_random_seed(1)
    one = network(8, inside=4, outside=3)
    keras.utils.set_random_seed(1)
    two = network(8, inside=4, outside=3)
    assert one.layers[0].name != two.layers[0].name
    assert module_hash(KerasNetwork(one)) == module_hash(KerasNetwork(two))
    assert module_hash(KerasNetwork(one)) != module_hash(KerasNetwork(network(9, inside=4, outside=3)))


def test_statistics_move_in_training_alone_and_a_copy_is_free():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    module = KerasNetwork(model)
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.eval()(rows)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    module.train()(rows)
    moved = [name for name, value in module.state_dict().items() if not torch.equal(before[name], value)]
    assert moved == [name for name, _ in module.named_buffers()]
    copied = copy.deepcopy(module)
    with torch.no_grad():
        next(copied.parameters()).add_(1)
    assert not torch.equal(next(copied.parameters()), next(module.parameters()))
    copied.load_state_dict(module.state_dict())
    np.testing.assert_allclose(copied.model.predict(rows.numpy(), verbose=0), model.predict(rows.numpy(), verbose=0))


def test_models_that_cannot_come_in_are_refused():
    with pytest.raises(ConfigError, match="expected a Keras model with weights, Sequential has none yet") as refused:
        KerasNetwork(keras.Sequential([keras.layers.Dense(3)]))
    assert "keras.Input(shape)" in str(refused.value)
    first, second = keras.Input((2,)), keras.Input((2,))
    two = keras.Model([first, second], keras.layers.Dense(2)(keras.layers.Concatenate()([first, second])))
    with pytest.raises(NotSupported, match="a Keras model with one input, got 2"):
        KerasNetwork(two)


def test_another_backend_is_told_what_to_do(monkeypatch):
    model = network(4, inside=3, outside=2)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(NotSupported, match="expected Keras on its torch backend, it runs on jax") as refused:
        KerasNetwork(model)
    assert "KERAS_BACKEND=torch" in str(refused.value)


def test_limbeck_does_not_import_keras():
    code = "import sys, torch, limbeck as lb; lb.distill; lb.Data; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_the_article(tmp_path, monkeypatch):
    assert len(EXAMPLE.read_text().splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    done = runpy.run_path(str(EXAMPLE))
    assert done["run"].verdict and (tmp_path / "student.keras").is_file()
