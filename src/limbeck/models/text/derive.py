"""A student made of a model of transformers, step by step: surgery is the same for every seed, only heads are drawn.

A `blank` student has the shapes of the real one without the work (no pass over texts, no reading of vectors): it is
enough to describe, to check and to time it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.text import steps
from limbeck.models.text.chain import Chain, spelled
from limbeck.models.text.frozen import FrozenText, Memory
from limbeck.models.text.ground import Ground
from limbeck.models.text.mould import Mould
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.small import Plan, SmallText, silent_ids, size_of
from limbeck.models.text.tokens import TextEncoder, trimmed

Encoder = TypeVar("Encoder", bound=TextEncoder)
_LOOKED_AT, _BATCH = 256, 32  # rows that are looked at to tell what is important
_SCALED_ON = 2000


@dataclass
class _Stock:
    """A model under the knife with all that hangs on it."""

    network: TextNetwork
    fresh: set[str]
    ground: Ground
    blank: bool

    def batches(self, what: str) -> Iterator[Mapping[str, Tensor]]:
        """Token batches of the first training rows, as the model takes them."""
        inputs = self.ground.inputs(what)
        some = inputs.iloc[:_LOOKED_AT] if hasattr(inputs, "iloc") else list(inputs)[:_LOOKED_AT]
        rows = torch.from_numpy(self.network.encoder.encode(some))
        for part in torch.split(rows, _BATCH):
            yield self.network.inputs_of(trimmed(part))

    def take(self, model: nn.Module, encoder: TextEncoder | None = None) -> None:
        """Go on with another model, with the heads of this one where they fit."""
        old = self.network
        self.network = old.over(model, encoder or old.encoder)
        for name, head in old.heads.items():
            if head.weight.shape == self.network.heads[name].weight.shape:
                self.network.heads[name].load_state_dict(head.state_dict())
            else:
                self.fresh |= {f"heads.{name}.weight", f"heads.{name}.bias"}


def derive(base: Mould, made_by: Chain, ground: Ground, *, blank: bool = False) -> Mould:
    """The student that a base becomes; raises ConfigError or NotSupported for a step that does not fit it."""
    assert isinstance(base.network, TextNetwork)
    with seeded(derive_seed("derive", 0)):  # what is drawn here is drawn again for each student
        stock = _Stock(_begun(base.network, made_by.max_length, blank), set(base.fresh), ground, blank)
        for step in made_by.steps:
            if isinstance(step, steps.Static | steps.Frozen):
                _refuse_words(stock, step)
            if isinstance(step, steps.Static):
                return _static(stock, step)
            if isinstance(step, steps.Frozen):
                return _frozen(stock)
            if not isinstance(step, steps.MaxLength):
                _DOES[type(step)](stock, step)
        return Mould(stock.network, tuple(sorted(stock.fresh)))


def _refuse_words(stock: _Stock, step: steps.Step) -> None:
    if stock.network.tags:
        raise ConfigError(
            f"expected a student that answers for every word of '{stock.network.tags[0]}', got {spelled(step)}, which "
            "answers for whole texts",
            "take keep_layers, shrink or vocabulary",
        )


def _begun(network: TextNetwork, max_length: int | None, blank: bool) -> TextNetwork:
    """The base to work on: a copy (weights that were read from a file do not lie as those that were trained do)."""
    model = network.model if blank else copy.deepcopy(network.model)
    encoder = network.encoder
    if max_length is not None:
        encoder = limited(encoder, max_length, network.positions)
    made = network.over(model, encoder)
    made.heads.load_state_dict(network.heads.state_dict(), strict=not isinstance(network, FrozenText))
    return made.eval()


def limited(encoder: Encoder, length: int, most: int | None) -> Encoder:
    """The tokenizer with another length, whatever it says itself.

    Raises ConfigError where the model takes no texts as long.
    """
    if most is not None and length > most:
        raise ConfigError(
            f"expected a max_length of at most {most}, got {length}", "the model has no positions for longer texts"
        )
    made = copy.copy(encoder)
    vars(made).pop("fingerprint", None)
    made.max_length = length
    return made


def _keep_layers(stock: _Stock, step: steps.KeepLayers) -> None:
    from limbeck.models.surgery import keep_layers

    counted = any(isinstance(n, int) for n in (step.keep, step.encoder, step.decoder))
    look = step.how == "importance" and counted and not stock.blank
    how = "uniform" if stock.blank and step.how == "importance" else step.how
    batches = stock.batches("keep_layers(how='importance')") if look else None
    model: Any = stock.network.model
    stock.take(keep_layers(model, step.keep, how, encoder=step.encoder, decoder=step.decoder, batches=batches))


def _shrink(stock: _Stock, step: steps.Shrink) -> None:
    from limbeck.models.surgery import shrink

    look = stock.ground.rows is not None and not stock.blank
    model: Any = stock.network.model
    stock.take(shrink(model, step.width, step.heads, step.ffn, stock.batches("shrink") if look else None))


def _vocabulary(stock: _Stock, step: steps.Vocabulary) -> None:
    from limbeck.models.surgery import shrink_vocabulary

    texts = stock.ground.texts(spelled(step))
    encoder, model = stock.network.encoder, stock.network.model
    assert step.size is not None
    made, tokenizer = shrink_vocabulary(model, encoder.tokenizer, step.size, texts)
    stock.take(made, TextEncoder(tokenizer, encoder.max_length))


def _static(stock: _Stock, step: steps.Static) -> Mould:
    from limbeck.models.surgery import static_embeddings
    from limbeck.models.surgery.static import ordinary_ids

    network, ground = stock.network, stock.ground
    tokenizer = network.encoder.tokenizer
    most = min(network.width, len(ordinary_ids(tokenizer)))
    if step.dim > most:
        raise ConfigError(
            f"expected a dim of at most {most}, the width of the encoder or its number of tokens, got {step.dim}",
            "static vectors are its principal components",
        )
    plan = Plan(size_of(tokenizer), step.dim, step.hidden, step.dropout, pair=ground.pair, silent=silent_ids(tokenizer))
    made = SmallText(plan, network.encoder, network.out_sizes)
    if not stock.blank:
        texts = ground.texts("static") if ground.rows is not None else None
        made.embedding.weight.data.copy_(static_embeddings(network.model, tokenizer, step.dim, texts))
        if ground.rows is not None:
            _scale(made, ground.inputs("static"))
    return Mould(made, tuple(name for name, _ in made.named_parameters() if not name.startswith("embedding.")))


def _scale(network: SmallText, inputs: Any) -> None:
    """Vectors of such length that features of texts are about 1: the weights of rare tokens make them very short."""
    some = inputs.iloc[:_SCALED_ON] if hasattr(inputs, "iloc") else list(inputs)[:_SCALED_ON]
    with torch.no_grad():
        rows = trimmed(torch.from_numpy(network.encoder.encode(some)))
        mean_square = network.pooled(rows)[:, : network.plan.dim].square().mean()
        network.embedding.weight /= mean_square.sqrt().clamp(min=1e-6)


def _frozen(stock: _Stock) -> Mould:
    base = copy.deepcopy(stock.network.model.base_model)
    made = FrozenText(base, stock.network.encoder, stock.network.out_sizes, Memory())
    return Mould(made, tuple(f"heads.{name}" for name in made.heads.state_dict()))


_DOES: Mapping[type[steps.Step], Callable[[_Stock, Any], None]] = {
    steps.KeepLayers: _keep_layers,
    steps.Shrink: _shrink,
    steps.Vocabulary: _vocabulary,
}
