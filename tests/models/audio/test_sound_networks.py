"""Networks of sound: their features, and that no answer depends on padding."""

from math import ceil

import pytest
import torch

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.models import zoo
from limbeck.models.audio.front import LogMel, mel_bands, trimmed
from limbeck.models.audio.network import FrameNet, for_rows
from limbeck.models.predict import answer
from limbeck.models.student import Student

RATE = 8000
NAMES = ("audio_cnn(width=8, blocks=2, kernel=5)", "audio_conformer(width=8, blocks=1, heads=2, kernel=5)")
LENGTHS = (4000, 2011, 400, 90, 3000)


def clips(seed=0):
    rows = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(seed)) * 0.1
    for row, length in enumerate(LENGTHS):
        rows[row, length:] = torch.nan
    return rows


def built(name, kind="classification", seed=0):
    torch.manual_seed(seed)
    return zoo.build(for_rows(name, RATE, {"main": kind}), (4000,), {"main": 5}).eval()


@pytest.mark.parametrize("hertz", [250, 1000, 2500])
def test_a_tone_is_loudest_in_its_band(hertz):
    front = LogMel(RATE, 20)
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE)[None]
    power = torch.einsum("mf,bft->bmt", front.bands, front._power(tone))[0].mean(1)
    bins = torch.linspace(0, RATE / 2, front.size // 2 + 1)
    centre = (front.bands * bins).sum(1) / front.bands.sum(1)
    assert (centre - hertz).abs().argmin() == power.argmax()


def test_a_full_tone_has_a_quarter_of_its_power_in_its_bin():
    front = LogMel(RATE, 20)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)[None]
    assert front._power(tone)[0].max() == pytest.approx(0.25, rel=1e-3)


def test_every_band_has_a_bin():
    assert (mel_bands(8000, 64, 40).sum(1) > 0).all()


def test_the_graph_that_is_exported_has_the_same_features(monkeypatch):
    front, rows = LogMel(RATE), clips()
    fast = front(rows)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert (front(rows) - fast).abs().max() < 1e-5


def test_the_exported_graph_agrees_on_a_hum_that_is_far_above_the_rest(monkeypatch):
    time = torch.arange(RATE) / RATE
    rows = (torch.sin(2 * torch.pi * 60 * time) + 1e-4 * torch.randn(RATE, generator=torch.Generator().manual_seed(0)))[
        None
    ]
    front = LogMel(RATE)
    fast = front(rows)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert (front(rows) - fast).abs().max() < 1e-4


def test_features_do_not_know_the_level():
    front, rows = LogMel(RATE), clips()
    assert (front(rows) - front(0.5 * rows)).abs().max() < 0.02


def test_silence_and_clips_without_a_sample_give_numbers():
    rows = torch.stack([torch.zeros(900), torch.full((900,), torch.nan)])
    for name in NAMES:
        assert built(name)(rows).isfinite().all()


@pytest.mark.parametrize("kind", ["classification", "transcription"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_that_of_the_clip_alone(name, kind):
    network, rows = built(name, kind), clips()
    with torch.no_grad():
        together = network(rows)
        for row, length in enumerate(LENGTHS):
            alone = network(rows[row : row + 1, :length])
            whole = together[row : row + 1] if kind == "classification" else together[row : row + 1, : alone.shape[1]]
            assert (whole - alone).abs().max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_frames_of_padding_have_no_gradient(name):
    network, rows = built(name, "transcription"), clips()
    frames = network.body(rows)
    mask = network.masks(rows)["main"]
    assert frames.shape[:2] == mask.shape and mask.sum(1).tolist() == [ceil(ceil(n / 80) / 2) for n in LENGTHS]
    assert (frames[~mask] == 0).all()


def test_answers_of_many_rows_come_in_parts_of_like_length(monkeypatch):
    from limbeck.models.audio import network as module

    monkeypatch.setattr(module, "_SAMPLES", 4500)
    network, rows = built(NAMES[0], "transcription"), clips()
    parts = network.parts(rows)
    assert len(parts) > 1 and torch.equal(torch.cat(list(parts)).sort().values, torch.arange(len(rows)))
    with torch.no_grad():
        mask = network.masks(rows)["main"]
        assert (answer(network, rows) - network(rows))[mask].abs().max() < 1e-5


def test_clips_are_cut_to_the_longest():
    assert trimmed(clips()[1:]).shape == (4, 3000)


def test_names_take_the_rate_and_the_kind_of_answer_from_the_data():
    assert "rate=8000, by_frame=True" in for_rows("audio_cnn", RATE, {"main": "transcription"})
    assert isinstance(built(NAMES[0], "transcription"), FrameNet)
    assert for_rows("mlp(hidden=[4])", 0, {}) == "mlp(hidden=[4])"


@pytest.mark.parametrize(
    ("name", "rate", "kinds", "text"),
    [
        ("audio_cnn(rate=16000)", 8000, {"a": "classification"}, "expected a network for clips at 8000 Hz"),
        ("audio_cnn", 8000, {"a": "classification", "b": "transcription"}, "answer by frame or by clip"),
        ("audio_cnn(width=0)", 8000, {"a": "classification"}, "expected a whole number >= 1, got 0"),
    ],
)
def test_names_that_do_not_fit_the_data_are_refused(name, rate, kinds, text):
    with pytest.raises(ConfigError, match=text):
        for_rows(name, rate, kinds)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("audio_cnn(kernel=4)", "expected an odd kernel for audio_cnn, got 4"),
        ("audio_conformer(width=10, heads=4)", "expected a width that 4 heads share, got 10"),
    ],
)
def test_settings_that_make_no_network_are_refused(name, text):
    with pytest.raises(ConfigError, match=text):
        zoo.build(for_rows(name, RATE, {"main": "classification"}), (800,), {"main": 2})


def test_rows_that_are_no_clips_are_refused():
    with pytest.raises(ConfigError, match="expected clips of sound for audio_cnn, got rows without a sampling rate"):
        Student.of("audio_cnn", (20,), {"main": 2}).build(0)
    with pytest.raises(ShapeMismatch, match="expected clips of samples for audio_cnn"):
        Student.of("audio_cnn", (3, 20, 20), {"main": 2}).build(0)
