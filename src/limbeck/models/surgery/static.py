"""A student without layers: one vector for each token of the vocabulary, read off an encoder.

Each token goes through the encoder alone between its special tokens; principal components make the vectors short, and
frequent tokens weigh less, so that the mean over a text is a good embedding of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.core.runtime import device_of
from limbeck.models.surgery.anatomy import check_model
from limbeck.models.surgery.probe import evaluating

_ROWS = 512
_SMOOTH = 1e-3  # a of a / (a + p): tokens of probability far below it weigh 1
_UNUSED = re.compile(r"\[unused\d+\]")


def static_embeddings(model: nn.Module, tokenizer: Any, dim: int, texts: Iterable[str] | None = None) -> Tensor:
    """A matrix [V, dim] in float32 with a vector for each token id of the tokenizer.

    A token's weight is a / (a + p) with its probability p in `texts`, or by Zipf's law where there are none: then ids
    must be in the order of frequency, as they are in the vocabularies of BERT and its kin. Rows of special tokens, of
    [unused...] and of ids without a token are zero. Raises ConfigError where dim does not fit, ShapeMismatch where the
    tokenizer has ids that the model has not.
    """
    check_model(model)
    ids = ordinary_ids(tokenizer)
    size = max(tokenizer.get_vocab().values(), default=-1) + 1
    loose: Any = model
    rows, width = loose.get_input_embeddings().weight.shape[0], int(loose.config.hidden_size)
    if size > rows:
        raise ShapeMismatch(
            f"expected a tokenizer of at most {rows} tokens for {type(model).__name__}, got {size}",
            "take the tokenizer that was trained with the model",
        )
    if not 1 <= dim <= min(width, len(ids)):
        raise ConfigError(
            f"expected dim from 1 to {min(width, len(ids))}, got {dim}", "256 is a good size for a wide encoder"
        )
    weights = sif(frequencies(tokenizer, texts, size)[ids] if texts is not None else zipf(len(ids)))
    vectors = principal(_contextual(loose, tokenizer, ids), dim)
    matrix = torch.zeros(size, dim)
    matrix[ids] = (vectors * weights[:, None]).float()
    return matrix


def ordinary_ids(tokenizer: Any) -> Tensor:
    """Ids of the tokens that stand for text, ascending."""
    special = set(tokenizer.all_special_ids)
    vocabulary = tokenizer.get_vocab()
    return torch.tensor(sorted(n for token, n in vocabulary.items() if n not in special and not _UNUSED.match(token)))


def principal(vectors: Tensor, dim: int) -> Tensor:
    """Coordinates [N, dim] along the first principal components in float64; signs are fixed, so that runs agree."""
    centred = vectors.double() - vectors.double().mean(0)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes.flip(1)[:, :dim]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    made: Tensor = centred @ (axes * largest.sign())
    return made


def zipf(count: int) -> Tensor:
    """Probabilities of tokens that are sorted by frequency: in proportion to 1 / rank."""
    share = 1 / torch.arange(1, count + 1, dtype=torch.float64)
    return share / share.sum()


def sif(probabilities: Tensor) -> Tensor:
    """Smooth inverse frequency: weights near 1 for rare tokens, near 0 for frequent ones."""
    return _SMOOTH / (_SMOOTH + probabilities)


def frequencies(tokenizer: Any, texts: Iterable[str], size: int) -> Tensor:
    """Probability of each token id in texts, in float64; raises ConfigError where they hold no token."""
    counts = count_tokens(tokenizer, texts, size).double()
    if not counts.sum():
        raise ConfigError("expected texts to count tokens in, got none", "leave texts out to weigh by Zipf's law")
    return counts / counts.sum()


def count_tokens(tokenizer: Any, texts: Iterable[str], size: int) -> Tensor:
    """How often each token id occurs in texts; special tokens are not added."""
    if isinstance(texts, str):
        raise ConfigError("expected a list of texts, got one text", "put it in a list: [text]")
    counts = torch.zeros(size, dtype=torch.int64)
    rows: list[str] = []

    def flush() -> None:
        if rows:
            found = tokenizer(rows, add_special_tokens=False, padding=False, truncation=False)["input_ids"]
            flat = torch.tensor([n for row in found for n in row], dtype=torch.int64)
            counts.add_(torch.bincount(flat, minlength=size)[:size])
            rows.clear()

    for text in texts:
        rows.append(text)
        if len(rows) == _ROWS:
            flush()
    flush()
    return counts


def _contextual(model: Any, tokenizer: Any, ids: Tensor) -> Tensor:
    """What the encoder gives at the place of each token [N, D], with the special tokens around it."""
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    before, after = _around(tokenizer)
    device, parts = device_of(model), []
    with evaluating(encoder):
        for some in torch.split(ids, _ROWS):
            columns = [torch.full_like(some, n) for n in before] + [some] + [torch.full_like(some, n) for n in after]
            tokens = torch.stack(columns, dim=1).to(device)
            out = encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens))
            parts.append(out.last_hidden_state[:, len(before)].float().cpu())
    return torch.cat(parts)


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False, padding=False, truncation=False)["input_ids"]
    whole = tokenizer("a", padding=False, truncation=False)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []
