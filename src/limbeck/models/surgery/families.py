"""Where the parts of each known architecture lie: one entry for each `model_type` of transformers.

Paths are relative to the base model (BertModel inside BertForSequenceClassification); those of a layer are relative to
the layer. A part that stands under one of several names has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

Names = tuple[str, ...]


@dataclass(frozen=True)
class Projections:
    """The four linears of attention; a fused one stands for query, key and value."""

    query: str
    key: str
    value: str
    output: str

    def under(self, prefix: str) -> Projections:
        """The same names inside a submodule."""
        return Projections(*(f"{prefix}.{name}" for name in (self.query, self.key, self.value, self.output)))


@dataclass(frozen=True)
class StackSpec:
    """A list of equal layers, and the names in the config of how many there are, of heads and of the FFN size."""

    layers: str
    depth: str
    heads: str
    attention: Projections
    ffn_in: tuple[Names, ...]
    ffn_out: str
    norms: Names
    ffn: str
    cross: Projections | None = None
    final_norms: Names = ()
    entry: Names = ()
    first_only: Names = ()


@dataclass(frozen=True)
class Family:
    """The embeddings of an architecture (name -> where it may lie) and its encoder, its decoder or both."""

    embeddings: Mapping[str, Names]
    encoder: StackSpec | None = None
    decoder: StackSpec | None = None
    kv_heads: str = ""
    head_size: str = ""


_EMBEDDINGS = {
    "tokens": ("embeddings.word_embeddings",),
    "positions": ("embeddings.position_embeddings",),
    "types": ("embeddings.token_type_embeddings",),
}
_BERT = StackSpec(
    layers="encoder.layer",
    depth="num_hidden_layers",
    heads="num_attention_heads",
    attention=Projections(
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"
    ),
    ffn_in=(("intermediate.dense",),),
    ffn_out="output.dense",
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    ffn="intermediate_size",
    final_norms=("embeddings.LayerNorm",),
    entry=("embeddings_project", "embeddings"),
)
_MPNET = replace(
    _BERT,
    attention=Projections("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
    norms=("attention.LayerNorm", "output.LayerNorm"),
)
_DISTILBERT = StackSpec(
    layers="transformer.layer",
    depth="n_layers",
    heads="n_heads",
    attention=Projections("q_lin", "k_lin", "v_lin", "out_lin").under("attention"),
    ffn_in=(("ffn.lin1",),),
    ffn_out="ffn.lin2",
    norms=("sa_layer_norm", "output_layer_norm"),
    ffn="hidden_dim",
    final_norms=("embeddings.LayerNorm",),
    entry=("embeddings",),
)
_GPT2 = StackSpec(
    layers="h",
    depth="n_layer",
    heads="n_head",
    attention=Projections("attn.c_attn", "attn.c_attn", "attn.c_attn", "attn.c_proj"),
    ffn_in=(("mlp.c_fc",),),
    ffn_out="mlp.c_proj",
    norms=("ln_1", "ln_2"),
    ffn="n_inner",
    final_norms=("ln_f",),
    entry=("drop",),
)
_LLAMA = StackSpec(
    layers="layers",
    depth="num_hidden_layers",
    heads="num_attention_heads",
    attention=Projections("q_proj", "k_proj", "v_proj", "o_proj").under("self_attn"),
    ffn_in=(("mlp.gate_proj", "mlp.up_proj"),),
    ffn_out="mlp.down_proj",
    norms=("input_layernorm", "post_attention_layernorm"),
    ffn="intermediate_size",
    final_norms=("norm",),
    entry=("embed_tokens",),
)
_T5_ENCODER = StackSpec(
    layers="encoder.block",
    depth="num_layers",
    heads="num_heads",
    attention=Projections("q", "k", "v", "o").under("layer.0.SelfAttention"),
    ffn_in=(
        ("layer.1.DenseReluDense.wi",),
        ("layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1"),
    ),
    ffn_out="layer.1.DenseReluDense.wo",
    norms=("layer.0.layer_norm", "layer.1.layer_norm"),
    ffn="d_ff",
    final_norms=("encoder.final_layer_norm",),
    # only the first block holds the bias of relative positions, and all others use it
    first_only=("layer.0.SelfAttention.relative_attention_bias",),
)
_T5_DECODER = replace(
    _T5_ENCODER,
    layers="decoder.block",
    depth="num_decoder_layers",
    cross=Projections("q", "k", "v", "o").under("layer.1.EncDecAttention"),
    ffn_in=(
        ("layer.2.DenseReluDense.wi",),
        ("layer.2.DenseReluDense.wi_0", "layer.2.DenseReluDense.wi_1"),
    ),
    ffn_out="layer.2.DenseReluDense.wo",
    norms=("layer.0.layer_norm", "layer.1.layer_norm", "layer.2.layer_norm"),
    final_norms=("decoder.final_layer_norm",),
)
_BART_ENCODER = StackSpec(
    layers="encoder.layers",
    depth="encoder_layers",
    heads="encoder_attention_heads",
    attention=Projections("q_proj", "k_proj", "v_proj", "out_proj").under("self_attn"),
    ffn_in=(("fc1",),),
    ffn_out="fc2",
    norms=("self_attn_layer_norm", "final_layer_norm"),
    ffn="encoder_ffn_dim",
    final_norms=("encoder.layernorm_embedding", "encoder.layer_norm"),
)
_BART_DECODER = replace(
    _BART_ENCODER,
    layers="decoder.layers",
    depth="decoder_layers",
    heads="decoder_attention_heads",
    cross=Projections("q_proj", "k_proj", "v_proj", "out_proj").under("encoder_attn"),
    norms=("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    ffn="decoder_ffn_dim",
    final_norms=("decoder.layernorm_embedding", "decoder.layer_norm"),
)
_SEQ2SEQ_EMBEDDINGS = {
    "tokens": ("shared", "encoder.embed_tokens"),
    "decoder tokens": ("decoder.embed_tokens",),
    "positions": ("encoder.embed_positions",),
    "decoder positions": ("decoder.embed_positions",),
}

_AS_BERT = Family(_EMBEDDINGS, encoder=_BERT)
_AS_LLAMA = Family({"tokens": ("embed_tokens",)}, decoder=_LLAMA, kv_heads="num_key_value_heads", head_size="head_dim")
_AS_T5 = Family(_SEQ2SEQ_EMBEDDINGS, _T5_ENCODER, _T5_DECODER, head_size="d_kv")
_AS_BART = Family(_SEQ2SEQ_EMBEDDINGS, _BART_ENCODER, _BART_DECODER)

FAMILIES: Mapping[str, Family] = {
    "bert": _AS_BERT,
    "roberta": _AS_BERT,
    "xlm-roberta": _AS_BERT,
    "camembert": _AS_BERT,
    "distilbert": Family(_EMBEDDINGS, encoder=_DISTILBERT),
    "mpnet": Family(_EMBEDDINGS, encoder=_MPNET),
    "electra": Family(_EMBEDDINGS, encoder=_BERT),
    "gpt2": Family({"tokens": ("wte",), "positions": ("wpe",)}, decoder=_GPT2),
    "llama": _AS_LLAMA,
    "mistral": _AS_LLAMA,
    "qwen2": _AS_LLAMA,
    "t5": _AS_T5,
    "bart": _AS_BART,
    "marian": _AS_BART,
    "mbart": _AS_BART,
    "pegasus": _AS_BART,
    "whisper": Family(
        {
            "tokens": ("decoder.embed_tokens",),
            "positions": ("encoder.embed_positions",),
            "decoder positions": ("decoder.embed_positions",),
        },
        _BART_ENCODER,
        _BART_DECODER,
    ),
}
