"""Small networks of sound by name: convolutions over time, and a conformer.

    audio_cnn(width=64, blocks=4)          residual blocks of separable convolutions (Kriman et al., QuartzNet,
                                           ICASSP 2020, arXiv:1910.10261), with a norm a frame in place of BatchNorm
    audio_conformer(width=96, blocks=3)    attention and convolution in turn (Gulati et al., Conformer, 2020,
                                           arXiv:2005.08100), without positions: its convolutions know the order

Both make a frame of every `subsample` frames of 10 ms; models that are compared frame by frame need the same.
`rate` and `by_frame` are set by the data of a run.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.models.audio.network import Body, refuse_rate

NAMES = ("audio_cnn", "audio_conformer")


class FrameNorm(nn.Module):
    """Layer norm over the width of each frame of [B, D, T]: no frame knows of another, padding least of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.LayerNorm(width)

    def forward(self, frames: Tensor) -> Tensor:
        """The frames, normalised."""
        normed: Tensor = self.weight(frames.transpose(1, 2))
        return normed.transpose(1, 2)


class Stem(nn.Module):
    """The first convolution: from bands to the width, with every `subsample`-th frame kept."""

    def __init__(self, mels: int, width: int, subsample: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(mels, width, 5, subsample, padding=2)
        self.norm = FrameNorm(width)

    def forward(self, frames: Tensor, there: Tensor) -> Tensor:
        """Frames [B, D, T']."""
        return F.relu(self.norm(self.conv(frames)))


class Separable(nn.Module):
    """A residual block: a convolution over time for each channel, one over channels for each frame."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.mix = nn.Conv1d(width, width, 1)
        self.norm = FrameNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, there: Tensor) -> Tensor:
        """Frames [B, D, T]."""
        made: Tensor = self.dropout(F.relu(self.norm(self.mix(self.time(frames)))))
        return frames + made


class Feed(nn.Module):
    """Two layers for each frame, four times as wide in between."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, T, D]."""
        made: Tensor = self.dropout(self.down(F.silu(self.up(self.norm(frames)))))
        return made


class Attention(nn.Module):
    """Every frame of a clip looks at every other."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout, self.heads = nn.Dropout(dropout), heads

    def extra_repr(self) -> str:
        """Its settings, for print."""
        return f"heads={self.heads}"

    def forward(self, frames: Tensor, there: Tensor) -> Tensor:
        """Frames [B, T, D]; `there` [B, 1, T] says which are looked at."""
        rows, time, width = frames.shape
        said = self.read(self.norm(frames)).reshape(rows, time, 3, self.heads, width // self.heads)
        query, key, value = said.permute(2, 0, 3, 1, 4)
        seen = (there > 0)[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        made: Tensor = self.dropout(self.write(mixed.transpose(1, 2).reshape(rows, time, width)))
        return made


class Conformer(nn.Module):
    """Half a feed-forward, attention, a convolution, half a feed-forward; each beside a shortcut."""

    def __init__(self, width: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = Feed(width, dropout), Feed(width, dropout)
        self.attention = Attention(width, heads, dropout)
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner, self.mix = FrameNorm(width), nn.Conv1d(width, width, 1)
        self.dropout, self.out = nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, frames: Tensor, there: Tensor) -> Tensor:
        """Frames [B, D, T]."""
        x = frames.transpose(1, 2)
        x = x + 0.5 * self.first(x)
        x = x + self.attention(x, there)
        gated = F.glu(self.gate(self.norm(x)), dim=-1).transpose(1, 2) * there
        x = x + self.dropout(self.mix(F.silu(self.inner(self.time(gated))))).transpose(1, 2)
        x = x + 0.5 * self.last(x)
        made: Tensor = self.out(x)
        return made.transpose(1, 2)


def audio_cnn(
    in_shape: tuple[int, ...], *, width: int = 64, blocks: int = 4, kernel: int = 11, mels: int = 40,
    subsample: int = 2, dropout: float = 0.0, rate: int = 0, by_frame: bool = False,
) -> tuple[nn.Module, int]:  # fmt: skip
    """Separable convolutions over time: the small student of sound."""
    refuse_rate(in_shape, rate, "audio_cnn")
    _refuse_even(kernel, "audio_cnn")
    layers = [Stem(mels, width, subsample), *(Separable(width, kernel, dropout) for _ in range(blocks))]
    body = Body(nn.ModuleList(layers), width, rate, mels, subsample, by_frame)
    return body, body.features


def audio_conformer(
    in_shape: tuple[int, ...], *, width: int = 96, blocks: int = 3, heads: int = 4, kernel: int = 15, mels: int = 40,
    subsample: int = 2, dropout: float = 0.1, rate: int = 0, by_frame: bool = False,
) -> tuple[nn.Module, int]:  # fmt: skip
    """Conformer blocks behind one convolution: the teacher of sound; `width` is a multiple of `heads`."""
    refuse_rate(in_shape, rate, "audio_conformer")
    _refuse_even(kernel, "audio_conformer")
    if width % heads:
        raise ConfigError(f"expected a width that {heads} heads share, got {width}", f"for example {heads * 16}")
    made = (Conformer(width, heads, kernel, dropout) for _ in range(blocks))
    body = Body(nn.ModuleList([Stem(mels, width, subsample), *made]), width, rate, mels, subsample, by_frame)
    return body, body.features


def _refuse_even(kernel: int, name: str) -> None:
    if kernel % 2 == 0:
        raise ConfigError(f"expected an odd kernel for {name}, got {kernel}", f"for example {kernel + 1}")
