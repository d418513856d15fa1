"""Small whole runs and what must hold for every one of them; imported by the tests of whole runs."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import limbeck as lb
from limbeck.core.run import Run
from limbeck.models.saved import read_weights

PLAN = lb.TrainSpec(steps=80, batch_size=32, learning_rate=0.02, validate_every=20)
VERDICTS = ("helped", "no reliable difference", "hurt")


def distil(teacher, student, data, out, **more):
    """Three seeds, 80 steps, student and control, up to the scorecard."""
    settings = {"train": PLAN, "seeds": 3, "until": "evaluate", "attribution": False}
    return lb.distill(teacher, student, data, out=out, **settings | more)


def digits(scale=1.0):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32) * scale, y[order]


class Trained(nn.Module):
    """A network with a tap ("body.1"), trained for a moment."""

    def __init__(self, x, y, width=48, steps=80):
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(int(np.prod(x.shape[1:])), width), nn.ReLU(), nn.Linear(width, int(y.max()) + 1)]
        self.body = nn.Sequential(*layers)
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        rows, labels = torch.from_numpy(x).reshape(len(x), -1), torch.from_numpy(y)
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.body(rows), labels).backward()
            optimizer.step()
        self.zero_grad()
        self.eval()

    def forward(self, inputs):
        return self.body(inputs.flatten(1))


def consistent(run, heads=("main",), metric=None):
    """Every number of the scorecard agrees with the others, and the folder with its checksums."""
    assert run.status in ("partial", "done") and Run.read(run.folder).verify() == []
    card = run.scorecard
    assert run.verdict in VERDICTS and run.verdict in str(run).replace("distillation ", "")
    assert tuple(card["tasks"]) == tuple(heads) and card["seeds"] == [0, 1, 2]
    assert run.gain.low <= run.gain.value <= run.gain.high
    for task in card["tasks"].values():
        name, sign = task["metric"]["name"], 1 if task["metric"]["higher_is_better"] else -1
        of = {arm: entry["metrics"][name] for arm, entry in task["arms"].items()}
        trivial = task["trivial"]["metrics"][name]
        assert task["gain"]["value"] == pytest.approx(of["student"]["value"] - of["control"]["value"], abs=1e-6)
        assert task["gain_per_seed"] == pytest.approx(
            np.subtract(of["student"]["per_seed"], of["control"]["per_seed"]), abs=1e-6
        )
        assert task["counts"]["seeds"] == 3
        for arm in of.values():
            assert arm["low"] <= arm["value"] <= arm["high"]
        assert sign * of["teacher"]["value"] > sign * trivial
    if metric is not None:
        assert card["tasks"][heads[0]]["metric"]["name"] == metric
    return card


def score(run, arm="student", head="main", metric=None):
    """A metric of an arm (the chosen one of the task), mean over seeds."""
    task = run.scorecard["tasks"][head]
    return task["arms"][arm]["metrics"][metric or task["metric"]["name"]]["value"]


def trivial(run, head="main", metric=None):
    task = run.scorecard["tasks"][head]
    return task["trivial"]["metrics"][metric or task["metric"]["name"]]


def weights_of(run, arm, seed=0):
    """The tensors of a student as they lie on disk."""
    from limbeck.core.files import read_json

    folder = run.folder / arm / f"seed-{seed}"
    return read_weights(folder, read_json(folder / "config.json"))


def weight_bytes(run, arm):
    """The saved weights of every seed of an arm."""
    found = sorted((run.folder / arm).glob("seed-*/model.safetensors"))
    assert found
    return [path.read_bytes() for path in found]
