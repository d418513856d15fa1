"""A small tokenizer learnt from the training texts: pieces of lower-cased words, the same for the same texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.models.text.tokens import transformers

PAD, UNKNOWN = "[PAD]", "[UNK]"
_CHARACTERS = 200  # of the alphabet: rarer ones are unknown


def learn_tokenizer(texts: Iterable[str], size: int) -> Any:
    """A fast tokenizer of transformers with at most `size` tokens; raises ConfigError where there is no text."""
    package = transformers()
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    rows = [text for text in texts if text.strip()]
    if not rows:
        raise ConfigError("expected training texts to learn a tokenizer from, all are empty", "check the text columns")
    # BPE with a mark at the start of words: word pieces ("##ly") get their ids in a random order from the trainer
    core = Tokenizer(models.BPE(unk_token=UNKNOWN))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()])
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[PAD, UNKNOWN], limit_alphabet=min(_CHARACTERS, max(size // 4, 1)),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(sorted(rows), trainer)  # sorted: the order of the rows is no part of it
    return package.PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, unk_token=UNKNOWN)
