"""Weights are read from safetensors alone: a pickle is never opened."""

import pytest
import torch
import transformers

from limbeck.core.errors import ConfigError
from limbeck.models.text.network import read_model
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork


def pickled(model, folder):
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_a_folder_with_a_pickle_alone_is_refused(tmp_path):
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    bert = transformers.BertModel(transformers.BertConfig(**sizes, intermediate_size=8))
    (tmp_path / "b").mkdir()
    where = pickled(bert, tmp_path / "b")
    with pytest.raises(ConfigError, match="a model that transformers loads"):
        read_model(where, auto="AutoModel", settings={})
    with pytest.raises(ConfigError, match="a model that sentence-transformers loads"):
        SentenceNetwork.load(where)
    t5 = transformers.T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    (tmp_path / "t").mkdir()
    where = pickled(transformers.T5ForConditionalGeneration(t5), tmp_path / "t")
    with pytest.raises(ConfigError, match="safetensors"):
        Seq2SeqNetwork.pretrained(where, "main")
