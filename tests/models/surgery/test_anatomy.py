import pytest
import tiny
import torch
import transformers as tf

from limbeck.core.errors import ConfigError, NotInstalled, NotSupported
from limbeck.models.surgery import Anatomy, tap_paths


@pytest.mark.parametrize("name", tiny.ALL)
def test_every_part_is_found_and_fits_the_sizes(name):
    model = tiny.make(name, depth=2)
    anatomy = Anatomy.of(model)
    assert anatomy.width == 16
    tokens = model.get_submodule(anatomy.embeddings["tokens"])
    assert tokens.weight is model.get_input_embeddings().weight
    assert set(anatomy.stacks) == (
        {"encoder", "decoder"} if name in tiny.SEQ2SEQ else {"decoder"} if name in tiny.DECODERS else {"encoder"}
    )
    for side, stack in anatomy.stacks.items():
        assert (len(stack), stack.heads) == (2, 4)
        assert stack.norms or name == "marian"
        for layer in stack.layers:
            assert (layer.cross is not None) == (len(anatomy.stacks) == 2 and side == "decoder")
            for attention in filter(None, (layer.attention, layer.cross)):
                inner = stack.heads * stack.head_size
                assert model.get_submodule(attention.output).weight.numel() == inner * 16
                if not attention.fused:
                    assert model.get_submodule(attention.query).weight.shape == (inner, 16)
                    kv = stack.kv_heads * stack.head_size
                    assert model.get_submodule(attention.key).weight.shape == (kv, 16)
                    assert model.get_submodule(attention.value).weight.shape == (kv, 16)
            for path in (*layer.ffn_in, layer.ffn_out):
                assert model.get_submodule(path).weight.numel() == stack.ffn * 16
            assert all(model.get_submodule(path).weight.shape == (16,) for path in layer.norms)


def test_gates_and_fused_projections_are_told():
    assert len(Anatomy.of(tiny.make("llama")).decoder.layers[0].ffn_in) == 2
    assert len(Anatomy.of(tiny.make("t5-gated")).encoder.layers[0].ffn_in) == 2
    assert Anatomy.of(tiny.make("gpt2")).decoder.layers[0].attention.fused
    assert Anatomy.of(tiny.make("llama")).decoder.kv_heads == 2


def test_an_encoder_of_an_encoder_decoder_alone():
    model = tf.T5EncoderModel(tf.T5Config(vocab_size=60, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4))
    assert list(Anatomy.of(model).stacks) == ["encoder"]


@pytest.mark.parametrize("name", [*tiny.ENCODERS, *tiny.DECODERS])
def test_taps_give_the_hidden_states(name):
    model = tiny.make(name, depth=2)
    paths = tap_paths(model)
    assert next(iter(paths)) == "hidden.0"
    assert ("query.2" in paths) == (name != "gpt2")
    found = {}
    for tap in ("hidden.0", "hidden.1"):
        model.get_submodule(paths[tap]).register_forward_hook(
            lambda _m, _i, out, tap=tap: found.update({tap: out[0] if isinstance(out, tuple) else out})
        )
    with torch.no_grad():
        out = model(**tiny.inputs(name), output_hidden_states=True)
    for number in (0, 1):
        assert torch.equal(found[f"hidden.{number}"], out.hidden_states[number])


def test_taps_of_an_encoder_decoder_are_refused():
    with pytest.raises(NotSupported, match="expected an encoder or a decoder alone to name its taps, got the enc"):
        tap_paths(tiny.make("bart", depth=1))


def test_an_unknown_architecture_is_refused():
    config = tf.GPTNeoConfig(
        vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, attention_types=[[["global"], 1]], bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    with pytest.raises(NotSupported, match="expected an architecture whose parts are known, got 'gpt_neo'") as caught:
        Anatomy.of(tf.GPTNeoModel(config))
    assert "known: bert, roberta" in caught.value.todo


def test_parts_elsewhere_are_said_by_name():
    model = tiny.make("bert", depth=1)
    layer = model.bert.encoder.layer[0]
    layer.attention.self.q = layer.attention.self.query
    del layer.attention.self.query
    with pytest.raises(NotSupported, match=r"expected a submodule 'encoder.layer.0.attention.self.query' in the bert"):
        Anatomy.of(model)


def test_a_module_of_torch_is_refused_and_a_model_inside_is_named():
    with pytest.raises(ConfigError, match=r"expected a transformers.PreTrainedModel, got Linear"):
        Anatomy.of(torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError) as caught:
        Anatomy.of(torch.nn.Sequential(tiny.make("bert", depth=1)))
    assert "get_submodule('0')" in caught.value.todo


def test_a_bert_with_cross_attention_is_refused():
    config = tf.BertConfig(**tiny.BERT, num_hidden_layers=1, is_decoder=True, add_cross_attention=True)
    with pytest.raises(NotSupported, match="without cross-attention"):
        Anatomy.of(tf.BertModel(config))


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    import sys

    model = tiny.make("bert", depth=1)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NotInstalled, match="pip install transformers"):
        Anatomy.of(model)
