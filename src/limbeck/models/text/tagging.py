"""Networks that say something about every word: a token classifier of transformers, or heads on its encoder.

One task is the model's own head (`AutoModelForTokenClassification`), so that what is saved loads in `from_pretrained`
and `pipeline("token-classification")`. Several tasks share the encoder: those of words have a linear head on the first
token of each word, those of whole texts one on the mean of all tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.models.text.alignment import at_words, refuse_slow, word_places
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tokens import TextEncoder, trimmed
from limbeck.signals import MAIN

TAGGING = "tagging"


class TaggingNetwork(TextNetwork):
    """A model of transformers that answers word by word for the tasks in `tags`; any encoder with `model.config`."""

    auto = "AutoModelForTokenClassification"

    def __init__(
        self, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int], tags: Sequence[str] = (MAIN,)
    ) -> None:
        super().__init__(model, encoder, out_sizes)
        refuse_slow(encoder.tokenizer)
        self.tags = tuple(tags)

    @classmethod
    def around(
        cls, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int], kinds: Mapping[str, str] | None
    ) -> TaggingNetwork:
        """The network around a model; `kinds` says which tasks are of words (all where it is None)."""
        tags = tuple(head for head in out_sizes if kinds is None or kinds[head] == TAGGING)
        return cls(model, encoder, out_sizes, tags)

    def over(self, model: nn.Module, encoder: TextEncoder) -> TaggingNetwork:
        """The same network over another model."""
        return TaggingNetwork(model, encoder, self.out_sizes, self.tags)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """Where words start, too."""
        return (*super().graph_inputs, "word_starts")

    def masks(self, rows: Tensor) -> dict[str, Tensor]:
        """Which words have an answer, bool [B, T], by task of words."""
        there = word_places(trimmed(rows))[1]
        return dict.fromkeys(self.tags, there)

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits [B, T, C] of words, the first of a row first, with zeros nowhere: `masks` says which are there."""
        inputs = self.inputs_of(rows)
        places, _ = word_places(rows)
        if not len(self.heads):
            return at_words(self.model(**inputs).logits, places)
        hidden = self.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].to(hidden.dtype)[..., None]
        pooled, words = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1), at_words(hidden, places)
        return {name: head(words if name in self.tags else pooled) for name, head in self.heads.items()}


def network_class(kinds: Mapping[str, str] | None) -> type[TextNetwork]:
    """The network for tasks of these kinds."""
    return TaggingNetwork if kinds is not None and TAGGING in kinds.values() else TextNetwork


def refuse_whole_texts(model: Any, kinds: Mapping[str, str], who: str) -> None:
    """Refuse a network that reads whole texts where a task asks for every word; raises ConfigError."""
    heads = [head for head, kind in kinds.items() if kind == TAGGING]
    wrong = [head for head in heads if head not in getattr(model, "tags", ())]
    if wrong:
        raise ConfigError(
            f"expected {who} to answer for every word of '{wrong[0]}', got {type(model).__name__}, which takes whole "
            "texts or rows",
            _TAGGERS,
        )


def refuse_bag(head: str, who: str) -> None:
    """Refuse a bag of words where a task asks for every word; always raises ConfigError."""
    raise ConfigError(
        f"expected {who} to answer for every word of '{head}', got a network that takes whole texts", _TAGGERS
    )


_TAGGERS = (
    "give a token classifier: text_cnn(...), hf:FOLDER, or a TaggingNetwork; answers of others as a table of lists"
)
