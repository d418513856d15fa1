"""Students that write texts, as a run knows them: handed in, pretrained, or small and trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.core.errors import ConfigError
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Student
from limbeck.models.text.chain import SENTENCES, Chain, is_chain
from limbeck.models.text.derive_writers import refuse_writer_steps
from limbeck.models.text.ground import Ground
from limbeck.models.text.made import PROBED, WRITERS, made_of
from limbeck.models.text.mould import pretrained_writer
from limbeck.models.text.seq2seq import NAME, Seq2SeqNetwork, Seq2SeqSpec
from limbeck.models.text.students import handed_in
from limbeck.models.text.subwords import Texts

GENERATION = "generation"


def written_by(what: Any, kinds: Mapping[str, str], texts: Texts | None, ground: Ground) -> Student:
    """A student that writes texts: seq2seq(...), hf:FOLDER of an encoder-decoder, some layers of one or of the teacher
    (keep_layers(encoder=2, decoder=1)), or a Seq2SeqNetwork.

    Raises ConfigError for anything else.
    """
    head = next(name for name, kind in kinds.items() if kind == GENERATION)
    sizes = {head: 0}
    if isinstance(what, Seq2SeqNetwork):
        return handed_in(what, sizes, kinds)
    if isinstance(what, str) and what.strip().partition("(")[0] == NAME:
        spec = Seq2SeqSpec.parse(what)
        encoder = spec.encoder(texts)

        def make() -> nn.Module:
            return spec.build(encoder, head)

        return Student("name", make, spec.text, PROBED, sizes, kinds, LOGITS, None, encoder)
    if isinstance(what, str) and is_chain(what, (NAME,)) and not what.startswith(SENTENCES):
        chain = Chain.parse(what)
        refuse_writer_steps(chain)
        return made_of(chain, WRITERS, lambda where: pretrained_writer(where, head), sizes, kinds, ground)
    named = what if isinstance(what, str) else type(what).__name__
    raise ConfigError(
        f"expected a network that writes texts for the generation task '{head}', got {named}",
        f"give hf:FOLDER of a sequence-to-sequence model, or a small one such as {NAME}(d_model=128, layers=3)",
    )
