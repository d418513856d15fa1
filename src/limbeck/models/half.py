"""Networks that answer in half precision: bf16, where somebody asked for it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from limbeck.core.runtime import choose_precision, device_of
from limbeck.models.text.network import Tokenised


def in_dtype(module: nn.Module, dtype: str) -> nn.Module:
    """A module that answers in "fp32" (itself) or in "bf16"; its own weights stay as they are.

    A network of text is copied with weights of bf16, which was a tenth faster on a CPU than autocast.
    Anything else runs under autocast, which leaves norms and statistics in fp32.
    Raises ConfigError where the device does not compute in bf16.
    """
    if dtype == "fp32":
        return module
    choose_precision(dtype, str(device_of(module)))
    if isinstance(module, Tokenised):
        kept = {id(module.encoder): module.encoder}  # the tokenizer is shared
        return copy.deepcopy(module, kept).to(torch.bfloat16).eval()
    return _Autocast(module)


class _Autocast(nn.Module):
    """A module whose matrix products are computed in bf16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Any) -> Any:
        with torch.autocast(device_of(self.inner).type, dtype=torch.bfloat16):
            return self.inner(inputs)
