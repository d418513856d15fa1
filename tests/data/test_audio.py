"""Clips of sound as users give them, and what is refused."""

import io
import wave

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError, NotInstalled
from limbeck.data.audio.clips import at_rate, clip_of, padded, read_file
from limbeck.data.keys import row_keys
from limbeck.data.rows import Rows

RATE = 8000


def tone(hertz, seconds=0.1, rate=RATE, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def wav_bytes(samples, rate=RATE, channels=1):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def folder_of(path, rate=RATE, per_class=8):
    for number, name in enumerate(("low", "high")):
        for i in range(per_class):
            file = path / name / f"{i}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(wav_bytes(tone(300 + 900 * number + 7 * i, 0.1 + 0.01 * i, rate), rate))
    return path


def test_a_folder_of_clips_has_its_classes_by_folder(tmp_path):
    data = lb.Data(
        train=folder_of(tmp_path / "a"), test=folder_of(tmp_path / "b", per_class=2), validation_fraction=0.2
    )
    assert data.train.kind == "audio" and data.train.rate == RATE
    assert data.tasks["main"].names == ("high", "low")
    assert data.preprocess.spec["length"] == max(len(clip) for clip in data.train.inputs)
    encoded = data.preprocess.encode(data.train.inputs)
    assert encoded.shape == (len(data.train), data.preprocess.shape[0])
    for clip, row in zip(data.train.inputs, encoded, strict=True):
        assert (row[: len(clip)] == clip).all() and np.isnan(row[len(clip) :]).all()


def test_arrays_of_integers_are_scaled_and_keyed_as_their_floats():
    clips = [(tone(400 + 20 * i) * 32768).astype(np.int16) for i in range(10)]
    labels = [i % 2 for i in range(10)]
    made = lb.Data(train=(clips, labels), sample_rate=RATE)
    again = lb.Data(train=([clip.astype(np.float32) / 32768 for clip in clips], labels), sample_rate=RATE)
    assert (np.sort(made.train.keys, axis=0) == np.sort(again.train.keys, axis=0)).all()


def test_a_key_is_of_the_samples_alone():
    one, two = tone(400), tone(500, 0.2)
    together = row_keys("audio", np.array([one, two], dtype=object))
    alone = row_keys("audio", np.array([two, one], dtype=object))
    assert (together[::-1] == alone).all()


def test_channels_are_averaged_and_another_rate_is_resampled():
    stereo = np.stack([tone(400, rate=16000), np.zeros(1600, np.float32)], axis=1)
    clip = clip_of({"array": stereo, "sampling_rate": 16000}, "row 0", None)
    low = at_rate(clip, 8000)
    assert len(low) == 800
    inside = slice(50, -50)
    assert np.abs(low[inside] - tone(400)[inside] / 2).max() < 0.01


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_every_width_of_integer_has_its_full_range(kind):
    limits = np.iinfo(kind)
    samples = clip_of(np.array([limits.min, limits.max], dtype=kind), "row 0", None).samples
    assert samples[0] == -1 and samples[1] == pytest.approx(1, abs=0.01)


def test_a_table_names_clips_beside_itself(tmp_path):
    folder_of(tmp_path)
    frame = pd.DataFrame(
        {"file_name": [f"{c}/{i}.wav" for c in ("low", "high") for i in range(8)], "label": ["l"] * 8 + ["h"] * 8,
         "who": list("ab") * 8}
    )  # fmt: skip
    frame.to_csv(tmp_path / "train.csv", index=False)
    data = lb.Data(train=tmp_path / "train.csv", columns=lb.Columns(target="label", group="who"))
    assert data.train.kind == "audio" and data.tasks["main"].names == ("h", "l")
    assert set(data.train.groups) | set(data.validation.groups) == {"a", "b"}
    later = lb.Data(train=tmp_path / "train.csv", test=tmp_path / "train.csv")
    assert later.test.kind == "audio" and "LB101" in {finding.code for finding in later.findings}


def test_decoded_records_carry_their_rate():
    records = [{"array": tone(400 + 20 * i, rate=16000), "sampling_rate": 16000} for i in range(10)]
    data = lb.Data(train={"audio": records, "label": [0, 1] * 5})
    assert data.train.rate == 16000
    down = lb.Data(train=(records, [0, 1] * 5), sample_rate=8000)
    assert len(down.train.inputs[0]) == 800
    assert [f.code for f in down.findings if f.code == "LB124"] == ["LB124"]


def test_a_hugging_face_set_of_sound_keeps_the_order_of_its_classes():
    datasets = pytest.importorskip("datasets")
    rows = {"audio": [{"bytes": wav_bytes(tone(300 + 50 * i)), "path": f"{i}.wav"} for i in range(10)],
            "label": [i % 2 for i in range(10)]}  # fmt: skip
    features = datasets.Features({"audio": datasets.Audio(), "label": datasets.ClassLabel(names=["yes", "no"])})
    info = datasets.DatasetInfo(features=features)
    table = pa.table(rows).cast(features.arrow_schema)  # the way around the encoder, which needs torchcodec
    made = datasets.Dataset(datasets.table.InMemoryTable(table), info=info)
    data = lb.Data(train=made)
    assert data.train.kind == "audio" and data.tasks["main"].names == ("yes", "no")


def test_other_data_is_not_taken_for_sound():
    assert lb.Data(train=(np.random.default_rng(0).normal(size=(20, 3)), [0, 1] * 10)).train.kind == "array"


def test_splits_of_clips_of_any_length_go_together():
    a = Rows("audio", np.array([tone(300), tone(400, 0.2)], dtype=object), np.zeros((2, 2), np.uint64), rate=RATE)
    both = Rows.concat([a, a.take([1]), a.without_labels()])
    assert len(both) == 5 and both.rate == RATE and both.take([1, 2]).rate == RATE


def test_a_matrix_is_padded_as_far_as_asked():
    assert padded([tone(300), tone(300, 0.2)], 2000).shape == (2, 2000)
    assert padded([tone(300, 0.2)], 10).shape == (1, 1600)


# ------------------------------------------------------------------------------------------ what is wrong


def test_a_truncated_file_is_named(tmp_path):
    folder_of(tmp_path)
    whole = (tmp_path / "low" / "0.wav").read_bytes()
    (tmp_path / "low" / "0.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"expected sound that can be read at .*0\.wav") as refused:
        lb.Data(train=tmp_path)
    assert "cut short" in refused.value.todo


def test_a_file_that_is_no_sound_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"expected sound that can be read at .*a\.wav"):
        read_file(tmp_path / "a.wav")


def test_an_empty_clip_is_named(tmp_path):
    with pytest.raises(ConfigError, match="expected samples in row 1 of train, the clip is empty"):
        lb.Data(train=([tone(300), np.zeros(0, np.float32)], [0, 1]), sample_rate=RATE)
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(0)))
    with pytest.raises(ConfigError, match=r"a\.wav, the clip is empty"):
        read_file(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("clip", "text"),
    [
        (np.array([0.1, np.nan], np.float32), "expected finite samples in row 0 of train"),
        (np.zeros((2, 2, 2), np.float32), r"expected samples \[T\] or \[T, channels\]"),
        ({"array": tone(300), "sampling_rate": 0}, "expected a sampling rate above 0"),
        ({"array": None, "path": None}, "expected a clip in row 0 of train, got none"),
    ],
)
def test_broken_clips_are_named(clip, text):
    with pytest.raises(ConfigError, match=text):
        lb.Data(train=([clip, clip], [0, 1]) if isinstance(clip, dict) else ([{"array": clip}] * 2, [0, 1]),
                sample_rate=RATE)  # fmt: skip


