import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from limbeck.core.errors import ConfigError, LimbeckError, MissingSignal, ShapeMismatch
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.models.adapters import adapt
from limbeck.models.fingerprint import state_hash

KINDS = {"main": Classification(("ant", "bee", "cat"))}
TAGS = {"main": MultiLabel(("round", "red"))}
PRICE = {"main": Regression(("price",), (300_000.0,), (100_000.0,))}
BOTH = {"kind": KINDS["main"], "price": PRICE["main"]}
X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
LOGITS = X[:, :3] * 3


def softmax(logits):
    return torch.as_tensor(logits).softmax(-1)


class Net(nn.Module):
    def __init__(self, final=None):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.last = nn.Linear(6, 3)
        self.final = final or nn.Identity()

    def forward(self, x):
        return self.final(self.last(self.body(x)))


def test_a_module_answers_in_eval_mode_and_is_left_as_it_was():
    net = Net().train()
    net.body[1].eval()
    modes, before = [part.training for part in net.modules()], state_hash(net)
    teacher = adapt(net, KINDS)
    first, second = teacher(X)["main"], teacher(X)["main"]
    assert first.dtype == np.float32 and not net.last.weight.grad_fn
    np.testing.assert_array_equal(first, second)
    assert [part.training for part in net.modules()] == modes
    assert state_hash(net) == before, "no running statistics were counted"
    assert torch.is_grad_enabled() and all(p.requires_grad and p.grad is None for p in net.parameters())
    np.testing.assert_allclose(first, net.eval()(torch.from_numpy(X)).detach(), atol=1e-6)


