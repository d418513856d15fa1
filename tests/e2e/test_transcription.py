"""From clips and transcripts to a verdict, and a file that writes what it hears."""

import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.audio.clips import padded
from limbeck.data.audio.transcription import Transcription

RATE = 2000
TONES = {"a": 200, "b": 400, "c": 700}
TEACHER = "audio_cnn(width=16, blocks=1, mels=12, kernel=5)"
STUDENT = "audio_cnn(width=6, blocks=1, mels=12, kernel=5)"


def spoken(count, seed):
    """Strings of letters, each a tone, with pauses between."""
    draw = np.random.default_rng(seed)
    clips, texts = [], []
    for _ in range(count):
        text = "".join(draw.choice(list(TONES), draw.integers(1, 3)))
        parts = [np.zeros(50)]
        for letter in text:
            time = np.arange(draw.integers(120, 200)) / RATE
            parts += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(50)]
        clip = np.concatenate(parts)
        clips.append((clip + 0.005 * draw.normal(size=len(clip))).astype(np.float32))
        texts.append(text)
    return clips, texts


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = lb.Data(train=spoken(60, 0), unlabeled=spoken(12, 1)[0], test=spoken(30, 2), sample_rate=RATE,
                   task="transcription")  # fmt: skip
    plan = lb.TrainSpec(steps=120, batch_size=12, learning_rate=1e-2)
    return lb.distill(TEACHER, STUDENT, data, train=plan, seeds=3, out=tmp_path_factory.mktemp("ctc") / "run")


def test_a_run_on_speech_ends_with_a_verdict_on_its_word_errors(run):
    card = run.scorecard["tasks"]["main"]
    assert run.status == "done" and run.verdict in ("helped", "no reliable difference", "hurt")
    assert card["metric"]["name"] == "wer" and not card["metric"]["higher_is_better"]
    assert card["arms"]["teacher"]["metrics"]["wer"]["value"] < 0.6
    assert (run.folder / "pseudo" / "seed-0").is_dir()


def test_the_file_writes_what_the_student_writes(run):
    from limbeck.models.predict import predict

    clips, texts = spoken(20, 3)
    student = run.student
    rows = padded(clips, 1)
    import torch

    mask = student.masks(torch.from_numpy(rows))["main"].numpy()
    said = predict(student, rows, ["main"])["main"]
    task = Transcription(tuple("abc"))
    wanted = task.predict([values[there] for values, there in zip(said, mask, strict=True)])
    found = run.predict(clips)
    assert found.tolist() == wanted.tolist()
    assert [run.predict([clip])[0] for clip in clips[:3]] == found[:3].tolist()
    assert task.measures()["cer"].fn(found, np.array(texts, dtype=object), None) < 0.8


def test_parity_holds_frame_by_frame(run):
    parity = json.loads((run.folder / "export" / "parity.json").read_text())
    assert parity["held"] and parity["heads"]["main"]["flips"] == 0
    assert parity["heads"]["main"]["decisions"] > parity["rows"]


def test_losses_that_want_a_label_at_each_frame_are_refused(tmp_path):
    data = lb.Data(train=spoken(12, 0), test=spoken(4, 2), sample_rate=RATE, task="transcription")
    with pytest.raises(ConfigError, match="expected a classification task, 'main' is transcription"):
        lb.distill(TEACHER, STUDENT, data, objective="0.5 * CE + 0.5 * KD(temperature=1)", out=tmp_path / "run")


def test_answers_that_were_stored_teach_another_student(run, tmp_path):
    data = lb.Data(train=spoken(60, 0), unlabeled=spoken(12, 1)[0], test=spoken(30, 2), sample_rate=RATE,
                   task="transcription")  # fmt: skip
    answers = lb.TransferSet(run.folder / "transfer")
    again = lb.distill(answers, STUDENT, data, train=3, seeds=1, onnx=False, attribution=False, out=tmp_path / "run")
    wer = [each.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["wer"]["value"] for each in (run, again)]
    assert wer[0] == wer[1]


def test_clips_without_transcripts_are_learned_from_what_the_teacher_heard(run, tmp_path):
    data = lb.Data(train=spoken(60, 0), unlabeled=spoken(12, 1)[0], test=spoken(30, 2), sample_rate=RATE,
                   task="transcription")  # fmt: skip
    answers = lb.TransferSet(run.folder / "transfer")
    wide = STUDENT.replace("kernel=5", "kernel=5, subsample=4")  # frames of another length
    again = lb.distill(
        answers, wide, data, objective="0.5 * CTC + 0.5 * TranscriptKD(min_confidence=0.5)", train=3, seeds=1,
        onnx=False, attribution=False, out=tmp_path / "run",
    )  # fmt: skip
    assert again.status == "done"
    assert "What the teacher heard" not in (run.folder / "report.md").read_text()
    heard = again.scorecard["tasks"]["main"]["heard"]
    assert (heard["per"], heard["min_confidence"]) == ("frame", 0.5)
    assert (heard["labelled"]["rows"], heard["unlabelled"]["rows"]) == (48, 12)
    assert "## What the teacher heard" in (again.folder / "report.md").read_text()


