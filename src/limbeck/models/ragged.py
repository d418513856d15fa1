"""Convolutions over series of different lengths, NaN behind the end of each, whatever they are padded to."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError


class RaggedStage(nn.Sequential):
    """Convolution, BatchNorm and ReLU, zeros behind the end of each series; only what is before it is counted."""

    def forward(self, series: Tensor, there: Tensor) -> Tensor:  # type: ignore[override]
        """Features [B, F, T] of series [B, C, T], of which the times `there` bool [B, 1, T] belong to a series."""
        convolution, norm, activation = self
        found = convolution(series)
        if self.training:  # as rows [M, F], so that the statistics are those of the times that are there
            times = found.transpose(1, 2)
            kept = there[:, 0]
            found = times.masked_scatter(kept[..., None], norm(times[kept]).to(times.dtype)).transpose(1, 2)
        else:
            found = norm(found)
        return torch.where(there, activation(found), 0.0)


class RaggedSeries(nn.Module):
    """Features [B, F] of series [B, T] or [B, C, T], the mean over the times that each of them has.

    A series ends where NaN begins. Zeros stand behind it in every layer, as the convolutions have them beyond the last
    column, so that an answer does not depend on the padding.
    """

    def __init__(self, series: nn.Module, stages: list[RaggedStage], dropout: float) -> None:
        super().__init__()
        self.series = series
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the features; a row that is NaN everywhere counts as zeros."""
        series = self.series(inputs)
        there = ~series[:, :1].isnan()
        found = torch.where(there, series, 0.0)
        for stage in self.stages:
            found = stage(found, there)
        mean = found.sum(2) / there.sum(2).clamp(min=1).to(found.dtype)
        return cast("Tensor", self.dropout(mean))


def ragged_cnn(series: nn.Module, channels: int, width: int, depth: int, reach: int, dropout: float) -> nn.Module:
    """The layers of `series_cnn`, for series of different lengths."""
    stages = [
        RaggedStage(
            nn.Conv1d(width if stage else channels, width, 2 * reach + 1, padding=2**stage * reach,
                      dilation=2**stage, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        for stage in range(depth)
    ]  # fmt: skip
    return RaggedSeries(series, stages, dropout)


def refuse_fixed(hidden: int, level: bool) -> None:
    """Refuse what needs one length, or ends where the columns do; raises ConfigError."""
    if hidden or level:
        raise ConfigError(
            f"expected ragged without hidden and level in series_cnn, got hidden={hidden} and level={level}",
            "series of different lengths are averaged over time: leave hidden and level out",
        )
