"""How large a model is."""

from __future__ import annotations

from torch import nn

_FLOAT32 = 4


def describe(model: nn.Module) -> dict[str, int]:
    """Parameters, those of embeddings among them, and bytes in float32; what is shared counts once."""
    embeddings = {
        p
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for p in module.parameters()
    }
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": parameters,
        "embeddings": sum(parameter.numel() for parameter in embeddings),
        "bytes": _FLOAT32 * parameters,
    }
