"""Chains of steps are read, written and refused with all their problems."""

import subprocess
import sys

import pytest

from limbeck.core.errors import ConfigError
from limbeck.models.text.chain import Chain, is_chain
from limbeck.models.text.steps import BagOfWords, KeepLayers, MaxLength, Shrink, Static, Vocabulary
from limbeck.models.zoo import ZOO
from limbeck.recipe import NETWORKS


def test_a_chain_is_its_base_and_its_steps():
    read = Chain.parse("hf:some/folder | keep_layers([0, 2], how='importance') | vocabulary(800)|max_length(64)")
    assert read.base == "hf:some/folder"
    assert read.steps == (KeepLayers((0, 2), "importance"), Vocabulary(800), MaxLength(64))
    assert read.max_length == 64
    assert not read.wants_teacher and not read.from_nothing


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("keep_layers( keep = 2 )", "keep_layers(2)"),
        ("keep_layers(encoder=2, decoder=[0,1])", "keep_layers(encoder=2, decoder=[0, 1])"),
        ("shrink(ffn=768,width=192)|frozen", "shrink(width=192, ffn=768) | frozen"),
        ("static()", "static"),
        ("static(64) | max_length(32)", "static(dim=64) | max_length(32)"),
        ("hf:a b/c", "hf:a b/c"),
        ("bag_of_words(hidden=[], dim=8)", "bag_of_words(dim=8, hidden=[])"),
        ("text_cnn(widths=[3])", "text_cnn(widths=[3])"),
    ],
)
def test_equal_chains_have_equal_texts(text, canonical):
    assert str(Chain.parse(text)) == canonical
    assert Chain.parse(canonical) == Chain.parse(text)


def test_what_a_chain_needs():
    assert Chain.parse("keep_layers(2)").wants_teacher
    assert Chain.parse("bag_of_words").steps == (BagOfWords(),)
    assert Chain.parse("bag_of_words").from_nothing and not Chain.parse("bag_of_words").wants_teacher
    assert Chain.parse("static(dim=8)").steps == (Static(8),)
    assert Chain.parse("shrink(heads=2)").steps == (Shrink(heads=2),)


@pytest.mark.parametrize(
    "text, said",
    [
        ("keep_layrs(2)", "there is no step 'keep_layrs'; did you mean 'keep_layers'?"),
        ("keep_layers(2, hwo='uniform')", "keep_layers.hwo: unknown setting; did you mean 'how'?"),
        ("keep_layers(2, how='best')", "expected one of uniform, first_last, importance, got 'best'"),
        ("keep_layers", "expected how many layers to keep, got nothing"),
        ("keep_layers(0)", "expected a number of layers or a list of their numbers, got 0"),
        ("keep_layers(2) | keep_layers(1)", "keep_layers: expected each step once, got it twice"),
        ("shrink", "expected width, heads or ffn, got nothing"),
        ("shrink(width='a')", "shrink.width: expected a whole number >= 1, got 'a'"),
        ("vocabulary", "vocabulary.size: expected a number of tokens, got None"),
        ("max_length(-1)", "max_length.tokens: expected a number of tokens >= 1, got -1"),
        ("static(dim=8) | keep_layers(2)", "static: expected nothing but max_length after it, got keep_layers"),
        ("frozen(2)", "unknown setting; known here: nothing"),
        ("keep_layers(2) | bag_of_words", "bag_of_words: expected it at the start, it is made of no other model"),
        ("hf: | frozen", "expected a folder or a name after hf:, got nothing"),
        ("keep_layers(2) | ", "expected a step such as keep_layers(2); for example keep_layers(2) | vocabulary(8000)"),
        ("keep_layers(open('x'))", "keep_layers.keep: expected a number, a text or a list"),
        ("bag_of_words(dropout=1)", "bag_of_words.dropout: expected a number from 0 up to 1, got 1"),
        ("text_cnn(widths=[])", "text_cnn.widths: expected a list of whole numbers >= 1, got []"),
        ("static(dim=8, dim=9)", "static.dim: expected a value once, got it twice"),
    ],
)
def test_refusals(text, said):
    with pytest.raises(ConfigError) as caught:
        Chain.parse(text)
    assert said in str(caught.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(ConfigError, match=r"the student 'keep_layers\(0\) \| vocabulary' has 2 problems"):
        Chain.parse("keep_layers(0) | vocabulary")


def test_what_is_meant_as_a_chain():
    others = tuple(ZOO)
    assert is_chain("kep_layers(2)", others) and is_chain("hf:x", others) and is_chain("mlp | frozen", others)
    for text in ("mlp(hidden=[4])", "mpl(hidden=[4])", "cnn", "package.module:keep_layers"):
        assert not is_chain(text, others)


def test_a_recipe_knows_the_built_in_networks_without_torch():
    assert tuple(ZOO) == NETWORKS


def test_chains_are_read_without_torch():
    code = "import limbeck.models.text.chain, sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