def test_a_module_is_left_as_it_was_where_it_fails():
    net = Net().train()
    with pytest.raises(LimbeckError):
        adapt(net, KINDS)(X[:, :2])
    assert all(part.training for part in net.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_module_of_another_precision_gets_its_own(dtype):
    net = Net().eval()
    want = adapt(net, KINDS)(X)["main"]
    found = adapt(net.to(dtype), KINDS)(X.astype(np.float64))["main"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=0.1 if dtype == torch.bfloat16 else 1e-5)


def test_auto_tells_probabilities_from_logits_once_and_for_all():
    teacher = adapt(Net(nn.Softmax(-1)), KINDS)
    assert teacher.describe()["output"] == "auto"
    answers = teacher(X)["main"]
    np.testing.assert_allclose(np.exp(answers).sum(1), 1, rtol=1e-5)
    assert teacher.describe()["output"] == {"main": "probabilities (auto)"}
    answers = iter([LOGITS, softmax(LOGITS)])
    changing = adapt(lambda x: next(answers), KINDS)
    np.testing.assert_array_equal(changing(X)["main"], LOGITS)
    np.testing.assert_array_equal(changing(X)["main"], softmax(LOGITS))  # a lone batch never changes the reading


def test_what_the_user_says_is_taken():
    soft = softmax(LOGITS).numpy()
    np.testing.assert_array_equal(adapt(lambda x: soft, KINDS, output="logits")(X)["main"], soft)
    raw = adapt(lambda x: soft * 0.5, KINDS, output="probabilities")(X)["main"]
    np.testing.assert_allclose(softmax(raw), soft, rtol=1e-4)
    np.testing.assert_array_equal(adapt(lambda x: soft[:, 0], PRICE)(X)["main"], soft[:, :1])


def test_answers_that_could_be_either_are_refused():
    teacher = adapt(lambda x: torch.as_tensor(LOGITS).sigmoid(), KINDS)
    with pytest.raises(
        ConfigError, match=r"its first 12 answers lie between 0 and 1 and sum to .* in the first row"
    ) as e:
        teacher(X)
    assert "output='logits'" in e.value.todo


@pytest.mark.parametrize(
    "form", [lambda v: v, lambda v: v.tolist(), torch.as_tensor, pd.DataFrame, lambda v: {"main": v}, lambda v: (v, 1)]
)
def test_a_callable_answers_in_any_form(form):
    np.testing.assert_allclose(adapt(lambda x: form(LOGITS), KINDS)(X)["main"], LOGITS)


def test_a_callable_answers_several_tasks():
    teacher = adapt(lambda x: {"price": x[:, 0] * 1e5, "kind": softmax(LOGITS)}, BOTH)
    found = teacher(X)
    np.testing.assert_allclose(found["price"], X[:, :1] * 1e5)
    np.testing.assert_allclose(softmax(found["kind"]), softmax(LOGITS), rtol=1e-4)
    assert teacher.describe()["output"] == {"kind": "probabilities (auto)", "price": "logits (auto)"}
    with pytest.raises(
        MissingSignal, match="expected an output named 'price', the model returns kind, prise"
    ) as caught:
        adapt(lambda x: {"kind": LOGITS, "prise": X[:, 0]}, BOTH)(X)
    assert caught.value.todo == "did you mean 'prise'?"


def test_labels_are_answered_in_logits():
    tags = X[:, :2] * 4
    np.testing.assert_array_equal(adapt(lambda x: tags, TAGS)(X)["main"], tags)
    found = adapt(lambda x: torch.as_tensor(tags).sigmoid(), TAGS)(X)["main"]
    np.testing.assert_allclose(found, tags, atol=1e-2)


def test_classes_in_an_order_of_their_own():
    names = ["cat", "ant", "bee"]
    for teacher in (lambda x: LOGITS[:, [2, 0, 1]], lambda x: softmax(LOGITS)[:, [2, 0, 1]]):
        found = adapt(teacher, KINDS, classes=names)(X)["main"]
        np.testing.assert_allclose(softmax(found), softmax(LOGITS), rtol=1e-4)
    np.testing.assert_array_equal(adapt(lambda x: LOGITS, KINDS, classes=[0, 1, 2])(X)["main"], LOGITS)
    with pytest.raises(
        ConfigError, match=r"to know the classes ant, bee, cat; it knows dog beside them and .* not know cat"
    ):
        adapt(lambda x: LOGITS, KINDS, classes=["ant", "bee", "dog"])
    with pytest.raises(ConfigError, match="it names some twice"):
        adapt(lambda x: LOGITS, KINDS, classes=["ant", "bee", "cat", "cat"])
    with pytest.raises(ConfigError, match=r"classes=\[...\] for one task of classification, got kind, price"):
        adapt(lambda x: LOGITS, BOTH, classes=names)


def test_a_class_that_the_teacher_does_not_know_is_impossible():
    found = adapt(lambda x: LOGITS[:, :2], KINDS, classes=["ant", "cat"])(X)["main"]
    np.testing.assert_array_equal(found[:, [0, 2]], LOGITS[:, :2])
    assert softmax(found)[:, 1].max() < 1.1e-7


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore")


def broken(x):
    raise KeyError("alcohol")


@pytest.mark.parametrize(
    ("teacher", "error", "words"),
    [
        (lambda x: np.zeros((len(x), 7)), ShapeMismatch, "lambda> to give 3 numbers a row for 'main', it gives 7"),
        (lambda x: LOGITS.argmax(1), ShapeMismatch, "to give 3 numbers a row for 'main', it gives 1"),
        (lambda x: LOGITS[:-1], ShapeMismatch, "to answer each of 12 rows for 'main', it gives 11 answers"),
        (lambda x: LOGITS[0], ShapeMismatch, "to give 3 numbers a row for 'main', it gives 1"),
        (
            lambda x: np.array(["ant"] * len(x)),
            MissingSignal,
            "expected rows of numbers .*, the first it gives is 'ant'",
        ),
        (lambda x: [[1.0, 2.0], [1.0]], MissingSignal, r"numbers of one length .* is \[1.0, 2.0\]"),
        (lambda x: None, MissingSignal, "got NoneType"),
        (lambda x: 0.5, MissingSignal, "got float"),
        (broken, LimbeckError, r"the teacher broken to answer 12 rows \(float32 \[12, 4\]\), it raised KeyError: 'alc"),
        (
            Broken(),
            LimbeckError,
            r"the teacher Broken to answer 12 rows .*, it raised RuntimeError: mat1 .* multiplied$",
        ),
        (nn.Linear(4, 5), ShapeMismatch, "the teacher Linear to give 3 numbers a row for 'main', it gives 5"),
    ],
)
def test_teachers_that_answer_wrongly(teacher, error, words):
    with pytest.raises(error) as caught:
        adapt(teacher, KINDS)(X)
    assert re.search(words, caught.value.what) and caught.value.todo


def test_an_error_inside_a_teacher_keeps_its_cause():
    with pytest.raises(LimbeckError) as caught:
        adapt(broken, KINDS)(pd.DataFrame({"age": [1], "city": ["a"]}))
    assert isinstance(caught.value.__cause__, KeyError)
    assert "a table of 1 rows (age, city)" in caught.value.what
    with pytest.raises(KeyboardInterrupt):
        adapt(interrupted, KINDS)(X)


def interrupted(x):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (Net, "expected a trained teacher, got the class Net"),
        (7, "expected a teacher that answers: .*, got int"),
        ("mlp", "got str"),
    ],
)
def test_what_is_no_teacher(teacher, words):
    with pytest.raises(ConfigError, match=words) as caught:
        adapt(teacher, KINDS)
    assert caught.value.todo
