"""Students of text as a run knows them: handed in, pretrained, made of a teacher, or small and learnt from nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict

from torch import nn

from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.fingerprint import object_hash
from limbeck.models.fit_check import check_fit
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Origin, Student
from limbeck.models.text.chain import Chain, spelled
from limbeck.models.text.derive_sentences import refuse_sentence_steps
from limbeck.models.text.frozen import FrozenText
from limbeck.models.text.ground import Ground
from limbeck.models.text.learnt import learn_tokenizer
from limbeck.models.text.made import PROBED, SENTENCES, TEXTS, made_of
from limbeck.models.text.mould import Mould, pretrained, pretrained_sentences
from limbeck.models.text.network import TextNetwork, Tokenised
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.small import Plan, silent_ids, size_of
from limbeck.models.text.small_words import small_network
from limbeck.models.text.steps import BagOfWords, TextCNN
from limbeck.models.text.tagging import TAGGING, refuse_bag
from limbeck.models.text.tokens import TextEncoder

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
    return made_of(chain, TEXTS, lambda where: pretrained(where, out_sizes, kinds), out_sizes, kinds, ground)


def sentence_student(text: str, out_sizes: Mapping[str, int], kinds: Mapping[str, str], ground: Ground) -> Student:
    """The sentence network that a chain describes, on "st:FOLDER", "hf:FOLDER" (the mean of its tokens) or the teacher.

    Raises ConfigError where the chain is wrong, does not fit its base, or makes no sentence network.
    """
    chain = Chain.parse(text)
    refuse_sentence_steps(chain)
    return made_of(chain, SENTENCES, pretrained_sentences, out_sizes, kinds, ground)


def fine_tunes(module: nn.Module, pretrained: bool) -> bool:
    """Whether training changes a pretrained model of transformers."""
    if isinstance(module, SentenceNetwork):
        return not module.static
    if isinstance(module, Seq2SeqNetwork):
        return pretrained
    return isinstance(module, TextNetwork) and not isinstance(module, FrozenText)


def _from_nothing(
    chain: Chain, out_sizes: Mapping[str, int], kinds: Mapping[str, str], ground: Ground
) -> Student:  # fmt: skip
    """A bag of words or a small convolutional network with the teacher's tokenizer, or with one that is learnt."""
    step = chain.steps[0]
    assert isinstance(step, BagOfWords | TextCNN)
    tags = tuple(head for head, kind in kinds.items() if kind == TAGGING)
    if tags and isinstance(step, BagOfWords):
        refuse_bag(tags[0], f"the student {chain}")
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
        network = small_network(plan, encoder, out_sizes, tags)
    check_fit(network, PROBED, out_sizes, f"the student {chain}", tokens=True)
    mould = Mould(network, tuple(name for name, _ in network.named_parameters()))
    origin = Origin(lambda: object_hash(asdict(plan)), lambda: network)
    return Student("text", mould.cast, str(chain), PROBED, out_sizes, kinds, LOGITS, None, encoder, origin)
