"""A sub-word tokenizer learned from the training texts, for networks that are trained from scratch.

Source   Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2016, arXiv:1508.07909
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import xxhash

from limbeck.core.errors import ConfigError
from limbeck.models.text.tokens import transformers

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"  # ids 0, 1 and 2
LEAST = 64

Texts: TypeAlias = Callable[[], Sequence[str]]


@dataclass(frozen=True)
class SubWords:
    """How a vocabulary is learned: its size and whether texts are lower-cased, which then holds for written texts too.

    Equal settings and texts give an equal tokenizer, so that teacher and student of a run share theirs.
    """

    vocabulary: int = 6000
    lower: bool = False

    def learn(self, texts: Sequence[str], max_length: int = 128) -> Any:
        """A fast tokenizer of transformers: byte pair encoding over words; every text ends in </s>.

        Raises ConfigError where there are no texts, or the vocabulary has no room for pieces.
        """
        if self.vocabulary < LEAST:
            raise ConfigError(
                f"expected a vocabulary of at least {LEAST} sub-words, got {self.vocabulary}", "6000 is the default"
            )
        if not any(text.strip() for text in texts):
            raise ConfigError("expected texts to learn a vocabulary from, got none", "give training rows of text")
        return _tokenizer(_learned(self, _digest(texts), tuple(texts)), max_length)


def _digest(texts: Sequence[str]) -> str:
    return xxhash.xxh3_128_hexdigest("\0".join(texts).encode())


@lru_cache(maxsize=8)
def _learned(settings: SubWords, digest: str, texts: tuple[str, ...]) -> str:
    """The tokenizer as JSON; a run asks for that of the same texts several times."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    core = Tokenizer(models.BPE(unk_token=UNKNOWN))
    steps = [normalizers.NFKC(), *([normalizers.Lowercase()] if settings.lower else [])]
    core.normalizer = normalizers.Sequence(steps)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(split=True), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary, special_tokens=[PAD, END, UNKNOWN], show_progress=False, min_frequency=2,
        limit_alphabet=settings.vocabulary // 2,
    )  # fmt: skip
    core.train_from_iterator(texts, trainer)
    end = core.token_to_id(END)
    core.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, end)])
    return str(core.to_str())


def _tokenizer(text: str, max_length: int) -> Any:
    from tokenizers import Tokenizer

    return transformers().PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), pad_token=PAD, eos_token=END, unk_token=UNKNOWN,
        model_max_length=max_length, clean_up_tokenization_spaces=False,
    )  # fmt: skip
