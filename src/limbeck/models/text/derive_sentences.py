"""A sentence network made of another, step by step: surgery on its encoder, pooling and normalisation stay.

As in `derive`, a `blank` student has the shapes of the real one without the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.text import steps
from limbeck.models.text.chain import Chain, spelled
from limbeck.models.text.ground import Ground
from limbeck.models.text.mould import Mould
from limbeck.models.text.sentences import SentenceNetwork, split_texts
from limbeck.models.text.small_sentences import (
    encoder_of,
    limited_sentences,
    mean_of_vectors,
    reduced_sentences,
    with_vocabulary,
)
from limbeck.models.text.tokens import trimmed

_LOOKED_AT, _BATCH = 256, 32  # rows that are looked at to tell what is important


def sentence_base(network: Any, who: str, what: str) -> SentenceNetwork:
    """The network of a teacher as the base of a student; raises ConfigError where it is no sentence network."""
    if not isinstance(network, SentenceNetwork):
        raise ConfigError(
            f"expected a teacher that is a sentence network for the student {what}, got {who}",
            f"name what it is made of, for example st:FOLDER | {what}",
        )
    return network


def refuse_sentence_steps(made_by: Chain) -> None:
    """Raise ConfigError for a step that makes no sentence network, before any work."""
    for step in made_by.steps:
        name = steps.NAMES[type(step)]
        if isinstance(step, steps.Frozen | steps.BagOfWords | steps.TextCNN):
            raise ConfigError(
                f"expected a student that embeds texts for a task on embeddings, got {name}, which gives no embeddings",
                "take keep_layers, shrink, vocabulary, static or max_length of a sentence network, for example "
                "st:FOLDER | static(dim=64)",
            )
        if isinstance(step, steps.Static) and (step.hidden or step.dropout):
            raise ConfigError(
                f"expected static without hidden layers and dropout for a task on embeddings, got {spelled(step)}",
                f"write static(dim={step.dim}): the mean of its vectors is the embedding",
            )


def derive_sentences(base: Mould, made_by: Chain, ground: Ground, *, blank: bool = False) -> Mould:
    """The student that a sentence network becomes; raises ConfigError or NotSupported for a step that does not fit."""
    assert isinstance(base.network, SentenceNetwork)
    refuse_sentence_steps(made_by)
    with seeded(derive_seed("derive", 0)):
        network, length = base.network, made_by.max_length
        if length is not None and not any(isinstance(step, steps.Static) for step in made_by.steps):
            network, length = limited_sentences(network, length), None
        for step in made_by.steps:
            if not isinstance(step, steps.MaxLength):
                network = _Knife(network, ground, blank, length).done(step)
        return Mould(network.eval())


@dataclass(frozen=True)
class _Knife:
    """A sentence network and what is needed to cut it; each step gives another, this one stays as it is."""

    network: SentenceNetwork
    ground: Ground
    blank: bool
    static_length: int | None

    def done(self, step: steps.Step) -> SentenceNetwork:
        if isinstance(step, steps.Vocabulary):
            assert step.size is not None
            return with_vocabulary(self.network, step.size, self.ground.texts(spelled(step)))
        if isinstance(step, steps.Static):
            return self._static(step)
        cut = self._layers if isinstance(step, steps.KeepLayers) else self._shrunk
        return reduced_sentences(self.network, lambda model: cut(model, step))

    def _batches(self, what: str) -> Iterator[Mapping[str, Tensor]]:
        """Token batches of both texts of the first training rows, as the encoder takes them."""
        inputs = self.ground.inputs(what)
        some = inputs.iloc[:_LOOKED_AT] if hasattr(inputs, "iloc") else list(inputs)[:_LOOKED_AT]
        first, second, has = split_texts(torch.from_numpy(self.network.encoder.encode(some)))
        for part in torch.split(torch.cat([first, second[has]]), _BATCH):
            yield self.network.inputs_of(trimmed(part))

    def _layers(self, model: nn.Module, step: Any) -> nn.Module:
        from limbeck.models.surgery import keep_layers

        counted = any(isinstance(n, int) for n in (step.keep, step.encoder, step.decoder))
        look = step.how == "importance" and counted and not self.blank
        how = "uniform" if self.blank and step.how == "importance" else step.how
        batches = self._batches("keep_layers(how='importance')") if look else None
        return keep_layers(model, step.keep, how, encoder=step.encoder, decoder=step.decoder, batches=batches)

    def _shrunk(self, model: nn.Module, step: Any) -> nn.Module:
        from limbeck.models.surgery import shrink

        look = self.ground.rows is not None and not self.blank
        return shrink(model, step.width, step.heads, step.ffn, self._batches("shrink") if look else None)

    def _static(self, step: steps.Static) -> SentenceNetwork:
        from limbeck.models.surgery.static import ordinary_ids, static_embeddings

        model = encoder_of(self.network)
        tokenizer = model.tokenizer
        most = min(int(model[0].model.config.hidden_size), len(ordinary_ids(tokenizer)))
        if step.dim > most:
            raise ConfigError(
                f"expected a dim of at most {most}, the width of the encoder or its number of tokens, got {step.dim}",
                "static vectors are its principal components",
            )
        if self.blank:
            matrix = torch.zeros(max(tokenizer.get_vocab().values()) + 1, step.dim)
        else:
            texts = self.ground.texts("static") if self.ground.rows is not None else None
            matrix = static_embeddings(model[0].model, tokenizer, step.dim, texts)
        return mean_of_vectors(tokenizer, matrix, max_length=self.static_length or self.network.encoder.max_length)