def test_a_missing_file_is_named(tmp_path):
    frame = pd.DataFrame({"path": ["a.wav", "b.wav"], "label": [0, 1]})
    with pytest.raises(ConfigError, match=r"expected a clip at .*a\.wav \(row 0 of train\), there is no such file"):
        lb.Data(train=frame)


def test_records_without_a_rate_ask_for_it():
    with pytest.raises(ConfigError, match="expected the sampling rate of the clips, got plain arrays"):
        lb.Data(train=([{"array": tone(300)}] * 4, [0, 1] * 2))


def test_another_format_names_the_package_that_reads_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(NotInstalled, match=r"expected the package soundfile to read a\.flac") as refused:
        read_file(tmp_path / "a.flac")
    assert "pip install 'limbeck[audio]'" in refused.value.todo


@pytest.mark.parametrize("ending", ["flac", "ogg"])
def test_packed_formats_are_read_as_the_samples_that_they_hold(tmp_path, ending):
    soundfile = pytest.importorskip("soundfile")
    clip = tone(300, seconds=0.5)
    soundfile.write(tmp_path / f"a.{ending}", clip, RATE)
    found = read_file(tmp_path / f"a.{ending}")
    assert found.rate == RATE and len(found.samples) == len(clip)
    assert np.abs(found.samples - clip).max() < (1e-4 if ending == "flac" else 0.1)


