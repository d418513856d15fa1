"""A network that writes texts made of another: some of the layers of its encoder and decoder, with their weights."""

from __future__ import annotations

from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.text import steps
from limbeck.models.text.chain import Chain, spelled
from limbeck.models.text.derive import limited
from limbeck.models.text.ground import Ground
from limbeck.models.text.mould import Mould
from limbeck.models.text.network import positions_of
from limbeck.models.text.seq2seq import Seq2SeqNetwork

_EXAMPLE = "keep_layers(encoder=2, decoder=1)"


def writer_base(network: Any, who: str, what: str) -> Seq2SeqNetwork:
    """The network of a teacher as the base of a student; raises ConfigError where it writes no texts."""
    if not isinstance(network, Seq2SeqNetwork):
        raise ConfigError(
            f"expected a teacher that is a network that writes texts for the student {what}, got {who}",
            f"name what it is made of, for example hf:FOLDER | {what}",
        )
    return network


def refuse_writer_steps(made_by: Chain) -> None:
    """Raise ConfigError for a step that makes no network that writes texts, before any work."""
    for step in made_by.steps:
        if isinstance(step, steps.MaxLength):
            continue
        if not isinstance(step, steps.KeepLayers):
            raise ConfigError(
                f"expected keep_layers and max_length alone for a network that writes texts, got {spelled(step)}",
                f"write for example hf:FOLDER | {_EXAMPLE}, or seq2seq(...) for a small one with its own tokenizer",
            )
        if step.how == "importance":
            raise ConfigError(
                f"expected layers by place (uniform, first_last) of a network that writes texts, got {spelled(step)}",
                f"leave how out, or name the layers: {_EXAMPLE.replace('2', '[0, 3]')}",
            )


def derive_writer(base: Mould, made_by: Chain, ground: Ground, *, blank: bool = False) -> Mould:
    """The student that a network that writes becomes; raises ConfigError or NotSupported for what does not fit it."""
    from limbeck.models.surgery import keep_layers

    network = base.network
    assert isinstance(network, Seq2SeqNetwork)
    refuse_writer_steps(made_by)
    model: Any = network.model
    with seeded(derive_seed("derive", 0)):
        for step in made_by.steps:
            if isinstance(step, steps.KeepLayers):
                model = keep_layers(model, step.keep, step.how, encoder=step.encoder, decoder=step.decoder)
    encoder = network.encoder
    if made_by.max_length is not None:
        encoder = limited(encoder, made_by.max_length, positions_of(model.config))
    made = type(network)(model, encoder, next(iter(network.out_sizes)))
    return Mould(made.eval(), base.fresh)
