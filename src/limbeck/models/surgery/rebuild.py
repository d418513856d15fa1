"""A new model from a changed config and the tensors that it takes over: what from_pretrained will give again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import NotSupported, ShapeMismatch
from limbeck.core.runtime import derive_seed, device_of, seeded

M = TypeVar("M", bound=nn.Module)


def rebuild(model: M, config: Any, state: Mapping[str, Tensor]) -> M:
    """A model of the class of `model` with another config and these weights; the random streams are left alone.

    Built from its config and not cut out of a copy, because only then is everything that __init__ derives from the
    config (layer numbers, scalings, sizes) what it will be after from_pretrained. Raises NotSupported where the class
    takes more than a config, ShapeMismatch where the weights do not fit.
    """
    name = type(model).__name__
    with seeded(derive_seed("surgery", 0)):
        try:
            new: Any = type(model)(config)
        except TypeError as error:
            raise NotSupported(
                f"expected {name} to be made from its config alone, it is not: {error}",
                "do the surgery on the transformers model inside it",
            ) from error
    old: Any = model
    new = new.to(device=device_of(model))
    _leave_out(old, new)
    _as_precise(new, state)
    try:
        new.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ShapeMismatch(
            f"expected the weights to fit a new {name}, they do not: {str(error).splitlines()[-1].strip()}",
            "the model has other parts than its config says: save it, load it with from_pretrained, and try again",
        ) from error
    new.tie_weights()
    if getattr(old, "generation_config", None) is not None:
        new.generation_config = copy.deepcopy(old.generation_config)
    made: M = new.train(model.training)
    return made


def shapes(model: nn.Module, config: Any) -> dict[str, torch.Size]:
    """The shapes that the tensors of `model` have under another config, without making them."""
    with torch.device("meta"), seeded(derive_seed("surgery", 0)):
        made: Any = type(model)(copy.deepcopy(config))
    return {key: value.shape for key, value in made.state_dict().items()}


def _as_precise(new: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give every tensor the dtype of what it takes over: some models keep a part in float32."""
    for key, tensor in (*new.named_parameters(), *new.named_buffers()):
        if key in state and tensor.dtype != state[key].dtype:
            tensor.data = tensor.data.to(state[key].dtype)


def _leave_out(old: nn.Module, new: nn.Module) -> None:
    """Take off optional parts (a pooler) that the old model was made without."""
    for path, module in list(new.named_modules()):
        try:
            twin = old.get_submodule(path)
        except AttributeError:
            continue
        for name in dict(module.named_children()):
            # None is a part left out, either as a submodule or as a plain attribute
            if getattr(twin, name, module) is None:
                setattr(module, name, None)