def test_a_loose_clip_beside_class_folders_is_refused(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "loose.wav").write_bytes(wav_bytes(tone(300)))
    with pytest.raises(ConfigError, match=r"expected every clip of train in a folder named as its class"):
        lb.Data(train=tmp_path)


def test_silence_clipping_and_rates_are_found(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "low" / "silent.wav").write_bytes(wav_bytes(np.zeros(800)))
    (tmp_path / "low" / "short.wav").write_bytes(wav_bytes(tone(300, 0.01)))
    (tmp_path / "low" / "loud.wav").write_bytes(wav_bytes(np.clip(4 * tone(300), -1, 1)))
    (tmp_path / "low" / "fast.wav").write_bytes(wav_bytes(tone(300, rate=16000), 16000))
    found = {f.code: f for f in lb.Data(train=tmp_path).findings}
    assert found["LB122"].data == {"silent": 1, "short": 1, "of": 20}
    assert found["LB123"].data["clips"] == 1
    assert "1 clips at 16000 Hz were resampled to 8000 Hz" in found["LB124"].measured


def test_sound_that_is_well_has_no_finding(tmp_path):
    assert not {"LB122", "LB123", "LB124"} & {f.code for f in lb.Data(train=folder_of(tmp_path)).findings}


def test_folders_of_packed_formats_are_read(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="FLAC and OGG need the package soundfile")
    for number, name in enumerate(("low", "high")):
        (tmp_path / name).mkdir()
        for i in range(6):
            ending = "flac" if i % 2 else "ogg"
            soundfile.write(tmp_path / name / f"{i}.{ending}", tone(300 + 900 * number + 10 * i, 0.3), RATE)
    data = lb.Data(train=tmp_path)
    assert data.train.kind == "audio" and data.train.rate == RATE and data.tasks["main"].names == ("high", "low")


def test_stereo_files_become_mono(tmp_path):
    folder_of(tmp_path)
    both = np.stack([tone(400), np.zeros_like(tone(400))], axis=1).reshape(-1)
    (tmp_path / "low" / "stereo.wav").write_bytes(wav_bytes(both, channels=2))
    clip = read_file(tmp_path / "low" / "stereo.wav").samples
    assert clip.shape == tone(400).shape and np.abs(clip - tone(400) / 2).max() < 1e-3
    assert all(each.ndim == 1 for each in lb.Data(train=tmp_path).train.inputs)


def test_a_text_that_is_called_sound_is_named(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "low" / "notes.wav").write_text("these are the notes of a recording\n" * 20)
    with pytest.raises(ConfigError, match=r"expected sound that can be read at .*notes\.wav") as refused:
        lb.Data(train=tmp_path)
    assert "not what its ending says" in refused.value.todo


def test_clips_without_a_transcript_are_unlabelled_and_strange_letters_of_test_are_named(tmp_path):
    clips = [tone(300 + 20 * i) for i in range(20)]
    texts = ["ab", None, "b", ""] * 5
    data = lb.Data(train=(clips, texts), task="transcription", sample_rate=RATE)
    (missing,) = [f for f in data.findings if f.code == "LB117"]
    assert "main" in missing.measured or "10" in missing.measured
    assert data.train.label_mask["main"].sum() + data.validation.label_mask["main"].sum() == 10
    test = ([tone(900), tone(950)], ["a", "xy"])
    with pytest.raises(ConfigError, match="expected the 2 characters of the training transcripts, got 'x' in row 1"):
        lb.Data(train=(clips, texts), test=test, task="transcription", sample_rate=RATE)


def test_clips_that_are_shorter_than_a_frame_and_silent_ones_have_finite_answers():
    import torch

    from limbeck.models import zoo

    net = zoo.build("audio_cnn(width=4, blocks=1, mels=8, rate=8000)", (800,), {"main": 2}).eval()
    rows = torch.from_numpy(padded([np.zeros(400, np.float32), np.ones(3, np.float32), tone(300)], 1))
    assert torch.isfinite(net(rows)).all()
