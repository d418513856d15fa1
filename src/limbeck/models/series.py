"""A small network for series: one-dimensional convolutions whose reach doubles from layer to layer."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.models.ragged import ragged_cnn, refuse_fixed

Shape = tuple[int, ...]


class Series(nn.Module):
    """Series [B, T] or [B, C, T] as [B, C, T]."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the batch three dimensions."""
        return inputs[:, None] if inputs.dim() == 2 else inputs


class FromLast(nn.Module):
    """Features of a series less its last values, and these values beside them: a level that moves is no news."""

    def __init__(self, shape: nn.Module, features: nn.Module) -> None:
        super().__init__()
        self.shape = shape
        self.features = features

    def forward(self, inputs: Tensor) -> Tensor:
        """Features and last values [B, F + C]."""
        series = self.shape(inputs)
        last = series[..., -1]
        return torch.cat([self.features(series - last[..., None]), last], dim=1)


def series_cnn(
    in_shape: Shape,
    *,
    width: int = 32,
    depth: int = 3,
    reach: int = 3,
    hidden: int = 0,
    dropout: float = 0.0,
    level: bool = False,
    ragged: bool = False,
) -> tuple[nn.Module, int]:
    """Convolutions over time with BatchNorm, each reaching twice as far as the one before; rows are [T] or [C, T].

    `reach` is how many times to either side the first one sees. After Wang et al., arXiv:1611.06455, with the dilations
    of Bai et al., arXiv:1803.01271. `hidden` 0 averages over time, for classes; `hidden` > 0 puts a fully connected
    layer on all times, for forecasts, where the last ones count most. `level` takes the last value of each channel off
    and hands it to the last layer (as Zeng et al., arXiv:2205.13504): forecasts of series whose level moves.
    `ragged` takes series of different lengths, NaN behind the end of each. Raises ShapeMismatch for other shapes and
    ConfigError for `ragged` with `hidden` or `level`.
    """
    channels, length = _series_shape(in_shape)
    if ragged:
        refuse_fixed(hidden, level)
        return ragged_cnn(Series(), channels, width, depth, reach, dropout), width
    own, layers = channels, OrderedDict[str, nn.Module](series=Series())
    for stage in range(depth):
        step = 2**stage
        layers[f"stage{stage + 1}"] = nn.Sequential(
            nn.Conv1d(channels, width, 2 * reach + 1, padding=step * reach, dilation=step, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        channels = width
    features = width
    if hidden:
        layers["hidden"] = nn.Sequential(nn.Flatten(), nn.Linear(width * length, hidden), nn.ReLU())
        features = hidden
    else:
        layers["pool"] = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    if level:
        shape = layers.pop("series")
        return FromLast(shape, nn.Sequential(layers)), features + own
    return nn.Sequential(layers), features


def _series_shape(in_shape: Shape) -> tuple[int, int]:
    if len(in_shape) not in (1, 2):
        raise ShapeMismatch(
            f"expected series [times] or [channels, times] for series_cnn, got inputs of shape {tuple(in_shape)}",
            "use cnn or resnet for images",
        )
    return (1, in_shape[0]) if len(in_shape) == 1 else (in_shape[0], in_shape[1])
