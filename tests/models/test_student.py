import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.errors import ConfigError, ShapeMismatch, StoreDamaged
from limbeck.models.fit_check import check_fit
from limbeck.models.saved import CONFIG, WEIGHTS, load, save
from limbeck.models.student import Student

SHAPE, SIZES = (4,), {"main": 3}
X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) * 3


def plain():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def shaped(in_shape, out_sizes, width=8):
    return nn.Sequential(nn.Linear(in_shape[0], width), nn.Linear(width, out_sizes["main"]))


def student(what, **settings):
    return Student.of(what, SHAPE, settings.pop("sizes", SIZES), **settings)


def weights(module):
    return torch.cat([value.flatten().float() for value in module.state_dict().values()])


@pytest.mark.parametrize("what", ["mlp(hidden=[8])", plain, shaped, lambda: plain(), "my_nets:plain"])
def test_names_and_factories_are_made_anew_for_each_seed(what, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_nets", SimpleNamespace(plain=plain))
    made = student(what)
    assert not made.pretrained
    first, again, other = (weights(made.build(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again), "student and control of a seed start alike"
    assert not torch.equal(first, other)


def test_building_leaves_the_random_streams_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    made = student(lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(float(np.random.rand()) * 0.5)))
    assert repr(made.build(3)) == repr(made.build(3)), "numpy's stream is seeded too"
    assert torch.equal(torch.rand(3), want)


def test_an_instance_is_copied_and_counts_as_pretrained():
    module = plain()
    before = weights(module)
    made = student(module)
    assert made.pretrained and made.describe()["pretrained"]
    first, second = made.build(1), made.build(2)
    assert torch.equal(weights(first), before) and torch.equal(weights(second), before)
    with torch.no_grad():
        first[0].weight.zero_()
    assert torch.equal(weights(module), before), "the user's module is never trained"


class Soft(nn.Module):
    """Probabilities from inside forward, where nothing can be taken off."""

    def __init__(self, kind="softmax", width=3):
        super().__init__()
        self.last, self.kind = nn.Linear(4, width), kind

    def forward(self, x):
        return self.last(x).softmax(-1) if self.kind == "softmax" else self.last(x).sigmoid()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), "classification"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(-1)), "classification"),
        (lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())), "multilabel"),
        (lambda: Soft(), "classification"),
        (lambda: Soft("sigmoid"), "multilabel"),
    ],
)
def test_probabilities_are_logits_in_training_and_probabilities_when_saved(tmp_path, make, kind):
    made = student(make, kinds={"main": kind})
    module, written = made.build(7).eval(), made._raw(7).eval()
    raw = module(X)
    logits = raw["main"] if isinstance(raw, dict) else raw
    same = logits.softmax(-1) if kind == "classification" else logits.sigmoid()
    want = written(X).exp() if "Log" in repr(written) else written(X)
    torch.testing.assert_close(same, want, atol=1e-5, rtol=1e-4)
    assert logits.min() < 0 and made.describe()["probabilities"]
    save(module, tmp_path, source=made)
    back = load(tmp_path, like=made._raw(1))
    torch.testing.assert_close(back(X), written(X))
    finished = made.finish(made.build(7)).eval()
    torch.testing.assert_close(finished(X), written(X))


@pytest.mark.parametrize("seed", range(5))
def test_logits_of_a_fresh_network_are_not_taken_for_probabilities(seed):
    torch.manual_seed(seed)
    for width in (1, 2):
        module = nn.Linear(4, width)
        with torch.no_grad():
            module.weight.mul_(0.01)
            module.bias.fill_(0.5)
        made = Student.of(module, SHAPE, {"main": width}, kinds={"main": "multilabel"})
        assert made.bridge.described() == ""


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind = nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))
        self.share = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
        self.tags = nn.Linear(4, 2)

    def forward(self, x):
        return {"kind": self.kind(x), "share": self.share(x), "tags": self.tags(x).sigmoid()}


