import pytest
import torch

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.models.zoo import ZOO, build, canonical, is_zoo_name, parse, with_settings

ONE, TWO = {"main": 3}, {"kind": 3, "price": 1}


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("linear", (5,)),
        ("linear", (4, 4)),
        ("mlp(hidden=[8, 4], dropout=0.5, norm=True)", (5,)),
        ("cnn(width=4)", (8, 8)),
        ("cnn(width=4, depth=3, convs=2, hidden=6, dropout=0.1)", (3, 8, 8)),
        ("resnet(width=4, blocks=2, depth=2)", (1, 8, 8)),
    ],
)
def test_networks_give_one_logit_a_class_for_each_task(spec, shape):
    x = torch.randn(2, *shape)
    assert build(spec, shape, ONE).eval()(x).shape == (2, 3)
    several = build(spec, shape, TWO).eval()(x)
    assert {name: tuple(value.shape) for name, value in several.items()} == {"kind": (2, 3), "price": (2, 1)}


def test_a_network_is_rebuilt_from_what_it_says_of_itself():
    net = build("mlp(hidden=[4])", (5,), TWO)
    again = build(net.spec, net.in_shape, net.out_sizes)
    again.load_state_dict(net.state_dict())
    x = torch.randn(3, 5)
    assert all(torch.equal(again(x)[head], value) for head, value in net(x).items())


def test_equal_networks_have_one_text():
    assert canonical("mlp") == canonical(" mlp( hidden=(64, 32) , dropout=0)") == canonical("mlp(norm=False)")
    assert canonical(canonical("mlp(norm=True)")) == canonical("mlp(norm=True)") != canonical("mlp")
    assert canonical("linear") == "linear"
    assert is_zoo_name("cnn(width=4)") and not is_zoo_name("pkg.mod:net")


def test_every_setting_of_every_network_changes_it():
    shapes = {"audio_cnn": (800,), "audio_conformer": (800,), "series_cnn": (2, 16)}
    shape = {"linear": (5,), "mlp": (5,)} | shapes
    for name in ZOO:
        for key, value in parse(name)[1].items():
            other = [3] if isinstance(value, tuple) else 0.25 if isinstance(value, float) else True
            sound = {"rate": 8000} if name.startswith("audio") else {}
            value = sound.get(key, value)
            step = value + value % 2 if sound else 1  # a kernel stays odd, heads still share a width
            other = value + step if type(value) is int else other
            first, second = (
                repr(build(with_settings(name, sound | more), shape.get(name, (1, 16, 16)), ONE))
                for more in ({}, {key: other})
            )
            assert first != second, (name, key)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mpl(hidden=[4])", "expected the name of a network, got 'mpl'.*did you mean 'mlp'"),
        ("mlp(hiden=[4])", "mlp.hiden: unknown setting; did you mean 'hidden'"),
        (
            "mlp(hidden=[4], dropout=2, norm=1)",
            "has 2 problems(.|\n)*a number from 0 up to 1, got 2(.|\n)*True or False",
        ),
        ("mlp(hidden=[0])", "a list of whole numbers >= 1, got"),
        ("cnn(width=0)", "cnn.width: expected a whole number >= 1, got 0"),
        ("cnn(width=True)", "expected a whole number >= 1, got True"),
        ("mlp(64)", "expected a network such as mlp"),
        ("mlp(hidden=[4]", "expected a network such as mlp"),
        ("mlp(hidden=__import__('os').getcwd())", "expected a network such as mlp"),
        ("linear(bias=1)", "linear.bias: unknown setting; known here: nothing"),
    ],
)
def test_specs_that_are_refused(spec, words):
    with pytest.raises(ConfigError, match="(?s)" + words):
        build(spec, (5,), ONE)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ShapeMismatch, match=r"images \[channels, height, width\] for cnn, got inputs of shape \(5,\)"):
        build("cnn", (5,), ONE)
    with pytest.raises(ShapeMismatch, match="images of at least 16 pixels a side for this cnn, got 8 x 8"):
        build("cnn(depth=4)", (8, 8), ONE)
