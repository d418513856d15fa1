"""Students that a chain of steps makes of a model of transformers, a sentence network or a network that writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from torch import nn

from limbeck.models.fingerprint import module_hash, object_hash
from limbeck.models.fit_check import check_fit
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Origin, Student
from limbeck.models.text.chain import Chain, base_name
from limbeck.models.text.derive import derive
from limbeck.models.text.derive_sentences import derive_sentences, sentence_base
from limbeck.models.text.derive_writers import derive_writer, writer_base
from limbeck.models.text.ground import Ground, as_base
from limbeck.models.text.mould import Mould
from limbeck.models.text.network import Tokenised
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.steps import MaxLength

PROBED = (4,)  # tokens of the rows that try a network


class Deriving(Protocol):
    """Does the steps of a chain to a base."""

    def __call__(self, base: Mould, made_by: Chain, ground: Ground, *, blank: bool = False) -> Mould:
        """The student; `blank` gives its shapes without the work."""
        ...


@dataclass(frozen=True)
class Craft:
    """How networks of one kind become students: `base` takes one or refuses what is none, `derive` does the steps."""

    base: Callable[[Any, str, str], Tokenised]
    derive: Deriving

    @classmethod
    def of(cls, network: Any) -> Craft:
        """The craft for a network."""
        if isinstance(network, SentenceNetwork):
            return SENTENCES
        return WRITERS if isinstance(network, Seq2SeqNetwork) else TEXTS


TEXTS, SENTENCES = Craft(as_base, derive), Craft(sentence_base, derive_sentences)
WRITERS = Craft(writer_base, derive_writer)


def made_of(
    chain: Chain, craft: Craft, pretrained: Callable[[str], Mould], out_sizes: Mapping[str, int],
    kinds: Mapping[str, str], ground: Ground,
) -> Student:  # fmt: skip
    """The student that a chain makes of its base, which `pretrained` reads, or of the run's teacher.

    The latter has the teacher's untaught weights until `Student.taught_by` gives it others. Raises ConfigError where
    the chain does not fit its base, or has none.
    """

    def theirs(network: Any) -> Mould:
        return Mould(craft.base(network, ground.who, str(chain)))

    if chain.base:

        def read() -> Mould:
            return pretrained(base_name(chain.base))
    else:
        first = theirs(ground.network)

        def read() -> Mould:
            return first

    blank = craft.derive(read(), chain, ground, blank=True)
    check_fit(blank.network, PROBED, out_sizes, f"the student {chain}", tokens=True)

    def fingerprint() -> str:
        return object_hash([module_hash(read().network), list(read().fresh)])

    def after(network: nn.Module) -> Callable[[], nn.Module]:
        return _cast_of(lambda: craft.derive(theirs(network), chain, ground))

    make = _cast_of(lambda: craft.derive(read(), chain, ground)) if chain.base else blank.cast
    origin = Origin(fingerprint, lambda: blank.network, after if chain.wants_teacher else None)
    kind = "derived" if any(not isinstance(step, MaxLength) for step in chain.steps) else "pretrained"
    encoder = blank.network.encoder
    return Student(kind, make, str(chain), PROBED, out_sizes, kinds, LOGITS, None, encoder, origin)


def _cast_of(mould: Callable[[], Mould]) -> Callable[[], nn.Module]:
    """Copies of a mould that is made when the first is asked for."""
    kept = cache(mould)
    return lambda: kept().cast()
