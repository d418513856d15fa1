"""A small network that says something about every word: convolutions over embeddings, read off at the words.

What the convolutions find at the first token of a word is the word's; tasks on whole texts beside it have the maxima
over the text, as in `small`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.models.text.alignment import at_words, refuse_slow, word_places
from limbeck.models.text.small import Plan, SmallText
from limbeck.models.text.tokens import TextEncoder, ids_of, trimmed
from limbeck.signals import MAIN


class SmallTagger(SmallText):
    """Embeddings, convolutions that keep places, a body; a linear head a task, on every word for those in `tags`."""

    def __init__(self, plan: Plan, encoder: TextEncoder, out_sizes: Mapping[str, int], tags: Sequence[str]) -> None:
        super().__init__(plan, encoder, out_sizes)
        refuse_slow(encoder.tokenizer)
        self.tags = tuple(tags)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """Where words start."""
        return ("word_starts",)

    def masks(self, rows: Tensor) -> dict[str, Tensor]:
        """Which words have an answer, bool [B, T], by task of words."""
        return dict.fromkeys(self.tags, word_places(trimmed(rows))[1])

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits [B, T, C] of words, the first of a row first, and [B, C] of whole texts."""
        mask = ((rows >= 0) & self.speaks[ids_of(rows)])[..., None]  # type: ignore[index]
        found = self.found((self.embedding(ids_of(rows)) * mask).transpose(1, 2)).transpose(1, 2) * mask
        words = self.body(at_words(found, word_places(rows)[0]))
        whole = self.body(found.amax(1))
        said = {name: head(words if name in self.tags else whole) for name, head in self.heads.items()}
        return said[MAIN] if list(said) == [MAIN] else said

    def found(self, channels: Tensor) -> Tensor:
        """What each width finds at every place, [B, F, T], of embeddings [B, D, T]."""
        return torch.cat([each.relu() for each in self.convolved(channels)], dim=1)


def small_from(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> SmallText:
    """A small network as `SmallText.files` wrote it."""
    encoder = TextEncoder.load(folder, config["max_length"])
    made = small_network(Plan.of(config["plan"]), encoder, config["out_sizes"], config.get("tags", ()))
    made.load_state_dict(dict(state))
    return made


def small_network(
    plan: Plan, encoder: TextEncoder, out_sizes: Mapping[str, int], tags: Sequence[str] = ()
) -> SmallText:
    """The small network of a plan; `tags` are its tasks of words."""
    return SmallTagger(plan, encoder, out_sizes, tags) if tags else SmallText(plan, encoder, out_sizes)
