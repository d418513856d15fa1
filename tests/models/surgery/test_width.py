import copy

import pytest
import tiny
import torch

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.surgery import Anatomy, describe, shrink
from limbeck.models.surgery.width import Sizes


def sizes(model):
    anatomy = Anatomy.of(model)
    return anatomy.width, anatomy.encoder.heads, anatomy.encoder.head_size, anatomy.encoder.ffn


def zero(model, path, rows=None, columns=None):
    """Set rows (with the bias) or columns of a linear to zero."""
    linear = model.get_submodule(path)
    with torch.no_grad():
        if rows is not None:
            linear.weight[rows] = 0
            linear.bias[rows] = 0
        if columns is not None:
            linear.weight[:, columns] = 0


@pytest.mark.parametrize("given", [None, "batches"])
@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_a_narrow_model_round_trips_bit_for_bit(name, given, tmp_path):
    model, batch = tiny.make(name), tiny.inputs(name)
    before = copy.deepcopy(model.state_dict())
    student = shrink(model, width=12, ffn=10, batches=[batch] if given else None)
    assert sizes(student) == (12, 3, 4, 10)
    assert student.config.shrunk_by == ("mean absolute activation" if given else "weight norm")
    out = tiny.answer(student, batch)
    assert out.isfinite().all()
    read = tiny.again(student, tmp_path)
    assert torch.equal(out, tiny.answer(read, batch))
    assert read.config.shrunk_by == student.config.shrunk_by
    assert describe(student)["parameters"] == describe(type(model)(student.config))["parameters"]
    assert describe(student)["parameters"] < describe(model)["parameters"]
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_shrinking_by_nothing_changes_nothing(name):
    model, batch = tiny.make(name), tiny.inputs(name)
    for asked in ({}, {"width": 16, "heads": 4, "ffn": 24}, {"batches": [batch]}):
        assert torch.equal(tiny.answer(shrink(model, **asked), batch), tiny.answer(model, batch))


@pytest.mark.parametrize("given", [None, "batches"])
@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_dead_units_of_the_ffn_go_first_and_change_nothing(name, given):
    model, batch = tiny.make(name), tiny.inputs(name)
    for number, layer in enumerate(Anatomy.of(model).encoder.layers):
        zero(model, layer.ffn_out, columns=[number, 7, 20, 23])
    student = shrink(model, ffn=20, batches=[batch] if given else None)
    assert sizes(student) == (16, 4, 4, 20)
    torch.testing.assert_close(tiny.answer(student, batch), tiny.answer(model, batch))
    assert not torch.allclose(tiny.answer(shrink(model, ffn=19), batch), tiny.answer(model, batch))


def doubled(name):
    """A model, and one of twice its width that says the same: each unit of the hidden state stands there twice.

    The norms see the same mean and variance; what reads the copies has zeros, and so have the added heads.
    """
    small = tiny.make(name)
    config = copy.deepcopy(small.config)
    config.hidden_size, config.num_attention_heads, config.embedding_size = 32, 8, 32
    if not hasattr(small.config, "embedding_size"):
        del config.embedding_size
    big = type(small)(config).eval()
    inner = {p for layer in Anatomy.of(small).encoder.layers for p in vars(layer.attention).values()}
    state = {}
    for key, value in small.state_dict().items():
        wanted = big.state_dict()[key].shape
        path, _, kind = key.rpartition(".")
        is_norm_or_embedding = "norm" in path.lower() or "embeddings" in path
        if key.endswith("relative_attention_bias.weight"):
            value = torch.cat([value, value], 1)
        elif path in inner or not is_norm_or_embedding or kind == "bias":
            is_read = value.dim() == 2 and wanted[1] == 2 * value.shape[1]
            value = torch.cat([value, torch.zeros_like(value)], 1) if is_read else value
            value = torch.cat([value, value]) if wanted[0] == 2 * len(value) else value
        else:
            axis = value.dim() - 1
            value = torch.cat([value, value], axis) if wanted[axis] == 2 * value.shape[axis] else value
        state[key] = value
    big.load_state_dict(state)
    return small, big


