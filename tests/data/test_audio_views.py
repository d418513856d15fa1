"""Augmentation of clips: what each step does, and that it repeats."""

import numpy as np
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.audio.clips import stacked
from limbeck.data.keys import row_keys
from limbeck.data.rows import Rows
from limbeck.data.views import view_of

RATE = 8000


def rows(count=6):
    draw = np.random.default_rng(0)
    clips = stacked([draw.normal(size=400 + 37 * i).astype(np.float32) * 0.1 for i in range(count)])
    return Rows("audio", clips, row_keys("audio", clips), rate=RATE)


def seen(text, view=1, of=None):
    of = rows() if of is None else of
    return view_of(text, "audio", 0, of)(of.inputs, of.keys, np.full(len(of), view))


@pytest.mark.parametrize("text", ["noise", "gain", "shift", "time_mask", "freq_mask", "noise(10) + gain + shift(20)"])
def test_a_view_repeats_and_differs_by_view_and_keeps_length(text):
    first, again, other = seen(text), seen(text), seen(text, 2)
    for a, b, clip in zip(first, again, rows().inputs, strict=True):
        assert a.dtype == np.float32 and a.shape == clip.shape and (a == b).all()
    assert any((a != c).any() for a, c in zip(first, other, strict=True))
    assert all((a == b).all() for a, b in zip(seen(text, 0), rows().inputs, strict=True))
    part = rows().take([4, 1])
    assert (seen(text, of=part)[1] == first[1]).all()


def test_noise_has_the_ratio_that_is_asked_for():
    long = stacked([np.sin(np.arange(50_000) / 5).astype(np.float32)])
    of = Rows("audio", long, row_keys("audio", long), rate=RATE)
    noise = seen("noise(10)", of=of)[0] - long[0]
    assert 10 * np.log10((long[0] ** 2).mean() / (noise**2).mean()) == pytest.approx(10, abs=0.1)


def test_gain_stays_within_its_range():
    for made, clip in zip(seen("gain(6)"), rows().inputs, strict=True):
        ratio = made / clip
        assert np.ptp(ratio) < 1e-4 and abs(20 * np.log10(ratio[0])) <= 6


def test_shift_moves_without_change():
    for made, clip in zip(seen("shift(10)"), rows().inputs, strict=True):
        moves = [by for by in range(-80, 81) if np.allclose(made, np.roll(clip, by) * (made != 0))]
        assert moves


def test_masks_silence_a_stretch_and_a_band():
    for made, clip in zip(seen("time_mask(0.5)"), rows().inputs, strict=True):
        gone = np.flatnonzero(made != clip)
        assert not len(gone) or ((made[gone[0] : gone[-1] + 1] == 0).all() and len(gone) <= len(clip) / 2)
    for made, clip in zip(seen("freq_mask(0.5)"), rows().inputs, strict=True):
        before, after = np.abs(np.fft.rfft(clip)), np.abs(np.fft.rfft(made))
        gone = np.flatnonzero(after < 0.01 * before)
        assert len(gone) <= len(before) / 2 and (not len(gone) or np.ptp(gone) == len(gone) - 1)


def test_strengths_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"expected a share from 0 to 1 in time_mask\(2\)"):
        seen("time_mask(2)")
    with pytest.raises(ConfigError, match="expected a view of audio rows, got 'flip'"):
        seen("flip")


def test_a_view_of_ones_own_may_change_the_length():
    clips = list(rows(10).inputs)

    def faster(clip, generator):
        return clip[:: generator.integers(1, 3)]

    data = lb.Data(train=(clips, [0, 1] * 5), sample_rate=RATE, view=faster)
    made = data.view(data.train.inputs, data.train.keys, np.ones(len(data.train)))
    assert {len(a) / len(b) for a, b in zip(made, data.train.inputs, strict=True)} & {1.0}
    with pytest.raises(ConfigError, match="expected a clip of finite samples"):
        lb.Data(train=(clips, [0, 1] * 5), sample_rate=RATE, view=lambda clip, generator: clip[:, None])
