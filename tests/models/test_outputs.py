from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.models.outputs import (
    AsLogits,
    check_output_kind,
    check_width,
    looks_like_probabilities,
    strip_softmax,
    to_logits,
    to_outputs,
)

X = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "raw", [X, (X, "more"), [X], {"main": X}, {"logits": X}, {"anything": X}, SimpleNamespace(logits=X)]
)
def test_one_output_is_found_in_any_form(raw):
    assert torch.equal(to_outputs(raw, ["main"])["main"], X)


def test_several_outputs_are_found_by_name_or_in_order():
    named, placed = to_outputs({"b": X, "a": X[:, 0]}, ["a", "b"]), to_outputs((X[:, 0], X), ["a", "b"])
    for found in (named, placed):
        assert found["a"].shape == (2, 1) and torch.equal(found["b"], X)
    nested = to_outputs(SimpleNamespace(logits={"a": X, "b": X}), ["a", "b"])
    assert list(nested) == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "heads", "words"),
    [
        (X, ["a", "b"], r"expected 2 outputs \(a, b\), the model returns one tensor"),
        ({"kin": X, "price": X}, ["kind", "price"], "expected an output named 'kind', the model returns kin, price"),
        ((X,), ["a", "b"], r"expected 2 outputs \(a, b\), the model returns a tuple of 1"),
        (None, ["main"], "a tensor, a tuple, a mapping or an object with logits, got NoneType"),
    ],
)
def test_outputs_that_are_not_there(raw, heads, words):
    with pytest.raises(MissingSignal, match=words) as caught:
        to_outputs(raw, heads)
    assert caught.value.todo


def test_widths_that_do_not_fit():
    with pytest.raises(ShapeMismatch, match="expected the net to give 4 numbers a row for 'main', it gives 3"):
        check_width(X, 4, "main", "the net")
    with pytest.raises(ShapeMismatch) as caught:
        check_width(X[:, :1], 2, "main", "the net")
    assert "not the class it decides for; of one logit z make [-z/2, z/2]" in caught.value.todo
    with pytest.raises(ConfigError, match="one of logits, probabilities, auto, got 'logit'") as caught:
        check_output_kind("logit")
    assert caught.value.todo == "did you mean 'logits'?"


def test_logits_of_probabilities_give_them_back():
    logits = torch.randn(20, 4) * 3
    torch.testing.assert_close(to_logits(logits.softmax(-1), "classification").softmax(-1), logits.softmax(-1))
    torch.testing.assert_close(to_logits(logits.sigmoid(), "multilabel"), logits, atol=1e-3, rtol=1e-3)
    assert torch.equal(to_logits(logits, "regression"), logits)
    sure = to_logits(torch.tensor([[0.0, 1.0]]), "classification")
    assert torch.isfinite(sure).all() and sure[0, 0] == pytest.approx(-16.118, abs=1e-3)
    assert torch.isfinite(to_logits(torch.tensor([[0, 1]]), "multilabel")).all()


def test_probabilities_are_told_from_logits():
    logits = torch.randn(32, 5)
    soft = logits.softmax(-1)
    assert looks_like_probabilities(soft, "classification")
    assert looks_like_probabilities(soft.bfloat16(), "classification"), "half precision does not sum to one exactly"
    assert looks_like_probabilities((soft * 100).round() / 100, "classification"), "two digits, as an API gives"
    assert not looks_like_probabilities(logits, "classification")
    assert not looks_like_probabilities(logits.sigmoid(), "classification")
    assert looks_like_probabilities(logits.sigmoid(), "multilabel")
    assert not looks_like_probabilities(logits, "multilabel")
    assert not looks_like_probabilities(soft, "regression")
    assert not looks_like_probabilities(soft[:0], "classification")


class Two(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid())
        self.one, self.two = nn.Linear(4, 3), nn.Linear(4, 2)
        self.first, self.second = first, second

    def forward(self, x):
        x = self.body(x)
        return {"one": self.first(self.one(x)), "two": self.second(self.two(x))}


def paths(model, on=("one", "two")):
    return [found.path for found in strip_softmax(model, torch.randn(16, 3), ["one", "two"], on)]


def test_final_activations_of_all_heads_come_off_and_no_others():
    torch.manual_seed(0)
    assert sorted(paths(Two(nn.Softmax(-1), nn.Sigmoid()))) == ["first", "second"]
    shared = nn.Softmax(-1)
    assert sorted(paths(Two(shared, shared))) == ["first", "second"]
    assert paths(Two(nn.Softmax(-1), nn.Sigmoid()), on=("one",)) == ["first"], "a sigmoid bounds a regression"
    inside = Two(nn.Identity(), nn.Identity())
    assert paths(inside) == [] and isinstance(inside.body[1], nn.Sigmoid)


def test_a_model_of_probabilities_made_to_answer_in_logits():
    net = Two(nn.Softmax(-1), nn.Identity())
    x = torch.randn(4, 3)
    found = AsLogits(net, {"one": "classification", "two": "regression"})(x)
    torch.testing.assert_close(found["one"].exp(), net(x)["one"])
    assert torch.equal(found["two"], net(x)["two"])