def test_each_head_is_bridged_as_it_needs():
    sizes = {"kind": 3, "share": 1, "tags": 2}
    kinds = {"kind": "classification", "share": "regression", "tags": "multilabel"}
    made = student(Heads, sizes=sizes, kinds=kinds)
    assert made.describe()["probabilities"] == "kind.1 taken off for training; logarithm of tags"
    found, want = made.build(0).eval()(X), made._raw(0).eval()(X)
    torch.testing.assert_close(found["kind"].softmax(-1), want["kind"])
    torch.testing.assert_close(found["tags"].sigmoid(), want["tags"], atol=1e-5, rtol=1e-4)
    assert torch.equal(found["share"], want["share"]), "a bounded regression stays bounded"
    finished = made.finish(made.build(0)).eval()(X)
    assert all(torch.equal(finished[head], want[head]) for head in sizes)


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        (7, ConfigError, "a student as a name, a function that makes a module, or a module, got int"),
        ("mpl", ConfigError, "expected the name of a network, got 'mpl'"),
        (lambda: nn.Linear, ConfigError, "to return a torch.nn.Module, got type"),
        (lambda width: nn.Linear(4, width), ConfigError, "takes in_shape and out_sizes or nothing, it needs width"),
        (lambda: 1 / 0, ConfigError, r"to be made for inputs of shape \(4,\), ZeroDivisionError: division by zero"),
        (nn.Linear(5, 3), ShapeMismatch, r"to take inputs of shape \(4,\), it fails on them: mat1 and mat2"),
        (nn.Embedding(5, 3), ShapeMismatch, r"to take inputs of shape \(4,\), it fails on them"),
        (nn.Linear(4, 5), ShapeMismatch, "to give 3 numbers a row for 'main', it gives 5"),
    ],
)
def test_students_that_are_refused(what, error, words):
    with pytest.raises(error, match=words) as caught:
        student(what).build(0)
    assert caught.value.todo


def test_a_module_that_fails_in_its_own_way_is_refused():
    class Odd(nn.Module):
        def forward(self, x):
            raise ValueError("only images\nmore")

    with pytest.raises(ShapeMismatch, match="it fails on them: only images") as caught:
        check_fit(Odd(), SHAPE, SIZES, "the student")
    assert isinstance(caught.value.__cause__, ValueError)


def test_fingerprints_are_of_what_is_trained():
    module = plain()
    same = student(module).fingerprint
    assert student(module).fingerprint == same
    with torch.no_grad():
        module[0].bias.add_(1)
    assert student(module).fingerprint != same
    assert student("mlp(hidden=[8])").fingerprint == student("mlp(hidden=(8,), dropout=0)").fingerprint
    assert student("mlp(hidden=[8])").fingerprint != student("mlp(hidden=[9])").fingerprint
    one, other = (student(lambda w=w: nn.Sequential(nn.Linear(4, w), nn.Linear(w, 3))) for w in (8, 9))
    assert one.fingerprint != other.fingerprint


def test_what_is_saved_comes_back_by_name_or_with_its_architecture(tmp_path):
    made = student("mlp(hidden=[8], norm=True)")
    module = made.build(3).eval()
    save(module, tmp_path / "name", source=made, note="kept")
    back = load(tmp_path / "name")
    assert torch.equal(back(X), module(X)) and not back.training
    assert json.loads((tmp_path / "name" / CONFIG).read_text())["note"] == "kept"
    own = plain()
    save(own, tmp_path / "own")
    assert torch.equal(load(tmp_path / "own", like=plain())(X), own(X))
    with pytest.raises(
        ConfigError, match=r"a network that can be built by name in .*, its weights belong to an inst"
    ) as e:
        load(tmp_path / "own")
    assert "like=your_module" in e.value.todo
    with pytest.raises(ShapeMismatch, match=r"expected the weights in .*own to fit Linear, they do not"):
        load(tmp_path / "own", like=nn.Linear(4, 3))


def test_shared_weights_survive(tmp_path):
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    save(module, tmp_path)
    back = load(tmp_path, like=nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    assert torch.equal(back(X), module(X))


@pytest.mark.parametrize("place", [5, -1])
def test_damaged_weights_are_refused(tmp_path, place):
    save(plain(), tmp_path)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[place] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"model.safetensors to match its checksum, it does not"):
        load(tmp_path, like=plain())
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(StoreDamaged, match="there are none"):
        load(tmp_path, like=plain())


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    import pickle

    save(plain(), tmp_path)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr(torch, "load", None)
    load(tmp_path, like=plain())
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
