"""A small network for masks: down to a coarse view of an image, and up again beside what was seen on the way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.models.net import Net, Shape
from limbeck.signals import MAIN


class UNet(nn.Module):
    """Features [B, D, H, W] of images of any size: they are padded inside to a multiple of what `depth` halvings need.

    After Ronneberger et al., arXiv:1505.04597, with BatchNorm and padded convolutions.
    """

    def __init__(self, channels: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _twice(narrow, wide) for narrow, wide in zip([channels, *sizes[:-1]], sizes, strict=True)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(
            _twice(wide + narrow, narrow) for narrow, wide in zip(sizes[-2::-1], sizes[:0:-1], strict=True)
        )
        self.step = 2**depth
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions

    def forward(self, inputs: Tensor) -> Tensor:
        """Features of images [B, H, W] or [B, C, H, W]."""
        images = inputs[:, None] if inputs.dim() == 3 else inputs
        height, breadth = images.shape[-2:]
        below, right = -height % self.step, -breadth % self.step
        if below or right:
            images = F.pad(images, (0, right, 0, below))
        seen: list[Tensor] = []
        for number, level in enumerate(self.down):
            images = level(F.max_pool2d(images, 2) if number else images)
            seen.append(images)
        images = self.dropout(seen.pop())
        for level in self.up:
            images = level(torch.cat([F.interpolate(images, scale_factor=2.0, mode="nearest"), seen.pop()], dim=1))
        found: Tensor = images[..., :height, :breadth]
        return found


class PixelNet(Net):
    """A body with features for every pixel, and one linear head on them for each task: [B, C, H, W]."""

    def __init__(
        self, body: nn.Module, features: int, out_sizes: Mapping[str, int], spec: str, in_shape: Shape
    ) -> None:
        super().__init__(body, features, out_sizes, spec, in_shape)
        heads = {name: nn.Conv2d(features, size, 1) for name, size in out_sizes.items()}
        self.head = heads[MAIN] if list(out_sizes) == [MAIN] else nn.ModuleDict(heads)


def unet(in_shape: Shape, *, width: int = 16, depth: int = 3, dropout: float = 0.0) -> tuple[nn.Module, int]:
    """Two 3x3 convolutions at each of `depth` + 1 scales; the width doubles as the scale halves. For masks.

    "unet(width=16, depth=3)" has half a million parameters, "unet(width=4, depth=3)" a sixteenth of that.
    """
    if len(in_shape) not in (2, 3):
        raise ShapeMismatch(
            f"expected images [channels, height, width] for unet, got inputs of shape {tuple(in_shape)}",
            "masks belong to images; use mlp or cnn for other tasks",
        )
    channels = in_shape[0] if len(in_shape) == 3 else 1
    return UNet(channels, width, depth, dropout), width


def _twice(narrow: int, wide: int) -> nn.Sequential:
    def conv(into: int) -> list[nn.Module]:
        return [nn.Conv2d(into, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]

    return nn.Sequential(*conv(narrow), *conv(wide))
