"""The front end: log-mel features of clips of samples, inside the network, so that it is exported with it.

Clips come as one matrix [B, N] with NaN behind the end of each. A frame of 25 ms begins every 10 ms, and belongs to a
clip where its first sample does; so the frames of a clip do not depend on the padding or on the clips beside it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WINDOW, _HOP = 0.025, 0.010  # seconds
_QUIET = 1e-4  # of the level of a clip: far below -60 dB it is silence
_FLOOR = 1e-6  # of the power of a band, of clips brought to level 1
_LEAST = 1e-2  # of the spread of a clip's features, so that silence stays silence


class LogMel(nn.Module):
    """Log-mel features [B, mels, T] of clips [B, N], mean 0 in each band, spread 1 over each clip, of any level.

    Has no parameters. The Fourier transform is a fast one while torch runs and a convolution in an exported graph,
    which has no other that every runtime knows.
    """

    taper: Tensor
    waves: Tensor
    bands: Tensor

    def __init__(self, rate: int, mels: int = 40) -> None:
        super().__init__()
        self.rate, self.mels = rate, mels
        self.window, self.hop = max(2, round(_WINDOW * rate)), max(1, round(_HOP * rate))
        self.size = 2 ** math.ceil(math.log2(self.window))
        shape = torch.hann_window(self.window, dtype=torch.float64)
        scaled = shape / shape.sum()
        turns = torch.outer(torch.arange(self.size // 2 + 1), torch.arange(self.window)) % self.size
        angle = 2 * math.pi / self.size * turns.double()  # in float32 it would be off by 3e-5 at the end
        waves = torch.cat([angle.cos(), -angle.sin()]) * scaled
        self.register_buffer("taper", scaled.float(), persistent=False)
        self.register_buffer("waves", waves.float()[:, None], persistent=False)
        self.register_buffer("bands", mel_bands(rate, self.size, mels), persistent=False)

    def extra_repr(self) -> str:
        """Its settings, for print."""
        return f"rate={self.rate}, mels={self.mels}"

    def mask(self, clips: Tensor) -> Tensor:
        """Which frames belong to a clip, bool [B, T]; every clip has one at least."""
        there = ~clips[:, :: self.hop].isnan()
        return torch.cat([torch.ones_like(there[:, :1]), there[:, 1:]], dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Features, with zeros where there is no frame."""
        missing = clips.isnan()
        samples = torch.where(missing, 0.0, clips)
        level = (samples.square().sum(1, keepdim=True) / (~missing).sum(1, keepdim=True).clamp(min=1)).sqrt()
        samples = samples / (level + _QUIET)
        power = self._power(F.pad(samples, (0, self.window - 1)))
        features = (torch.einsum("mf,bft->bmt", self.bands, power) + _FLOOR).log()
        there = self.mask(clips)[:, None].to(features.dtype)
        count = there.sum(2, keepdim=True)
        centred = (features - (features * there).sum(2, keepdim=True) / count) * there
        spread = (centred.square().sum((1, 2), keepdim=True) / (count * self.mels)).sqrt()
        return centred / (spread + _LEAST)

    def _power(self, samples: Tensor) -> Tensor:
        """Power [B, F, T] of the frames of samples [B, N]."""
        half = self.size // 2 + 1
        if torch.compiler.is_exporting():
            parts = F.conv1d(samples[:, None], self.waves, stride=self.hop)
            return parts[:, :half].square() + parts[:, half:].square()
        frames = samples.unfold(1, self.window, self.hop) * self.taper
        spectrum = torch.fft.rfft(frames.float(), self.size)
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power.transpose(1, 2)


def mel_bands(rate: int, size: int, mels: int) -> Tensor:
    """Triangular bands float32 [mels, size / 2 + 1], evenly spaced in mel (2595 log10(1 + f / 700)) up to rate / 2.

    A band that is narrower than a bin takes the nearest bin, so that no band is empty.
    """
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2, dtype=torch.float64) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp(min=0)
    nearest = (bins - middle).abs().argmin(1)
    empty = bands.sum(1) == 0
    bands[empty, nearest[empty]] = 1
    return bands.float()


def trimmed(clips: Tensor) -> Tensor:
    """Clips [B, N] without the columns in which no clip has a sample."""
    there = ~clips.isnan().all(0)
    longest = int(torch.nonzero(there)[-1]) + 1 if bool(there.any()) else 1
    return clips[:, :longest]