def test_clips_of_which_the_teacher_is_not_sure_are_left_out_and_counted(run, tmp_path):
    data = lb.Data(train=spoken(60, 0), unlabeled=spoken(12, 1)[0], test=spoken(30, 2), sample_rate=RATE,
                   task="transcription")  # fmt: skip
    answers = lb.TransferSet(run.folder / "transfer")
    said = {}
    for least in (0.5, 0.999999):
        again = lb.distill(
            answers, STUDENT, data, objective=f"CTC + TranscriptKD(min_confidence={least}, per='character')",
            train=3, seeds=1, onnx=False, attribution=False, out=tmp_path / f"run-{least}",
        )  # fmt: skip
        said[least] = again.scorecard["tasks"]["main"]["heard"]
    total = {least: sum(each[k]["unsure"] for k in ("labelled", "unlabelled")) for least, each in said.items()}
    assert total[0.5] < total[0.999999] <= 60


def test_a_beam_search_is_a_setting_of_the_task_and_goes_with_the_file(run, tmp_path):
    data = lb.Data(train=spoken(60, 0), unlabeled=spoken(12, 1)[0], test=spoken(30, 2), sample_rate=RATE,
                   task="transcription(beams=4)")  # fmt: skip
    assert data.tasks["main"].beams == 4
    answers = lb.TransferSet(run.folder / "transfer")
    again = lb.distill(answers, STUDENT, data, train=40, seeds=1, attribution=False, out=tmp_path / "run")
    clips, _ = spoken(6, 3)
    paths = [tmp_path / f"{i}.wav" for i in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        write(path, clip)
    assert transcribed(again.exported, paths) == again.predict([str(p) for p in paths]).tolist()
    with pytest.raises(ConfigError, match="expected at least one beam, got 0"):
        lb.Data(train=spoken(12, 0), sample_rate=RATE, task="transcription(beams=0)")
    with pytest.raises(ConfigError, match=r"transcription.beam: unknown setting|did you mean 'beams'"):
        lb.Data(train=spoken(12, 0), sample_rate=RATE, task="transcription(beam=3)")


def test_int8_of_a_student_that_transcribes_is_measured(tmp_path):
    data = lb.Data(train=spoken(20, 0), test=spoken(10, 2), sample_rate=RATE, task="transcription")
    run = lb.distill(TEACHER, STUDENT, data, train=4, seeds=1, int8=True, attribution=False, ignore=("LB201",),
                     out=tmp_path / "run")  # fmt: skip
    found = json.loads((run.folder / "export" / "int8.json").read_text())
    assert found["reason"] is None and found["tensors"] > 0 and found["tasks"]["main"]["metric"]["name"] == "wer"


def test_clips_that_are_too_short_for_their_transcript_are_counted(tmp_path):
    clips, texts = spoken(20, 0)
    clips[3], texts[3] = clips[3][:100], "abcabc"  # 50 ms are three frames of 20 ms
    data = lb.Data(train=(clips, texts), test=spoken(6, 2), sample_rate=RATE, task="transcription",
                   validation=spoken(6, 4))  # fmt: skip
    run = lb.distill(TEACHER, STUDENT, data, train=2, seeds=1, onnx=False, attribution=False, ignore=("LB201",),
                     out=tmp_path / "run")  # fmt: skip
    (found,) = [f for f in run.checks if f.code == "LB139"]
    assert found.data == {"short": 1, "of": 20} and "fewer frames than their transcript needs" in found.measured


def test_the_example_transcribes_files_without_limbeck(run, tmp_path):
    clips, _ = spoken(4, 3)
    paths = [tmp_path / f"{i}.wav" for i in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        write(path, clip)
    assert transcribed(run.exported, paths) == run.predict([str(p) for p in paths]).tolist()


def write(path, clip):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((clip * 32767).astype("<i2").tobytes())


def transcribed(exported, paths):
    """What the example says to files, with neither torch nor limbeck."""
    example = Path(__file__).parents[2] / "examples" / "transcribe.py"
    assert len(example.read_text().splitlines()) <= 30
    command = [
        sys.executable,
        "-c",
        _WITHOUT.format(str(example.parent), str(example)),
        str(exported),
        *map(str, paths),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[1] for line in done.stdout.splitlines()]


_WITHOUT = """
import runpy, sys
sys.modules["torch"] = sys.modules["limbeck"] = None
sys.path.insert(0, {!r})
runpy.run_path({!r}, run_name="__main__")
"""
