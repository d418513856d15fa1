"""What networks of sound share: from clips to frames, masked throughout, and from frames to one answer or many.

A body turns features [B, mels, T] into frames [B, D, T'], every `subsample`-th one of the front end. What stands
behind the end of a clip is set to zero after each layer, so that an answer does not depend on the padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.models.audio.front import LogMel, trimmed
from limbeck.models.net import Net

_SAMPLES = 1 << 20  # of a part of the rows that are answered at once


class Body(nn.Module):
    """Front end and layers; its features are frames [B, T, D], or [B, 2·D] pooled over a clip (mean and maximum)."""

    def __init__(self, layers: nn.ModuleList, width: int, rate: int, mels: int, subsample: int, by_frame: bool) -> None:
        super().__init__()
        self.front = LogMel(rate, mels)
        self.layers = layers
        self.subsample, self.by_frame = subsample, by_frame
        self.features = width if by_frame else 2 * width

    def mask(self, clips: Tensor) -> Tensor:
        """Which frames [B, T] of the answers belong to a clip."""
        there: Tensor = self.front.mask(clips)[:, :: self.subsample]
        return there

    def forward(self, clips: Tensor) -> Tensor:
        """Features of clips [B, N]."""
        if not torch.compiler.is_exporting():
            clips = trimmed(clips)
        there = self.mask(clips)
        frames: Tensor = self.front(clips)
        shaped = there[:, None].to(frames.dtype)
        for layer in self.layers:
            frames = layer(frames, shaped) * shaped
        if self.by_frame:
            return frames.transpose(1, 2)
        mean = frames.sum(2) / shaped.sum(2)
        highest = frames.masked_fill(shaped == 0, -torch.inf).amax(2)
        return torch.cat([mean, highest], dim=1)


class ClipNet(Net):
    """A network of sound that answers once a clip."""

    def parts(self, inputs: Tensor) -> Sequence[Tensor]:
        """Positions of rows of like length that are answered together."""
        lengths = (~inputs.isnan()).sum(1)
        order = torch.argsort(lengths, stable=True)
        found: list[Tensor] = []
        first = 0
        for stop in range(1, len(order) + 1):
            if stop == len(order) or (stop + 1 - first) * int(lengths[order[stop]]) > _SAMPLES:
                found.append(order[first:stop])
                first = stop
        return found


class FrameNet(ClipNet):
    """A network of sound that answers at every frame, [B, T, C]."""

    def masks(self, inputs: Tensor) -> dict[str, Tensor]:
        """Which frames have an answer, bool [B, T], by task."""
        assert isinstance(self.body, Body)
        clips = inputs if torch.compiler.is_exporting() else trimmed(inputs)
        return dict.fromkeys(self.out_sizes, self.body.mask(clips))


def net_of(body: nn.Module) -> type[Net]:
    """The class of a network around a body."""
    if not isinstance(body, Body):
        return Net
    return FrameNet if body.by_frame else ClipNet


def refuse_rate(in_shape: tuple[int, ...], rate: int, name: str) -> None:
    """Refuse rows that are no clips; raises ConfigError and ShapeMismatch."""
    if len(in_shape) != 1:
        raise ShapeMismatch(
            f"expected clips of samples for {name}, got inputs of shape {tuple(in_shape)}", "use cnn for images"
        )
    if not rate:
        raise ConfigError(
            f"expected clips of sound for {name}, got rows without a sampling rate",
            "give files of sound, or arrays with lb.Data(sample_rate=16000)",
        )


def for_rows(what: Any, rate: int, kinds: Mapping[str, str]) -> Any:
    """The name of a built-in network with what the data decide: the sampling rate, and whether it answers by frame.

    Anything else as it is. Raises ConfigError where the name says another rate, or tasks ask for both at once.
    """
    from limbeck.models.audio.bodies import NAMES
    from limbeck.models.zoo import parse, with_settings

    if not rate or not isinstance(what, str) or what.partition("(")[0].strip() not in NAMES:
        return what
    said = parse(what)[1]["rate"]
    if said not in (0, rate):
        raise ConfigError(
            f"expected a network for clips at {rate} Hz, got {what}", "leave rate out: it is that of the data"
        )
    by_frame = [kind == "transcription" for kind in kinds.values()]
    if any(by_frame) and not all(by_frame):
        raise ConfigError(
            f"expected tasks that answer by frame or by clip, got {', '.join(kinds.values())} for {what}",
            "give transcription a run of its own",
        )
    return with_settings(what, {"rate": rate, "by_frame": any(by_frame)})
