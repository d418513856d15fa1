"""A small language of names to tag, tiny models that read it by two kinds of tokens, and files of both."""

import numpy as np
import pandas as pd
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

FIRST, LAST = ["ann", "bob", "eve", "joe"], ["lee", "ray", "kim"]
PLACES, TWO = ["rome", "oslo", "york", "bern"], ["new", "old"]
VERBS, REST = ["visits", "likes", "leaves"], ["today", "often", "again", "the", "and", "quickly"]
CLOSED = ["may", "will"]  # a name behind "mr", else not
VOCABULARY = [*FIRST, *LAST, *PLACES, *TWO, *VERBS, *REST, *CLOSED, "mr", "in"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def sentence(rng):
    """Words and tags; what "may" means is in the word before it."""
    words, tags = [], []

    def add(some, kind=None):
        words.extend(some)
        tags.extend(["O"] * len(some) if kind is None else [f"{'I' if n else 'B'}-{kind}" for n in range(len(some))])

    if rng.random() < 0.5:
        add([rng.choice(FIRST), *([rng.choice(LAST)] if rng.random() < 0.5 else [])], "PER")
    else:
        add(["mr"])
        add([rng.choice([*CLOSED, *LAST])], "PER")
    add([rng.choice(CLOSED)] if rng.random() < 0.3 else [])
    add([rng.choice(VERBS)])
    place = [*([rng.choice(TWO)] if rng.random() < 0.4 else []), rng.choice(PLACES)]
    add(place, "LOC")
    add(list(rng.choice(REST, int(rng.integers(1, 5)))))
    return [str(word) for word in words], tags


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    made = [sentence(rng) for _ in range(count)]
    intent = ["visits" if "visits" in words else "other" for words, _ in made]
    return pd.DataFrame({"tokens": [w for w, _ in made], "ner_tags": [t for _, t in made], "intent": intent})


def words_tokenizer():
    """One token a word."""
    core = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*SPECIAL, *VOCABULARY])}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


def pieces_tokenizer():
    """Two letters a token, the rest of a word behind ##."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = sorted({word[i : i + 2] for word in VOCABULARY for i in range(0, len(word), 2)})
    pieces = dict.fromkeys([*SPECIAL, *letters, *pairs, *("##" + x for x in letters), *("##" + x for x in pairs)])
    core = Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return core


def make_model(folder, core, *, layers=2, width=32, seed=0, length=48):
    """A tiny BERT with its tokenizer in a folder; gives how limbeck names it."""
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=length,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=core.get_vocab_size(), hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=2 * width, max_position_embeddings=length,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return f"hf:{folder}"
