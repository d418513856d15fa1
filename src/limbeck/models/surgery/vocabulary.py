"""Students with a smaller vocabulary: the tokens that the texts need, with their rows of the embedding.

A small encoder is mostly embeddings; texts of one field use a small part of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import NotSupported, ShapeMismatch
from limbeck.models.surgery.anatomy import check_model
from limbeck.models.surgery.rebuild import M, rebuild, shapes
from limbeck.models.surgery.static import count_tokens
from limbeck.models.surgery.tokens import choose, cut, parse

# their positions are counted from the id of the padding on
_COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


def shrink_vocabulary(model: M, tokenizer: Any, size: int, texts: Iterable[str]) -> tuple[M, Any]:
    """A new model and tokenizer with `size` tokens: special ones, single characters, the most frequent in `texts`.

    Nothing becomes unknown that was not: what loses its token is cut into smaller ones. For BPE, whose tokens need
    those that they are merged of, a few less than `size` may be kept. Raises ConfigError for a slow tokenizer or a
    size that is too small, NotSupported for another kind of tokenizer, ShapeMismatch where it is not the model's.
    """
    check_model(model)
    spec = parse(tokenizer)
    loose: Any = model
    rows = loose.get_input_embeddings().weight.shape[0]
    total = max(tokenizer.get_vocab().values()) + 1
    _check(model, rows, total)
    counts = count_tokens(tokenizer, texts, total)
    must = set(tokenizer.all_special_ids) | _config_ids(loose, total)
    padding = loose.config.pad_token_id
    if loose.config.model_type in _COUNT_FROM_PADDING and padding is not None:
        must |= set(range(padding))
    kept = choose(spec, must, counts, size)
    new = {old: number for number, old in enumerate(kept)}
    student = _cut_model(model, rows, kept, new)
    return student, cut(tokenizer, spec, new)


def _check(model: nn.Module, rows: int, total: int) -> None:
    loose: Any = model
    if total > rows:
        raise ShapeMismatch(
            f"expected a tokenizer of at most {rows} tokens for {type(model).__name__}, got {total}",
            "take the tokenizer that was trained with the model",
        )
    if getattr(loose.config, "share_encoder_decoder_embeddings", True) is False:
        raise NotSupported(
            "expected one vocabulary for encoder and decoder, the config has share_encoder_decoder_embeddings=False",
            "keep its vocabulary, and make the model small elsewhere: keep_layers",
        )


def _cut_model(model: M, rows: int, kept: list[int], new: Mapping[int, int]) -> M:
    config: Any = copy.deepcopy(model.config)
    config.vocab_size = len(kept)
    if hasattr(config, "decoder_vocab_size"):
        config.decoder_vocab_size = len(kept)
    _renumber(config, new)
    index = torch.tensor(kept)
    # what changes its shape with the size of the vocabulary has a row for each token, whatever it is called
    wanted = shapes(model, config)
    state: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        axes = [n for n, of in enumerate(value.shape) if key in wanted and wanted[key][n] != of]
        if axes and value.shape[axes[0]] != rows:
            raise ShapeMismatch(f"expected {rows} rows in {key}, got {list(value.shape)}")
        state[key] = value.index_select(axes[0], index.to(value.device)) if axes else value
    student = rebuild(model, config, state)
    loose: Any = student
    if getattr(loose, "generation_config", None) is not None:
        _renumber(loose.generation_config, new)
    return student


def _config_ids(model: Any, total: int) -> set[int]:
    """Ids that the configs name: padding, begin, end, the decoder's start."""
    found: set[int] = set()
    for config in (model.config, getattr(model, "generation_config", None)):
        for value in _ids(config).values():
            found |= {n for n in (value if isinstance(value, list) else [value]) if 0 <= n < total}
    return found


def _ids(config: Any) -> dict[str, Any]:
    """The settings of a config that hold token ids, one or a list."""
    settings = vars(config) if config is not None else {}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        whole = isinstance(value, int) or (isinstance(value, list) and all(isinstance(n, int) for n in value))
        if name.endswith(("token_id", "token_ids")) and whole:
            found[name] = value
    return found


def _renumber(config: Any, new: Mapping[int, int]) -> None:
    for name, value in _ids(config).items():
        # an id beyond the vocabulary stands for no token: it stays beyond it
        changed = [new.get(n, n) for n in value] if isinstance(value, list) else new.get(value, value)
        setattr(config, name, changed)
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        if isinstance(getattr(config, name, None), list):
            setattr(config, name, [new[n] for n in getattr(config, name) if n in new])
    words = getattr(config, "bad_words_ids", None)
    if words:
        kept = [[new[n] for n in word] for word in words if all(n in new for n in word)]
        config.bad_words_ids = kept or None
