"""What is odd about clips: silence, clipping, sampling rates that differ (LB122 to LB124)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from limbeck.core.findings import Finding
from limbeck.data.audio.clips import lengths
from limbeck.data.rows import Array, Rows

SILENT = 10 ** (-60 / 20)  # largest sample of a clip in which there is nothing to hear
SHORT = 0.05  # seconds
_TOP = 0.999
_RUN = 3  # samples in a row at the top


def look_at_clips(rows: Mapping[str, Rows], notes: Sequence[str]) -> Iterator[Finding]:
    """Every finding about splits of sound."""
    if rows["train"].kind != "audio":
        return
    quiet, short, full, total = 0, 0, 0, 0
    for part in rows.values():
        clips: list[Array] = list(np.asarray(part.inputs))
        peaks = np.array([float(np.abs(clip).max()) for clip in clips])
        quiet += int((peaks < SILENT).sum())
        short += int((lengths(clips) < SHORT * part.rate).sum())
        full += sum(_is_clipped(clip) for clip in clips)
        total += len(part)
    if quiet or short:
        yield Finding(
            "LB122", "tip", "clips with nothing to hear",
            f"{quiet} of {total} clips stay below -60 dB, {short} are shorter than {1000 * SHORT:.0f} ms",
            "a model learns their labels by heart, and a teacher guesses there",
            "listen to them; leave out what is broken", {"silent": quiet, "short": short, "of": total},
        )  # fmt: skip
    if full:
        yield Finding(
            "LB123", "tip", "clips that are cut at the top",
            f"{full} of {total} clips stand at the end of their range for {_RUN} samples or more in a row",
            "they were recorded too loud: harmonics appear that new recordings will not have",
            "record them again at a lower level, or leave them out", {"clips": full, "of": total},
        )  # fmt: skip
    resampled = [note for note in notes if "were resampled to" in note]
    if resampled:
        yield Finding(
            "LB124", "tip", "sampling rates differ", "; ".join(dict.fromkeys(resampled)),
            "clips of a low rate have no high frequencies: a model can tell the sources apart by that",
            "say sample_rate, the lowest of them, to make all alike", {"notes": len(resampled)},
        )  # fmt: skip


def _is_clipped(clip: Array) -> bool:
    """Whether samples stand at the end of the range for some time; a single peak may be normalised to it."""
    top = np.abs(clip) >= _TOP
    if not top.any():
        return False
    runs = np.convolve(top.astype(np.int8), np.ones(_RUN, dtype=np.int8), mode="valid")
    return bool((runs == _RUN).any())
