"""Tiny models of transformers with a tokenizer of word pieces or BPE, and texts whose mood they can learn."""

import numpy as np
import pandas as pd
import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

GOOD, BAD, REST = ["good", "fine", "great"], ["bad", "dull", "poor"], ["film", "plot", "cast", "the", "a", "very"]
LETTERS = sorted(set("".join([*GOOD, *BAD, *REST])))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def texts(count, seed):
    """Sentences whose mood is that of the majority of their words of mood."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        label = int(rng.integers(2))
        right, wrong = (GOOD, BAD) if label else (BAD, GOOD)
        words = [*rng.choice(right, 2), *rng.choice(wrong, int(rng.integers(2))), *rng.choice(REST, rng.integers(2, 9))]
        made.append((" ".join(rng.permutation(words)), ["sad", "glad"][label]))
    return pd.DataFrame(made, columns=["sentence", "label"])


def word_pieces():
    """A WordPiece tokenizer with whole words, letters and two dozen words that nobody says."""
    unused = [f"{a}{b}zz" for a in "abcdef" for b in "ghij"]
    words = [*SPECIAL, *LETTERS, "z", *(f"##{letter}" for letter in [*LETTERS, "z"]), *GOOD, *BAD, *REST, *unused]
    core = Tokenizer(models.WordPiece({w: n for n, w in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def bpe():
    """A BPE tokenizer as GPT-2 has one: the end of a text is its only special token."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(texts(200, 9)["sentence"].tolist(), trainer)
    return tf.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")


def write(kind, folder, layers=3):
    """A model without a head and its tokenizer, as transformers writes them; "hf:FOLDER"."""
    tokenizer = bpe() if kind == "gpt2" else word_pieces()
    size = len(tokenizer)
    torch.manual_seed(0)
    sizes = {"vocab_size": size, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 64}
    made = {
        "bert": lambda: tf.BertModel(tf.BertConfig(**sizes, hidden_size=32, max_position_embeddings=40)),
        "roberta": lambda: tf.RobertaModel(
            tf.RobertaConfig(**sizes, hidden_size=32, max_position_embeddings=40, pad_token_id=0)
        ),
        "distilbert": lambda: tf.DistilBertModel(
            tf.DistilBertConfig(
                vocab_size=size, dim=32, n_layers=layers, n_heads=2, hidden_dim=64, max_position_embeddings=40
            )
        ),
        "gpt2": lambda: tf.GPT2Model(
            tf.GPT2Config(vocab_size=size, n_embd=32, n_layer=layers, n_head=2, n_positions=40, bos_token_id=0,
                          eos_token_id=0)
        ),
    }  # fmt: skip
    made[kind]().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"
