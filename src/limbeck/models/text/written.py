"""Students that write texts, as a run knows them: handed in, pretrained, or small and trained from scratch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.core.errors import ConfigError
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Student
from limbeck.models.text.network import PREFIX
from limbeck.models.text.seq2seq import NAME, Seq2SeqNetwork, Seq2SeqSpec
from limbeck.models.text.students import PROBED, handed_in
from limbeck.models.text.subwords import Texts

GENERATION = "generation"


def written_by(what: Any, kinds: Mapping[str, str], texts: Texts | None = None) -> Student:
    """A student that writes texts: seq2seq(...), hf:FOLDER of an encoder-decoder, or a Seq2SeqNetwork.

    Raises ConfigError for anything else.
    """
    head = next(name for name, kind in kinds.items() if kind == GENERATION)
    sizes = {head: 0}
    if isinstance(what, Seq2SeqNetwork):
        return handed_in(what, sizes, kinds)
    if isinstance(what, str) and what.startswith(PREFIX):
        where = what.removeprefix(PREFIX)
        first = Seq2SeqNetwork.pretrained(where, head)

        def load() -> nn.Module:
            return copy.deepcopy(first)

        return Student("pretrained", load, what, PROBED, sizes, kinds, LOGITS, None, first.encoder)
    if isinstance(what, str) and what.strip().partition("(")[0] == NAME:
        spec = Seq2SeqSpec.parse(what)
        encoder = spec.encoder(texts)

        def make() -> nn.Module:
            return spec.build(encoder, head)

        return Student("name", make, spec.text, PROBED, sizes, kinds, LOGITS, None, encoder)
    named = what if isinstance(what, str) else type(what).__name__
    raise ConfigError(
        f"expected a network that writes texts for the generation task '{head}', got {named}",
        f"give hf:FOLDER of a sequence-to-sequence model, or a small one such as {NAME}(d_model=128, layers=3)",
    )
