import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from limbeck.models.fingerprint import module_hash, object_hash, state_hash

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def net(**changes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), changes.get("act", nn.ReLU()), nn.Linear(4, 2))


def test_weights_and_buffers_count():
    module = net()
    assert module_hash(module) == module_hash(net())
    seen = {module_hash(module)}
    with torch.no_grad():
        module[3].bias[1] += 1e-6
    seen.add(module_hash(module))
    module[1].running_mean[0] += 1
    seen.add(module_hash(module))
    module[1].num_batches_tracked += 1
    seen.add(module_hash(module))
    assert len(seen) == 4
    assert state_hash(module) != state_hash(net())


def test_what_is_no_weight_counts_too():
    unsaved = net()
    unsaved.register_buffer("mean", torch.zeros(2), persistent=False)
    other = net()
    other.register_buffer("mean", torch.ones(2), persistent=False)
    variants = [net(), net(act=nn.Tanh()), net(act=nn.LeakyReLU(0.1)), net(act=nn.LeakyReLU(0.2)), unsaved, other]
    assert len({module_hash(module) for module in variants}) == len(variants)
    assert len({state_hash(module) for module in variants}) == 1


def test_the_mode_of_a_module_does_not_count():
    assert module_hash(net().train()) == module_hash(net().eval())


class Cooled(nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.inner, self.temperature = net(), temperature

    def forward(self, x):
        return self.inner(x) / self.temperature


class Warm(Cooled):
    def forward(self, x):
        return self.inner(x) * self.temperature


Warm.__qualname__ = "Cooled"  # the same class after its forward was edited


def test_settings_and_code_of_a_users_module_count():
    assert module_hash(Cooled(2.0)) == module_hash(Cooled(2.0))
    assert len({module_hash(m) for m in (Cooled(2.0), Cooled(3.0), Warm(2.0))}) == 3


SHARED = np.arange(3.0)


def scale(x):
    return x * 2


def uses_global(x):
    return x * SHARED


def uses_helper(x):
    return scale(x)


def closing(weight):
    return lambda x: x @ weight


class Caller:
    power = 2

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.times(x)

    def times(self, x):
        return x * self.factor


class Other(Caller):
    def times(self, x):
        return x**self.factor


Other.__qualname__ = "Caller"


def test_code_closure_defaults_and_globals_of_a_callable_count(monkeypatch):
    pairs = [
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x: x + 1, lambda x: x - 1),
        (lambda x: abs(x), lambda x: len(x)),
        (lambda x, k=1: x, lambda x, k=2: x),
        (closing(np.ones(3)), closing(np.zeros(3))),
        (functools.partial(np.multiply, 2), functools.partial(np.multiply, 3)),
        (Caller(1), Caller(2)),
        (Caller(1), Other(1)),
        (Caller(1).times, Caller(2).times),
        (lambda x: x in {"a", "b"}, lambda x: x in {"a", "c"}),
    ]
    for one, other in pairs:
        assert object_hash(one) == object_hash(one)
        assert object_hash(one) != object_hash(other)
    assert object_hash(closing(np.ones(3))) == object_hash(closing(np.ones(3)))
    before = object_hash(uses_global), object_hash(uses_helper), object_hash(Caller(1))
    monkeypatch.setitem(uses_global.__globals__, "SHARED", np.ones(3))
    monkeypatch.setitem(uses_helper.__globals__, "scale", lambda x: x * 3)
    monkeypatch.setattr(Caller, "power", 3)
    after = object_hash(uses_global), object_hash(uses_helper), object_hash(Caller(1))
    assert all(one != other for one, other in zip(before, after, strict=True))


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def test_functions_that_call_one_another_come_to_an_end():
    assert object_hash(even) == object_hash(even) != object_hash(odd)


@pytest.mark.parametrize(
    "make",
    [
        lambda **s: RandomForestClassifier(5, random_state=0, **s),
        lambda **s: GradientBoostingClassifier(n_estimators=3, random_state=0, verbose=s.get("n_jobs", 0) and 0),
        lambda **s: make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_fitted_estimators_by_what_they_learned(make):
    first, again, other = make().fit(X, Y), make(n_jobs=2).fit(X, Y), make().fit(X[:30], Y[:30])
    assert object_hash(first) == object_hash(again) != object_hash(other)
    before = object_hash(first)
    first.predict(X)
    assert object_hash(first) == before, "answering is no change"


_SCRIPT = """
import numpy as np, torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from limbeck.models.fingerprint import module_hash, object_hash

class Caller:
    def __init__(self, names):
        self.names, self.table = names, {"b": 1, "a": [2.0, None]}
    def __call__(self, x):
        return x in {"red", "green", "blue"}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.act = nn.Linear(3, 2), torch.nn.functional.gelu
    def extra_repr(self):
        return repr(self.act)
    def forward(self, x):
        return self.act(self.last(x))

torch.manual_seed(0)
x = np.random.default_rng(0).normal(size=(40, 3))
forest = make_pipeline(StandardScaler(), RandomForestClassifier(4, random_state=0)).fit(x, x[:, 0] > 0)
caller, net = Caller({"one", "two", "three"}), Net()
print(module_hash(net), object_hash([forest, forest.predict_proba, caller, lambda v: net(v) + len(caller.names)]))
"""


def test_hashes_agree_between_processes():
    told = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] and len(told[0].split()) == 2


def test_packages_in_a_closure_count_by_their_name():
    def made(package):
        return lambda rows: package.zeros(len(rows))

    assert object_hash(made(torch)) == object_hash(made(torch))
    assert object_hash(made(torch)) != object_hash(made(np))
