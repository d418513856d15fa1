"""Clips of sound: read from files and arrays, made mono, and brought to one sampling rate.

A clip is float32 [T] in [-1, 1]. Integers are scaled by their range, channels are averaged, and another sampling rate
is turned into the wanted one by a polyphase filter (scipy's resample_poly). WAV files are read by SciPy; FLAC, OGG and
MP3 need the package soundfile.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, NotInstalled
from limbeck.data.rows import Array

WAVE = (".wav", ".wave")
PACKED = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")  # read by soundfile
ENDINGS = (*WAVE, *PACKED)


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip as it was found: samples float32 [T], and the rate they came in (None: it was not said)."""

    samples: Array
    rate: int | None


def read_file(path: Path, data: bytes | None = None) -> Clip:
    """A clip from a file, or from its bytes where these are at hand; raises ConfigError naming the file.

    Raises NotInstalled where the format needs a package that is not there.
    """
    ending = path.suffix.lower()
    if not (data[:4] in (b"RIFF", b"RIFX") if data is not None else ending in WAVE):
        return _packed(path, data)
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a file that ends too soon is only a warning there
        warnings.filterwarnings("ignore", message="Chunk .* not understood")
        try:
            rate, samples = wavfile.read(path if data is None else io.BytesIO(data))
        except Exception as e:
            raise _unreadable(path, e) from e
    return _clip(samples, int(rate), str(path))


def _packed(path: Path, data: bytes | None) -> Clip:
    try:
        import soundfile  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as e:
        raise NotInstalled(
            f"expected the package soundfile to read {path.name}, it is not installed",
            "pip install 'limbeck[audio]', or convert the clips to WAV",
        ) from e
    try:
        samples, rate = soundfile.read(path if data is None else io.BytesIO(data), dtype="float32", always_2d=False)
    except Exception as e:
        raise _unreadable(path, e) from e
    return _clip(samples, int(rate), str(path))


def _unreadable(path: Path, error: Exception) -> ConfigError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ConfigError(
        f"expected sound that can be read at {path}, got: {reason}",
        "the file may be empty, cut short, or not what its ending says: replace or remove it",
    )


def clip_of(value: Any, where: str, base: Path) -> Clip:
    """A clip from what stands in a cell: samples, {"array", "sampling_rate"}, {"bytes", "path"} or a path.

    Paths are looked for below `base`. Raises ConfigError naming where it stands.
    """
    if isinstance(value, str | Path):
        path = Path(value) if Path(value).is_absolute() else base / value
        if not path.is_file():
            raise ConfigError(f"expected a clip at {path} ({where}), there is no such file", "correct the path")
        return read_file(path)
    if isinstance(value, Mapping):
        if value.get("array") is not None:
            rate = value.get("sampling_rate")
            return _clip(np.asarray(value["array"]), None if rate is None else int(rate), where)
        if value.get("bytes") is not None:
            return read_file(Path(value.get("path") or where), value["bytes"])
        if value.get("path") is not None:
            return clip_of(value["path"], where, base)
    if value is None or isinstance(value, Mapping):
        raise ConfigError(f"expected a clip in {where}, got none", "leave the row out")
    return _clip(np.asarray(value.detach().cpu() if hasattr(value, "detach") else value), None, where)


def _clip(samples: Array, rate: int | None, where: str) -> Clip:
    """Samples as they lie in a file or array ([T], [T, channels] or [channels, T]) as one clip."""
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2):
        raise ConfigError(
            f"expected samples [T] or [T, channels] as numbers in {where}, got {samples.dtype} {list(samples.shape)}",
            "give each clip as a plain array",
        )
    if not samples.size:
        raise ConfigError(f"expected samples in {where}, the clip is empty", "leave it out")
    if rate is not None and rate < 1:
        raise ConfigError(f"expected a sampling rate above 0 in {where}, got {rate}", "correct or remove the clip")
    values = _scaled(samples)
    if values.ndim == 2:  # the shorter axis holds the channels
        values = values.mean(axis=int(np.argmin(values.shape)))
    if not np.isfinite(values).all():
        raise ConfigError(f"expected finite samples in {where}, got NaN or infinity", "repair or remove the clip")
    return Clip(np.ascontiguousarray(values, dtype=np.float32), rate)


def _scaled(samples: Array) -> Array:
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    range_ = np.iinfo(samples.dtype)
    middle = (range_.max + 1) / 2 if samples.dtype.kind == "u" else 0.0
    return (samples.astype(np.float64) - middle) / ((range_.max + 1) / (2 if samples.dtype.kind == "u" else 1))


def at_rate(clip: Clip, rate: int) -> Array:
    """The samples of a clip at a rate, float32 [T]; one whose rate is not known is taken to be at it."""
    if clip.rate is None or clip.rate == rate:
        return clip.samples
    from scipy.signal import resample_poly

    common = math.gcd(clip.rate, rate)
    return np.asarray(resample_poly(clip.samples, rate // common, clip.rate // common), dtype=np.float32)


def stacked(clips: Sequence[Array]) -> Array:
    """Clips of any lengths as objects [N]."""
    out = np.empty(len(clips), dtype=object)
    for row, clip in enumerate(clips):
        out[row] = clip
    return out


def padded(clips: Any, least: int) -> Array:
    """Clips as one matrix float32 [N, T], NaN behind the end of each; T is at least `least`.

    What is a matrix already passes, so that rows that were encoded before can be given again.
    """
    clips = list(clips)
    longest = max([least, *(len(clip) for clip in clips)])
    out = np.full((len(clips), longest), np.nan, dtype=np.float32)
    for row, clip in enumerate(clips):
        out[row, : len(clip)] = clip
    return out


def lengths(clips: Any) -> Array:
    """Samples of each clip, int64 [N]."""
    return np.fromiter((len(clip) for clip in clips), np.int64, len(clips))
