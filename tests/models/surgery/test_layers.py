import copy

import pytest
import tiny
import torch
import transformers as tf

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.surgery import Anatomy, keep_layers, layer_importance
from limbeck.models.surgery.layers import uniform

ALONE = [*tiny.ENCODERS, *tiny.DECODERS]


@pytest.mark.parametrize("name", ALONE)
def test_fewer_layers_round_trip_bit_for_bit(name, tmp_path):
    model, batch = tiny.make(name, depth=4), tiny.inputs(name)
    before = copy.deepcopy(model.state_dict())
    student = keep_layers(model, [1, 3])
    assert type(student) is type(model)
    stack = next(iter(Anatomy.of(student).stacks.values()))
    assert len(stack) == 2
    own = student.state_dict()
    old = f"{stack.path}.3."
    kept = [key for key in before if key.startswith(old)]
    assert kept
    assert all(torch.equal(before[key], own[key.replace(old, f"{stack.path}.1.")]) for key in kept)
    assert torch.equal(tiny.answer(student, batch), tiny.answer(tiny.again(student, tmp_path), batch))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert len(next(iter(Anatomy.of(model).stacks.values()))) == 4


@pytest.mark.parametrize("name", tiny.SEQ2SEQ)
def test_encoder_and_decoder_are_cut_by_themselves(name, tmp_path):
    model, batch = tiny.make(name, depth=4), tiny.inputs(name)
    student = keep_layers(model, encoder=[1, 2, 3], decoder=1)
    anatomy = Anatomy.of(student)
    assert (len(anatomy.encoder), len(anatomy.decoder)) == (3, 1)
    read = tiny.again(student, tmp_path)
    assert torch.equal(tiny.answer(student, batch), tiny.answer(read, batch))
    source = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    written = [m.generate(**source, max_new_tokens=4, do_sample=False) for m in (student, read)]
    assert torch.equal(*written)
    assert len(Anatomy.of(keep_layers(model, decoder=2)).encoder) == 4


@pytest.mark.parametrize("name", tiny.ALL)
def test_keeping_all_layers_changes_nothing(name):
    model, batch = tiny.make(name), tiny.inputs(name)
    asked = {"encoder": 3, "decoder": 3} if name in tiny.SEQ2SEQ else {"keep": 3}
    student = keep_layers(model, **asked)
    assert student is not model
    assert torch.equal(tiny.answer(student, batch), tiny.answer(model, batch))


@pytest.mark.parametrize("name", ["t5", "bart", "gpt2", "llama"])
def test_generation_with_a_cache_uses_the_new_layer_numbers(name):
    model = tiny.make(name, depth=4)
    student = keep_layers(model, decoder=[1, 3])
    ids = tiny.inputs(name)["input_ids"][1:]
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 5, "do_sample": False}
    written = [student.generate(**asked, use_cache=cached) for cached in (True, False)]
    assert torch.equal(*written)


def test_t5_keeps_its_position_bias_where_the_first_block_goes():
    model = tiny.make("t5")
    student = keep_layers(model, encoder=[2])
    path = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert torch.equal(student.state_dict()[path], model.state_dict()[path])


def test_uniform_spreads_as_distilbert_does():
    assert uniform(6, 12) == [0, 2, 4, 7, 9, 11]
    assert uniform(1, 6) == [0]
    assert uniform(2, 6) == [0, 5]
    for of in range(1, 30):
        for count in range(1, of + 1):
            numbers = uniform(count, of)
            assert len(set(numbers)) == count
            assert numbers == sorted(numbers)
            assert numbers[0] == 0
            assert numbers[-1] == of - 1 or count == 1


def test_first_last_takes_both_ends():
    model = tiny.make("bert-base", depth=6)
    student = keep_layers(model, 3, "first_last")
    for new, old in enumerate((0, 1, 5)):
        kept, was = student.encoder.layer[new].state_dict(), model.encoder.layer[old].state_dict()
        assert all(torch.equal(kept[key], was[key]) for key in was)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_importance_drops_the_layer_that_does_nothing(name):
    model, batch = tiny.make(name, depth=3), tiny.inputs(name)
    layer = Anatomy.of(model).decoder.layers[1]
    with torch.no_grad():
        for path in (layer.attention.output, layer.ffn_out):
            for parameter in model.get_submodule(path).parameters():
                parameter.zero_()
    scores = layer_importance(model, [batch])
    assert scores[1] == pytest.approx(0, abs=1e-6)
    assert min(scores[0], scores[2]) > 1e-3
    student = keep_layers(model, 2, "importance", batches=iter([batch]))
    torch.testing.assert_close(tiny.answer(student, batch), tiny.answer(model, batch))


