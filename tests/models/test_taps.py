import pytest
import torch
from torch import nn

from limbeck.core.errors import MissingSignal
from limbeck.models.taps import list_taps, run


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
        self.attend = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(6, 6)
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        x = self.body(x)[:, None]
        return self.head(self.attend(x, x, x)[0][:, 0])


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_taps_and_attention_come_from_one_forward_pass():
    net, x = Net().eval(), torch.randn(2, 4)
    got = run(net, x, ["body", "body.0", "attend"], ["attend"])
    assert net.passes == 1
    assert torch.equal(got.taps["body"], net.body(x)) and torch.equal(got.taps["body.0"], net.body[0](x))
    assert got.attention["attend"].shape == (2, 2, 1, 1), "one map for each head"
    torch.testing.assert_close(got.raw, net(x))
    assert hooks(net) == 0


def test_gradients_flow_through_a_tap():
    net = Net()
    run(net, torch.randn(2, 4), ["body"]).taps["body"].sum().backward()
    assert bool(net.body[0].weight.grad.any())


def test_nothing_is_hooked_where_nothing_is_asked():
    net = Net()
    got = run(net, torch.randn(2, 4))
    assert (got.taps, got.attention, hooks(net)) == ({}, {}, 0)


@pytest.mark.parametrize(
    ("taps", "attention", "words", "todo"),
    [
        (["bodi"], [], "expected a module named 'bodi' for the tap, Net has none", "did you mean 'body'?"),
        (
            ["body"],
            ["atend"],
            "expected a module named 'atend' for the attention, Net has none",
            "did you mean 'attend'",
        ),
        (
            ["unused"],
            [],
            "expected the module 'unused' to give a tensor in the forward pass, it gave none",
            "limbeck taps",
        ),
        ([], ["body"], "expected the module 'body' to give a tensor", "limbeck taps"),
    ],
)
def test_names_that_give_nothing(taps, attention, words, todo):
    net = Net()
    with pytest.raises(MissingSignal) as caught:
        run(net, torch.randn(2, 4), taps, attention)
    assert words in caught.value.what and todo in caught.value.todo
    assert hooks(net) == 0


def test_hooks_go_where_the_model_fails():
    net = Net()
    with pytest.raises(RuntimeError):
        run(net, torch.randn(2, 5), ["body"], ["attend"])
    with pytest.raises(RuntimeError):
        list_taps(net, torch.randn(2, 5))
    assert hooks(net) == 0


def test_taps_are_listed_in_the_order_in_which_they_run():
    net = Net().train()
    net.head.eval()
    found = list_taps(net, torch.randn(2, 4))
    assert list(found) == ["body.0", "body.1", "body", "attend", "head"]
    assert found["body"] == (6,) and found["head"] == (3,)
    assert hooks(net) == 0
    assert net.training and not net.head.training, "every mode is restored"
