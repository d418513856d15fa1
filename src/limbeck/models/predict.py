"""Ask a module for its answers on many rows: in eval mode, without gradients, and left as it was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.runtime import device_of
from limbeck.models.outputs import to_outputs


@contextmanager
def answering(model: nn.Module) -> Iterator[nn.Module]:
    """Put every submodule in eval mode and gradients off; the mode of each is restored afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module, training in modes:
            module.training = training


def predict(
    model: nn.Module, inputs: Tensor | np.ndarray, heads: Sequence[str], batch_size: int = 1024
) -> dict[str, np.ndarray]:
    """Outputs [N, C] float32 of each head for inputs [N, ...], in batches."""
    tensor = torch.as_tensor(inputs)
    device = device_of(model)
    parts: dict[str, list[np.ndarray]] = {head: [] for head in heads}
    with answering(model):
        for start in range(0, len(tensor), batch_size):
            outputs = to_outputs(model(tensor[start : start + batch_size].to(device)), heads)
            for head in heads:
                parts[head].append(outputs[head].float().cpu().numpy())
    return {head: np.concatenate(arrays) if arrays else np.empty((0, 0), np.float32) for head, arrays in parts.items()}
