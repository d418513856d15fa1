"""Audio models of transformers as networks of sound."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.core.errors import ConfigError
from limbeck.data.audio.clips import padded
from limbeck.models.audio.pretrained import read, with_layers
from limbeck.models.predict import predict
from limbeck.models.saved import load, save

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from e2e_sound_models import RATE, ast, spoken, wav2vec2

CHARACTERS = ("<blank>", "a", "b", "c")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("hub")
    return {
        "ctc": wav2vec2(home / "ctc", ctc=True), "group": wav2vec2(home / "group", ctc=True, norm="group"),
        "clips": wav2vec2(home / "clips", ctc=False), "ast": ast(home / "ast"),
    }  # fmt: skip


def rows(count=5):
    return torch.from_numpy(padded(spoken(count, 0)[0], 1))


def test_what_it_says_is_what_transformers_says(folders):
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    net = read(folders["ctc"], RATE, {"main": CHARACTERS}, (2000,), True).eval()
    theirs = Wav2Vec2ForCTC.from_pretrained(folders["ctc"]).eval()
    made = Wav2Vec2FeatureExtractor.from_pretrained(folders["ctc"])(
        spoken(5, 0)[0], sampling_rate=RATE, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        wanted, said = theirs(**made).logits, net(rows())
    mask = net.masks(rows())["main"]
    counts = theirs._get_feat_extract_output_lengths(made["attention_mask"].sum(1))
    assert mask.sum(1).tolist() == counts.tolist() and said.shape[:2] == mask.shape
    # the blank is its padding, and letters are found in their other case
    assert torch.allclose(said[mask], wanted[mask][:, [0, 5, 4, 3]], atol=1e-5)


@pytest.mark.parametrize("name", ["ctc", "group", "clips"])
def test_an_answer_does_not_depend_on_the_rows_beside_it(folders, name):
    frames = name != "clips"
    net = read(folders[name], RATE, {"main": CHARACTERS if frames else ("one", "two")}, (2000,), frames).eval()
    whole = predict(net, rows(), ["main"])["main"]
    alone = [predict(net, rows()[i : i + 1], ["main"])["main"][0] for i in range(5)]
    for i, one in enumerate(alone):
        there = int(net.masks(rows()[i : i + 1])["main"].sum()) if frames else None
        assert np.abs(whole[i][:there] - one[:there]).max() < 1e-4


def test_it_is_saved_and_read_back_without_its_folder(folders, tmp_path):
    net = read(folders["clips"], RATE, {"main": ("two", "new")}, (2000,), False).eval()
    small = with_layers(net, 1).eval()
    assert len(small.inside.model.wav2vec2.encoder.layers) == 1
    save(small, tmp_path / "kept")
    again = load(tmp_path / "kept")
    with torch.no_grad():
        assert torch.equal(again(rows()), small(rows()))


def test_layers_that_are_not_there_are_refused(folders):
    net = read(folders["clips"], RATE, {"main": ("one", "two")}, (2000,), False)
    with pytest.raises(ConfigError, match="expected 1 to 2 layers of the encoder to keep, got 3"):
        with_layers(net, 3)


def test_another_rate_is_refused_with_the_setting_that_resamples(folders):
    with pytest.raises(ConfigError, match=r"expected clips at 2000 Hz for hf:.*, they are at 8000 Hz") as refused:
        read(folders["ctc"], 8000, {"main": CHARACTERS}, (2000,), True)
    assert "sample_rate: 2000" in refused.value.todo


def test_a_folder_that_is_not_there_or_holds_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a folder with an audio model of transformers at"):
        read(tmp_path / "none" / "deep", RATE, {"main": CHARACTERS}, (2000,), True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected an audio model and its feature extractor that transformers loads"):
        read(tmp_path / "empty", RATE, {"main": CHARACTERS}, (2000,), True)


def test_a_model_of_spectrograms_hears_through_its_own_extractor(folders):
    net = read(folders["ast"], 16000, {"main": ("two", "one")}, (2000,), False).eval()
    clips = [np.random.default_rng(i).normal(size=4000 + 800 * i).astype(np.float32) * 0.1 for i in range(3)]
    said = predict(net, padded(clips, 1), ["main"])["main"]
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    made = ASTFeatureExtractor.from_pretrained(folders["ast"])(clips, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        wanted = ASTForAudioClassification.from_pretrained(folders["ast"]).eval()(**made).logits.numpy()
    assert np.abs(said - wanted[:, ::-1]).max() < 1e-4
    assert len(with_layers(net, [1]).inside.model.audio_spectrogram_transformer.layers) == 1


def test_a_clip_that_is_shorter_than_a_frame_has_one(folders):
    net = read(folders["ctc"], RATE, {"main": CHARACTERS}, (2000,), True).eval()
    short = torch.from_numpy(padded([np.ones(3, np.float32)], 1))
    assert net.masks(short)["main"].sum() == 1 and torch.isfinite(net(short)).all()