@pytest.mark.parametrize("name", ["bert", "roberta", "bert-base", "xlm-roberta", "distilbert", "mpnet"])
def test_a_doubled_model_is_halved_to_what_it_was(name):
    small, big = doubled(name)
    batch = tiny.inputs(name)
    if name != "roberta":  # the scores of a tied embedding read the copies too: there they double
        out = tiny.answer(small, batch)
        torch.testing.assert_close(tiny.answer(big, batch)[..., : out.shape[-1]], out)
    student = shrink(big, width=16)
    assert sizes(student) == sizes(small)
    torch.testing.assert_close(tiny.answer(student, batch), tiny.answer(small, batch))


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra-disc"])
def test_smaller_heads_keep_their_dot_products(name):
    """Zero units inside each head: the query makes up for the root of the new head size."""
    model, batch = tiny.make(name), tiny.inputs(name)
    anatomy = Anatomy.of(model)
    dead = [1, 2, 5, 7, 8, 10, 13, 15]
    for layer in anatomy.encoder.layers:
        zero(model, layer.attention.query, rows=dead)
        zero(model, layer.attention.key, rows=dead)
        zero(model, layer.attention.value, rows=dead)
    student = shrink(model, width=8, heads=4)
    assert sizes(student) == (8, 4, 2, 24)
    layer, new = anatomy.encoder.layers[1], Anatomy.of(student).encoder.layers[1]
    alive = [n for n in range(16) if n not in dead]
    for part, scale in (("query", 0.5**0.5), ("key", 1), ("value", 1)):
        bias = model.get_submodule(getattr(layer.attention, part)).bias[alive]
        assert student.get_submodule(getattr(new.attention, part)).bias.allclose(bias * scale)
    assert tiny.answer(student, batch).isfinite().all()


def test_dead_heads_go_first():
    model, batch = tiny.make("bert"), tiny.inputs("bert")
    anatomy = Anatomy.of(model)
    for number, layer in enumerate(anatomy.encoder.layers):
        zero(model, layer.attention.output, columns=range(4 * number, 4 * number + 4))
    for batches in (None, [batch]):
        student = shrink(model, width=12, batches=batches)
        for number, layer in enumerate(anatomy.encoder.layers):
            alive = [n for n in range(16) if n // 4 != number]
            path = layer.attention.value
            assert torch.equal(student.get_submodule(path).bias, model.get_submodule(path).bias[alive])


def test_padding_takes_no_part_in_the_importance():
    model, batch = tiny.make("bert"), tiny.inputs("bert")
    other = batch | {"input_ids": torch.where(batch["attention_mask"].bool(), batch["input_ids"], 7)}
    one, two = (shrink(model, width=8, ffn=9, batches=[b]) for b in (batch, other))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_real_encoder_is_halved(minilm, tmp_path):
    model, tokenizer = minilm
    batch = dict(tokenizer(["a small test", "another one, longer"], padding=True, return_tensors="pt"))
    student = shrink(model, width=192, ffn=768, batches=[batch])
    assert sizes(student) == (192, 6, 32, 768)
    assert torch.equal(tiny.answer(student, batch), tiny.answer(tiny.again(student, tmp_path), batch))


def test_sizes_that_do_not_go_together_are_refused():
    model = tiny.make("bert")
    for asked, words in (
        ({"width": 17}, "expected width from 1 to 16, got 17"),
        ({"ffn": 0}, "expected ffn from 1 to 24, got 0"),
        ({"heads": 5}, "expected heads from 1 to 4, got 5"),
        ({"width": 10}, "expected a width in heads of 4 units, got 10"),
        ({"width": 10, "heads": 3}, "expected a width that is a multiple of the 3 heads, got 10"),
        ({"heads": 2}, r"expected heads of at most 4 units, got 16 / 2 = 8"),
        ({"ffn": 8, "batches": []}, "expected at least one batch"),
    ):
        with pytest.raises(ConfigError, match=words):
            shrink(model, **asked)
    with pytest.raises(ConfigError, match="expected a width other than the 8 of the embeddings, got 8"):
        shrink(tiny.make("electra"), width=8)
    assert Sizes(16, 4, 24).head_size == 4


@pytest.mark.parametrize("name", [*tiny.DECODERS, *tiny.SEQ2SEQ])
def test_only_encoders_are_shrunk(name):
    with pytest.raises(NotSupported, match="expected an encoder to shrink in width, got the"):
        shrink(tiny.make(name, depth=1), ffn=8)
