"""Tiny networks of text with a tokenizer of a few words, and rows for them."""

import numpy as np
import pandas as pd
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from limbeck.models.text.network import TextNetwork, Tokenised
from limbeck.models.text.tokens import TextEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(60))]
LENGTH = 24


def tokenizer(kind="bert"):
    """Words at spaces; segments of a pair as BERT has them, none for RoBERTa."""
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    second = "$B [SEP]" if kind == "roberta" else "$B:1 [SEP]:1"
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=f"[CLS] $A [SEP] {second}", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def network(kind, out_sizes, seed=0):
    """An untrained model of transformers with weights large enough that texts are told apart."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 160, "pad_token_id": 0, "initializer_range": 0.4,
    }  # fmt: skip
    if kind == "distilbert":
        names = ("dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings")
        sizes = dict(zip(names, (16, 1, 2, 32, 160), strict=True)) | {
            "vocab_size": len(WORDS), "pad_token_id": 0, "initializer_range": 0.4,
        }  # fmt: skip
    made = {
        "bert": transformers.BertConfig, "distilbert": transformers.DistilBertConfig,
        "roberta": transformers.RobertaConfig,
    }[kind]  # fmt: skip
    config = made(**sizes, **({"type_vocab_size": 1} if kind == "roberta" else {}))
    single = list(out_sizes) == ["main"]
    config.num_labels = out_sizes.get("main", 2)
    auto = transformers.AutoModelForSequenceClassification if single else transformers.AutoModel
    return TextNetwork(auto.from_config(config), TextEncoder(tokenizer(kind), LENGTH), out_sizes).eval()


class Tied(Tokenised):
    """The mean of token embeddings; its classes are scored by the embeddings of the first tokens (shared weights)."""

    def __init__(self, classes=3, vocabulary=64, width=8):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.out_sizes = TextEncoder(tokenizer(), LENGTH), {"main": classes}
        self.table = nn.Embedding(vocabulary, width)
        self.scores = nn.Linear(width, vocabulary, bias=False)
        self.scores.weight = self.table.weight

    def answers(self, rows):
        there = rows >= 0
        found = self.table((rows & 0xFFFFFF).clamp(max=self.table.num_embeddings - 1).long()) * there[..., None]
        pooled = found.sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return self.scores(pooled)[:, : self.out_sizes["main"]]


def texts(rows, seed=0, longest=40):
    """Sentences of 0 to `longest` words, some of them unknown; the longer ones are cut."""
    rng = np.random.default_rng(seed)
    words = [*WORDS[4:], "neverseen", "äöü"]
    return [" ".join(rng.choice(words, rng.integers(0, longest + 1))) for _ in range(rows)]


def pairs(rows, seed=0):
    """A table of two columns of texts."""
    return pd.DataFrame({"premise": texts(rows, seed), "hypothesis": texts(rows, seed + 1000, 12)})
