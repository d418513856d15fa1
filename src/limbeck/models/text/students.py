"""Students of text as a run knows them: handed in, pretrained, made of a teacher, or small and learnt from nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial

from torch import nn

from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.fingerprint import module_hash, object_hash
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Origin, Student, check_fit
from limbeck.models.text.chain import Chain, base_name, spelled
from limbeck.models.text.derive import derive
from limbeck.models.text.ground import Ground, as_base
from limbeck.models.text.learnt import learn_tokenizer
from limbeck.models.text.mould import Mould, pretrained
from limbeck.models.text.network import Tokenised
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.small import Plan, SmallText, silent_ids, size_of
from limbeck.models.text.steps import BagOfWords, MaxLength, TextCNN
from limbeck.models.text.tokens import TextEncoder

PROBED = (4,)  # tokens of the rows that try a network
_TOKENS = 8000  # of a tokenizer that is learnt, where nobody says


def handed_in(module: Tokenised, out_sizes: Mapping[str, int], kinds: Mapping[str, str]) -> Student:
    """A network of text that is handed in: copied for each seed."""
    name = f"{type(module).__module__}:{type(module).__qualname__}"
    return Student(
        "instance", lambda: copy.deepcopy(module), name, PROBED, out_sizes, kinds, LOGITS, module, module.encoder
    )


def text_student(text: str, out_sizes: Mapping[str, int], kinds: Mapping[str, str], ground: Ground) -> Student:
    """The student that a chain of steps describes.

    One that is made of the run's teacher has the teacher's untaught weights until `Student.taught_by` gives it others.
    Raises ConfigError where the chain is wrong, does not fit its base, or has none.
    """
    chain = Chain.parse(text)
    if chain.from_nothing:
        return _from_nothing(chain, out_sizes, kinds, ground)
    if chain.base:
        read: Callable[[], Mould] = partial(pretrained, base_name(chain.base), out_sizes, kinds)
    else:
        read = partial(Mould, as_base(ground.network, ground.who, str(chain)))
    blank = derive(read(), chain, ground, blank=True)
    check_fit(blank.network, PROBED, out_sizes, f"the student {chain}", tokens=True)

    def fingerprint() -> str:
        return object_hash([module_hash(read().network), list(read().fresh)])

    def after(network: nn.Module) -> Callable[[], nn.Module]:
        return _cast_of(lambda: derive(Mould(as_base(network, ground.who, str(chain))), chain, ground))

    make = _cast_of(lambda: derive(read(), chain, ground)) if chain.base else blank.cast
    origin = Origin(fingerprint, lambda: blank.network, after if chain.wants_teacher else None)
    kind = "derived" if any(not isinstance(step, MaxLength) for step in chain.steps) else "pretrained"
    encoder = blank.network.encoder
    return Student(kind, make, str(chain), PROBED, out_sizes, kinds, LOGITS, None, encoder, origin)


def sentence_student(text: str, out_sizes: Mapping[str, int], kinds: Mapping[str, str]) -> Student:
    """A pretrained model of sentence-transformers, or one of transformers with its tokens' mean."""
    loaded = SentenceNetwork.load(text.partition(":")[2])
    return Student(
        "pretrained", lambda: copy.deepcopy(loaded), text, PROBED, out_sizes, kinds, LOGITS, None, loaded.encoder
    )


def _cast_of(mould: Callable[[], Mould]) -> Callable[[], nn.Module]:
    """Copies of a mould that is made when the first is asked for."""
    kept = cache(mould)
    return lambda: kept().cast()


def _from_nothing(
    chain: Chain, out_sizes: Mapping[str, int], kinds: Mapping[str, str], ground: Ground
) -> Student:  # fmt: skip
    """A bag of words or a small convolutional network with the teacher's tokenizer, or with one that is learnt."""
    step = chain.steps[0]
    assert isinstance(step, BagOfWords | TextCNN)
    theirs = ground.encoder if step.vocabulary is None else None
    if theirs is None:
        tokenizer = learn_tokenizer(ground.texts(spelled(step)), step.vocabulary or _TOKENS)
    else:
        tokenizer = theirs.tokenizer
    length = chain.max_length or (theirs.max_length if theirs is not None else None)
    encoder = TextEncoder(tokenizer, length)
    several = {"filters": step.filters, "widths": step.widths} if isinstance(step, TextCNN) else {}
    plan = Plan(
        vocabulary=size_of(tokenizer), dim=step.dim, hidden=getattr(step, "hidden", ()), dropout=step.dropout,
        pair=ground.pair, silent=silent_ids(tokenizer), **several,  # type: ignore[arg-type]
    )  # fmt: skip
    with seeded(derive_seed("derive", 0)):
        network = SmallText(plan, encoder, out_sizes)
    check_fit(network, PROBED, out_sizes, f"the student {chain}", tokens=True)
    mould = Mould(network, tuple(name for name, _ in network.named_parameters()))
    origin = Origin(lambda: object_hash(asdict(plan)), lambda: network)
    return Student("text", mould.cast, str(chain), PROBED, out_sizes, kinds, LOGITS, None, encoder, origin)
