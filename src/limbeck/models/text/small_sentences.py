"""Small sentence networks from a large one: static embeddings, and encoders with fewer layers or less width."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from limbeck.core.errors import ConfigError
from limbeck.models.surgery.static import static_embeddings
from limbeck.models.text.network import quiet
from limbeck.models.text.sentences import SentenceNetwork, is_sentence_transformer, sentence_transformers


def static_sentences(
    teacher: Any, dim: int = 256, texts: Iterable[str] | None = None, *, normalise: bool = True
) -> SentenceNetwork:
    """A student without layers: the mean of a vector for each token, principal components of what the teacher says.

    `teacher` is a SentenceNetwork or a SentenceTransformer; tokens weigh by their frequency in `texts`, without them
    by Zipf's law. Source: model2vec (Tulkens & van Dongen, 2024) for the idea. Raises ConfigError where dim does not
    fit, or the teacher is static itself.
    """
    model = _encoder_of(teacher)
    tokenizer = model.tokenizer
    matrix = static_embeddings(model[0].model, tokenizer, dim, texts)
    package = sentence_transformers()
    from sentence_transformers.sentence_transformer import modules

    parts: list[Any] = [modules.StaticEmbedding(copy.deepcopy(tokenizer), embedding_weights=matrix)]
    if normalise:
        parts.append(modules.Normalize())
    with quiet():
        return SentenceNetwork(package.SentenceTransformer(modules=parts, device="cpu"))


def reduced_sentences(teacher: Any, change: Callable[[nn.Module], nn.Module]) -> SentenceNetwork:
    """The same model with another encoder inside: `reduced_sentences(teacher, lambda m: keep_layers(m, 2))`.

    Pooling and normalisation stay. Raises ConfigError where the encoder gives states of another width than the modules
    behind it take.
    """
    made = copy.deepcopy(_encoder_of(teacher))
    old, new = made[0].model, change(made[0].model)
    made[0].model = new
    width = int(getattr(new.config, "hidden_size", 0))
    if width != int(getattr(old.config, "hidden_size", 0)):
        for name, module in list(made.named_children())[1:]:
            if type(module).__name__ == "Dense":
                raise ConfigError(
                    f"expected an encoder of width {old.config.hidden_size} before a Dense module, got {width}",
                    "keep the width, or take the Dense module off first",
                )
            if type(module).__name__ == "Pooling":
                made._modules[name] = type(module)(**{**module.get_config_dict(), "embedding_dimension": width})
    return SentenceNetwork(made)


def _encoder_of(teacher: Any) -> Any:
    """The SentenceTransformer of a teacher that has an encoder."""
    model = teacher.model if isinstance(teacher, SentenceNetwork) else teacher
    if not is_sentence_transformer(model):
        raise ConfigError(
            f"expected a sentence network or a SentenceTransformer, got {type(teacher).__name__}",
            "load one with SentenceNetwork.load(FOLDER)",
        )
    if type(model[0]).__name__ != "Transformer":
        raise ConfigError("expected a teacher with an encoder, got static embeddings", "start from a larger model")
    return model