def test_importance_does_not_see_padding():
    model, batch = tiny.make("bert"), tiny.inputs("bert")
    scores = layer_importance(model, [batch])
    other = batch | {"input_ids": torch.where(batch["attention_mask"].bool(), batch["input_ids"], 7)}
    assert not torch.equal(other["input_ids"], batch["input_ids"])
    assert layer_importance(model, [other]) == pytest.approx(scores, abs=1e-6)


def test_importance_of_both_sides_and_the_mode_is_left_alone():
    model, batch = tiny.make("t5").train(), tiny.inputs("t5")
    assert len(layer_importance(model, [batch], "decoder")) == 3
    assert all(part.training for part in model.modules())
    student = keep_layers(model, encoder=2, decoder=2, how="importance", batches=[batch])
    assert student.training


def test_random_streams_are_left_alone():
    model = tiny.make("bert")
    torch.manual_seed(5)
    keep_layers(model, 2)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)


def test_what_cannot_be_kept_is_refused():
    model = tiny.make("bert")
    for keep, words in (
        (0, "expected 1 to 3 layers of the encoder to keep, got 0"),
        (4, "expected 1 to 3 layers"),
        ([1, 0], "in ascending order"),
        ([0, 0], "in ascending order"),
        ([3], "from 0 to 2"),
        ("all", "from 0 to 2"),
        (1.5, "from 0 to 2"),
        ([], "from 0 to 2"),
        (None, "expected layers to keep, got none"),
    ):
        with pytest.raises(ConfigError, match=words):
            keep_layers(model, keep)
    with pytest.raises(ConfigError, match="expected how to be one of uniform"):
        keep_layers(model, 2, "random")
    with pytest.raises(ConfigError, match="expected batches to measure the importance of layers, got none"):
        keep_layers(model, 2, "importance")
    with pytest.raises(ConfigError, match="expected at least one batch"):
        keep_layers(model, 2, "importance", batches=[])
    with pytest.raises(ConfigError, match="expected keep alone for a model with one stack"):
        keep_layers(tiny.make("t5"), 2)
    with pytest.raises(ConfigError, match="expected layers of the encoder of a bert, got decoder="):
        keep_layers(model, decoder=2)
    gpt = tiny.make("gpt2")
    gpt.config.scale_attn_by_inverse_layer_idx = True
    with pytest.raises(NotSupported, match="does not depend on the layer's number"):
        keep_layers(gpt, 2)


def test_a_real_encoder_loses_layers_and_round_trips(minilm, tmp_path):
    model, tokenizer = minilm
    student = keep_layers(model, 3)
    batch = tokenizer(["a small test", "another one, longer"], padding=True, return_tensors="pt")
    assert torch.equal(tiny.answer(student, batch), tiny.answer(tiny.again(student, tmp_path), batch))


def test_the_precision_of_every_tensor_is_kept(tmp_path):
    model = tiny.make("bert").to(torch.bfloat16)
    model.classifier.float()
    student = keep_layers(model, 2)
    assert {key: value.dtype for key, value in student.state_dict().items()} == {
        key: model.state_dict()[key].dtype for key in student.state_dict()
    }


def test_a_model_without_its_pooler_stays_without():
    model = tf.BertModel(tf.BertConfig(**tiny.BERT, num_hidden_layers=2), add_pooling_layer=False).eval()
    student = keep_layers(model, 2)
    assert student.pooler is None
    assert torch.equal(tiny.answer(student, tiny.inputs("bert")), tiny.answer(model, tiny.inputs("bert")))


def test_an_encoder_of_t5_alone_is_cut():
    config = tf.T5Config(vocab_size=60, d_model=16, d_kv=4, d_ff=24, num_layers=3, num_heads=4)
    student = keep_layers(tf.T5EncoderModel(config), 2)
    assert len(Anatomy.of(student).encoder) == student.config.num_layers == 2
