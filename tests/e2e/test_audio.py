"""From clips of sound to a verdict and a file that hears."""

import json
import wave

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError

RATE = 4000
TEACHER, STUDENT = "audio_cnn(width=12, blocks=1, kernel=5, mels=12)", "audio_cnn(width=4, blocks=1, kernel=3, mels=12)"


def sounds(count, seed):
    """Tones that rise or fall, of several lengths, in noise."""
    draw = np.random.default_rng(seed)
    clips, labels = [], []
    for i in range(count):
        rising = i % 2
        time = np.arange(draw.integers(500, 1200)) / RATE
        slope = (1 if rising else -1) * draw.uniform(1500, 3000)
        start = draw.uniform(300, 500) if rising else draw.uniform(1200, 1500)
        wave_ = 0.3 * np.sin(2 * np.pi * (start * time + slope * time**2 / 2))
        wave_[: len(time) // 5] = 0  # a pause, in which there is the noise alone
        clips.append((wave_ + draw.uniform(0.005, 0.02) * draw.normal(size=len(time))).astype(np.float32))
        labels.append(["falling", "rising"][rising])
    return clips, np.array(labels)


def write(path, clip, rate=RATE):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((clip * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = lb.Data(
        train=sounds(50, 0), unlabeled=sounds(20, 1)[0], test=sounds(40, 2), sample_rate=RATE,
        view="gain(6) + shift(20)", views=2,
    )  # fmt: skip
    plan = lb.TrainSpec(steps=30, batch_size=12, learning_rate=1e-2)
    return lb.distill(
        TEACHER, STUDENT, data, train=plan, seeds=3, attribution=False, noise=(20, -10),
        out=tmp_path_factory.mktemp("audio") / "run",
    )  # fmt: skip


def test_a_run_on_sound_ends_with_a_verdict(run):
    assert run.status == "done" and run.verdict in ("helped", "no reliable difference", "hurt")
    card = run.scorecard["tasks"]["main"]
    assert card["arms"]["teacher"]["metrics"]["accuracy"]["value"] > 0.9
    assert 0 < run.scorecard["costs"]["student"]["real_time_factor"] < 10
    assert 0 < run.scorecard["costs"]["teacher"]["real_time_factor"] < 10
    assert (run.folder / "student" / "seed-0" / "config.json").is_file()


def test_clips_are_judged_by_length_and_ratio_and_in_noise(run):
    card = run.scorecard["tasks"]["main"]
    assert [each["name"] for each in card["slices"]["by"]] == ["length", "SNR"]
    assert sum(line["rows"] for line in card["slices"]["by"][0]["slices"]) == 40
    clear, loud = card["noise"]
    assert (clear["snr"], loud["snr"], clear["rows"]) == (20, -10, 40)
    for arm in ("teacher", "student", "control"):
        assert loud["arms"][arm]["value"] < clear["arms"][arm]["value"] + 0.05
    assert loud["arms"]["teacher"]["value"] < 0.9 < clear["arms"]["teacher"]["value"] + 0.05
    text = (run.folder / "report.md").read_text()
    assert "## Slice by slice" in text and "## In noise" in text and "-10 dB" in text


def test_a_table_of_answers_is_not_asked_about_noise(run, tmp_path):
    data = lb.Data(train=sounds(50, 0), unlabeled=sounds(20, 1)[0], test=sounds(40, 2), sample_rate=RATE,
                   view="gain(6) + shift(20)", views=2)  # fmt: skip
    again = lb.distill(
        lb.TransferSet(run.folder / "transfer"), STUDENT, data, train=3, seeds=1, onnx=False, attribution=False,
        noise=(10,), ignore=("LB201",), out=tmp_path / "run",
    )  # fmt: skip
    assert set(again.scorecard["tasks"]["main"]["noise"][0]["arms"]) == {"student", "control"}
    assert "was not asked again" in (again.folder / "report.md").read_text()
    with pytest.raises(ConfigError, match="expected clips of sound to add noise to, got rows of kind array"):
        rows = np.random.default_rng(0).normal(size=(30, 3)), [0, 1] * 15
        lb.distill("mlp", "linear", lb.Data(train=rows, test_fraction=0.3), noise=(10,), out=tmp_path / "other")
    with pytest.raises(ConfigError, match="expected different signal-to-noise ratios"):
        lb.distill(TEACHER, STUDENT, data, noise=(10, 10), out=tmp_path / "twice")


def test_the_student_reads_back_and_answers_as_its_file(run):
    clips, _ = sounds(12, 3)
    from limbeck.data.audio.clips import padded
    from limbeck.models.predict import predict

    said = predict(run.student, padded(clips, 1), ["main"])["main"]
    assert np.abs(run.answers(clips)["main"] - said).max() < 1e-3


def test_the_file_takes_arrays_paths_and_records_of_another_rate(run, tmp_path):
    clips, _ = sounds(6, 3)
    student = OnnxStudent(run.exported)
    plain = student.predict(clips)
    assert set(plain) <= {"falling", "rising"}
    write(tmp_path / "a.wav", clips[0])
    assert student.predict([str(tmp_path / "a.wav")])[0] == plain[0]
    twice = {"array": np.repeat(clips[0], 2), "sampling_rate": 2 * RATE}
    assert student.predict([twice])[0] == plain[0]
    with pytest.raises(ConfigError, match="expected a list of clips, got one path"):
        student.predict(str(tmp_path / "a.wav"))


def test_a_folder_of_clips_runs_by_a_recipe(tmp_path):
    clips, labels = sounds(40, 0)
    for i, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        (tmp_path / "clips" / label).mkdir(parents=True, exist_ok=True)
        write(tmp_path / "clips" / label / f"{i}.wav", clip)
    (tmp_path / "recipe.yaml").write_text(
        f"name: tones\ndata: {{train: clips}}\nteacher: {TEACHER}\nstudent: {STUDENT}\n"
        "train: {steps: 5, batch_size: 8}\nseeds: 1\nevaluate: {attribution: false}\nchecks: {ignore: [LB201]}\n"
    )
    from limbeck.recipe import Recipe
    from limbeck.stages.recipes import run_recipe

    done = run_recipe(Recipe.from_yaml(tmp_path / "recipe.yaml"), out=tmp_path / "run")
    assert done.status == "done" and done.exported.is_file()
    from limbeck.cli.tables import answers_table, read_inputs

    (tmp_path / "fast").mkdir()
    write(tmp_path / "fast" / "a.wav", np.repeat(clips[0], 2), 2 * RATE)  # a file of another rate is resampled
    inputs, beside = read_inputs(tmp_path / "fast", done.folder)
    table = answers_table(done.answering(), inputs, beside)
    assert table["id"].tolist() == ["a.wav"] and table["prediction"].tolist() == done.predict([clips[0]]).tolist()
    (tmp_path / "table.csv").write_text("path,other\nfast/a.wav,1\n")
    inputs, _ = read_inputs(tmp_path / "table.csv", done.folder)
    assert len(inputs) == 1 and inputs[0]["sampling_rate"] == 2 * RATE


def test_a_first_recipe_for_a_folder_of_clips(tmp_path):
    from limbeck.cli.starter import starter

    clips, labels = sounds(6, 0)
    for i, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        (tmp_path / "clips" / label).mkdir(parents=True, exist_ok=True)
        write(tmp_path / "clips" / label / f"{i}.wav", clip)
    recipe, text = starter("tones", tmp_path, tmp_path / "clips", None, (), "auto")
    assert recipe.student.startswith("audio_cnn(") and "usual for clips" in text


def clips_beside_a_table(folder, **columns):
    clips, labels = sounds(40, 0)
    (folder / "wav").mkdir()
    for i, clip in enumerate(clips):
        write(folder / "wav" / f"{i}.wav", clip)
    frame = pd.DataFrame({"file": [f"wav/{i}.wav" for i in range(40)], **columns})
    frame.to_csv(folder / "clips.csv", index=False)
    return labels


@pytest.mark.parametrize(("column", "task"), [("label", "classification"), ("text", "transcription")])
def test_a_first_recipe_for_a_table_of_clips_runs(tmp_path, column, task):
    from limbeck.cli.starter import starter
    from limbeck.recipe import Recipe
    from limbeck.stages.recipes import read_data, run_recipe

    words = ["up", "down"] * 20
    clips_beside_a_table(tmp_path, **{"speaker": list("abcd") * 10, column: words})
    recipe, text = starter("tones", tmp_path, tmp_path / "clips.csv", None, (), "auto")
    assert recipe.data.task == task and recipe.data.columns.inputs == ("file",)
    assert recipe.data.columns.target == column and recipe.data.columns.slices == ("speaker",)
    assert "too few to keep them apart" in text and f"files of sound at {RATE} Hz" in text
    (tmp_path / "recipe.yaml").write_text(text)
    quick = ("train.steps=2", "seeds=1", "checks.ignore=[LB201]", "export.onnx=false",
             "teacher.0.model=audio_cnn(width=8,blocks=1)", "student=audio_cnn(width=4,blocks=1)")  # fmt: skip
    done = run_recipe(Recipe.from_yaml(tmp_path / "recipe.yaml", quick), out=tmp_path / "run")
    assert done.status == "done"
    assert set(read_data(recipe).test.slices["speaker"]) <= set("abcd")


def test_many_speakers_are_kept_apart_and_a_table_without_labels_is_refused(tmp_path):
    from limbeck.cli.starter import starter

    clips_beside_a_table(tmp_path, speaker=[f"s{i % 12}" for i in range(40)], label=["x", "y"] * 20)
    recipe, text = starter("tones", tmp_path, tmp_path / "clips.csv", None, (), "auto")
    assert recipe.data.columns.group == "speaker" and "no speaker stands in two splits" in text
    pd.read_csv(tmp_path / "clips.csv")[["file"]].to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(ConfigError, match="expected a column of labels or transcripts beside the clips"):
        starter("tones", tmp_path, tmp_path / "bare.csv", None, (), "auto")


def test_int8_of_a_student_of_sound_is_measured(tmp_path):
    data = lb.Data(train=sounds(30, 0), test=sounds(20, 2), sample_rate=RATE)
    run = lb.distill(TEACHER, STUDENT, data, train=10, seeds=1, int8=True, attribution=False, ignore=("LB201",),
                     out=tmp_path / "run")  # fmt: skip
    found = json.loads((run.folder / "export" / "int8.json").read_text())
    assert found["reason"] is None and found["tensors"] > 0 and found["tasks"]["main"]["rows"] == 20
    clips, _ = sounds(4, 3)
    assert len(OnnxStudent(run.folder / "export" / "student.int8.onnx").predict(clips)) == 4
