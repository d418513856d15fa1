"""Small sentence networks from a large one: static embeddings, and encoders with fewer layers or less width."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.models.surgery.static import static_embeddings
from limbeck.models.surgery.vocabulary import shrink_vocabulary
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
    model = encoder_of(teacher)
    matrix = static_embeddings(model[0].model, model.tokenizer, dim, texts)
    return mean_of_vectors(model.tokenizer, matrix, normalise=normalise)


def mean_of_vectors(
    tokenizer: Any, matrix: Tensor, *, normalise: bool = True, max_length: int | None = None
) -> SentenceNetwork:
    """The sentence network that says the mean of its tokens' vectors [V, D]; long texts are cut at `max_length`."""
    package = sentence_transformers()
    from sentence_transformers.sentence_transformer import modules

    tokenizer = copy.deepcopy(tokenizer)
    if max_length is not None:
        getattr(tokenizer, "backend_tokenizer", tokenizer).enable_truncation(max_length)
    parts: list[Any] = [modules.StaticEmbedding(tokenizer, embedding_weights=matrix)]
    if normalise:
        parts.append(modules.Normalize())
    with quiet():
        return SentenceNetwork(package.SentenceTransformer(modules=parts, device="cpu"))


def limited_sentences(network: SentenceNetwork, length: int) -> SentenceNetwork:
    """A copy that cuts texts at `length` tokens; raises ConfigError where the model takes no texts as long."""
    if network.positions is not None and length > network.positions:
        raise ConfigError(
            f"expected a max_length of at most {network.positions}, got {length}",
            "the model has no positions for longer texts",
        )
    made = copy.deepcopy(network.model)
    if network.static:
        made.tokenizer.enable_truncation(length)
    else:
        made.max_seq_length = length
    return SentenceNetwork(made)


def with_vocabulary(network: SentenceNetwork, size: int, texts: Iterable[str]) -> SentenceNetwork:
    """A copy with the `size` tokens that texts need most; raises ConfigError, NotSupported for other tokenizers."""
    made = copy.deepcopy(encoder_of(network))
    made[0].model, tokenizer = shrink_vocabulary(made[0].model, made.tokenizer, size, texts)
    tokenizer.model_max_length = network.encoder.max_length
    made[0].processor = tokenizer
    return SentenceNetwork(made)


def reduced_sentences(teacher: Any, change: Callable[[nn.Module], nn.Module]) -> SentenceNetwork:
    """The same model with another encoder inside: `reduced_sentences(teacher, lambda m: keep_layers(m, 2))`.

    Pooling and normalisation stay. Raises ConfigError where the encoder gives states of another width than the modules
    behind it take.
    """
    made = copy.deepcopy(encoder_of(teacher))
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


def encoder_of(teacher: Any) -> Any:
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
