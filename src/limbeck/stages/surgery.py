"""Students of text made by hand: surgery on a model of transformers, a network of text, or a taught teacher.

    teacher = lb.teach("hf:FOLDER", data)
    run = lb.distill(teacher, lb.keep_layers(teacher, 2), data)

A network or a teacher gives a network of text, with its tokenizer, that `distill` takes as a student: one that embeds
of a SentenceNetwork or a SentenceTransformer, one that writes of one that writes. A model of transformers gives a model
of transformers. `texts` are training texts (a list, or a table of one or two columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from torch import nn

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.surgery.layers import Keep
from limbeck.models.text.chain import Chain, spelled
from limbeck.models.text.ground import Ground
from limbeck.models.text.made import Craft
from limbeck.models.text.mould import Mould
from limbeck.models.text.network import TextNetwork, Tokenised
from limbeck.models.text.sentences import SentenceNetwork, is_sentence_transformer
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.steps import KeepLayers, Shrink, Static, Step, Vocabulary
from limbeck.models.text.tokens import TextEncoder, model_inputs, trimmed
from limbeck.signals import MAIN
from limbeck.stages.bases import taught_network
from limbeck.stages.taught import TaughtNetwork
from limbeck.stages.teachers import GivenTeacher

T = TypeVar("T")


def keep_layers(
    what: T, keep: Keep | None = None, how: str = "uniform", *, encoder: Keep | None = None,
    decoder: Keep | None = None, texts: Any = None, tokenizer: Any = None,
) -> T:  # fmt: skip
    """A copy with some of the layers, with their weights: so many, or these numbers from 0.

    `how` is "uniform", "first_last" or "importance" (by `texts`); `encoder` and `decoder` are for models with both. A
    model of transformers needs its `tokenizer` where texts are looked at. Raises ConfigError, NotSupported.
    """
    if isinstance(what, nn.Module) and _bare(what):
        from limbeck.models.surgery import keep_layers as cut

        batches = _batches(what, texts, tokenizer)
        return cut(what, keep, how, encoder=encoder, decoder=decoder, batches=batches)
    step = KeepLayers(_plain(keep), how, _plain(encoder), _plain(decoder))
    return cast(T, _made(what, step, texts))


def shrink(
    what: T, width: int | None = None, heads: int | None = None, ffn: int | None = None, *, texts: Any = None,
    tokenizer: Any = None,
) -> T:  # fmt: skip
    """A copy with less width, fewer heads, a smaller FFN; what is important is measured on `texts`, else by weights.

    Raises ConfigError, NotSupported for anything but an encoder.
    """
    if isinstance(what, nn.Module) and _bare(what):
        from limbeck.models.surgery import shrink as cut

        return cut(what, width, heads, ffn, _batches(what, texts, tokenizer))
    return cast(T, _made(what, Shrink(width, heads, ffn), texts))


def shrink_vocabulary(what: Any, size: int, texts: Any, *, tokenizer: Any = None) -> Any:
    """A copy with the `size` tokens that `texts` need most, tokenizer and embeddings.

    A model of transformers needs its `tokenizer`, and gives the pair (model, tokenizer). Raises ConfigError,
    NotSupported for tokenizers of other kinds than word pieces, BPE and unigrams.
    """
    if isinstance(what, nn.Module) and _bare(what):
        from limbeck.models.surgery import shrink_vocabulary as cut

        _needed(what, tokenizer)
        return cut(what, tokenizer, size, Ground(lambda: texts).texts("vocabulary"))
    return _made(what, Vocabulary(size), texts)


def static_embeddings(
    what: Any, dim: int, *, texts: Any = None, hidden: Sequence[int] = (), tokenizer: Any = None
) -> Tokenised:
    """A network without layers: a vector for each token, read off the encoder, their mean, `hidden` layers, a head.

    Frequent tokens weigh less, by `texts` where they are given. The heads are fresh; a network that embeds has none,
    and takes no `hidden` layers. A model of transformers needs its `tokenizer`. Raises ConfigError.
    """
    if isinstance(what, nn.Module) and _bare(what):
        _needed(what, tokenizer)
        loose: Any = what
        what = TextNetwork(what, TextEncoder(tokenizer), {MAIN: int(getattr(loose.config, "num_labels", 2))})
    return _made(what, Static(dim, tuple(hidden)), texts)


def _made(what: Any, step: Step, texts: Any) -> Tokenised:
    """One step done to a network of text or to a teacher; the heads that it needs are always the same."""
    name = spelled(step)
    if problems := [Problem(f"{name.partition('(')[0]}.{key}", wrong) for key, wrong in step.complaints()]:
        raise ConfigError.of(problems, name)
    network = _network(what, name)
    made = Craft.of(network).derive(
        Mould(network), Chain("", (step,)), Ground(None if texts is None else lambda: texts)
    )
    with seeded(derive_seed("derive", 0)):
        return made.cast()


def _bare(module: nn.Module) -> bool:
    """Whether it is a model of transformers, without its tokenizer."""
    return not isinstance(module, Tokenised) and not is_sentence_transformer(module)


def _network(what: Any, name: str) -> Tokenised:
    if isinstance(what, TaughtNetwork | GivenTeacher):
        what = taught_network(what)
    if is_sentence_transformer(what):
        what = SentenceNetwork.of(what)
    if not isinstance(what, TextNetwork | SentenceNetwork | Seq2SeqNetwork):
        raise ConfigError(
            f"expected a model of transformers, a network of text or a teacher that is one for {name}, "
            f"got {type(what).__name__}",
            "give what lb.teach('hf:FOLDER', data) returns, a SentenceTransformer, or a model of transformers",
        )
    return what


def _batches(model: nn.Module, texts: Any, tokenizer: Any) -> list[dict[str, Any]] | None:
    """Token batches of texts for a model of transformers; None where there are no texts."""
    import torch

    if texts is None:
        return None
    _needed(model, tokenizer)
    loose: Any = model
    segments = int(getattr(loose.config, "type_vocab_size", 0) or 0) > 1
    rows = torch.from_numpy(TextEncoder(tokenizer).encode(texts))
    padding = int(getattr(loose.config, "pad_token_id", None) or 0)
    return [model_inputs(trimmed(part), segments, padding) for part in torch.split(rows, 32)]


def _needed(model: nn.Module, tokenizer: Any) -> None:
    if tokenizer is None:
        raise ConfigError(f"expected the tokenizer of {type(model).__name__}, got none", "give tokenizer=...")


def _plain(keep: Keep | None) -> int | tuple[int, ...] | None:
    return keep if keep is None or isinstance(keep, int) else tuple(keep)
