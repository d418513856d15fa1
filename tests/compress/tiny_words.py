"""Tiny taggers whose tokens are words or pieces of them, and rows of words for them."""

import numpy as np
import pandas as pd
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from limbeck.models.text.tagging import TaggingNetwork
from limbeck.models.text.tokens import TextEncoder

from .tiny_text import LENGTH, WORDS, tokenizer

SILENT = "\u200b"  # a word without a token of its own


def pieces():
    """Two signs a token, the rest of a word behind ##; what is no letter or digit for BERT is dropped."""
    signs = "w0123456789äöüneverseen"
    pairs = dict.fromkeys([*signs, *(a + b for a in "w0123456789" for b in "0123456789")])
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pairs, *("##" + pair for pair in pairs)])
    core = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def tagger(kind, out_sizes, tags):
    """An untrained tagger with weights large enough that words are told apart."""
    torch.manual_seed(0)
    made = tokenizer() if kind == "words" else pieces()
    config = transformers.BertConfig(
        vocab_size=len(made), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=160, pad_token_id=0, initializer_range=0.4, num_labels=out_sizes.get("main", 2),
    )  # fmt: skip
    single = list(out_sizes) == ["main"]
    auto = transformers.AutoModelForTokenClassification if single else transformers.AutoModel
    return TaggingNetwork(auto.from_config(config), TextEncoder(made, LENGTH), out_sizes, tags).eval()


def sentences(rows, seed=0, longest=30):
    """Lists of 1 to `longest` words, some unknown, some silent; the longer ones are cut."""
    rng = np.random.default_rng(seed)
    words = np.array([*WORDS[4:], "neverseen", "äöü", SILENT, SILENT], dtype=object)
    return [rng.choice(words, rng.integers(1, longest + 1)).tolist() for _ in range(rows)]


def table(rows):
    """Rows of words as a run reads them."""
    return pd.DataFrame({"tokens": pd.Series([tuple(words) for words in rows], dtype=object)})
