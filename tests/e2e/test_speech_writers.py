"""Whisper and its like, from a local folder to a verdict: the teacher writes what it hears, a smaller one learns it."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.data.writing import WriteSpec

sys.path.insert(0, str(Path(__file__).parent))
from e2e_sound_models import RATE, spoken, whisper

TAUGHT = lb.TrainSpec(steps=120, batch_size=24, learning_rate=5e-3)
WRITING = WriteSpec(beams=2, max_length=8, length_ratio=None)
QUICK = {"seeds": 1, "attribution": False, "writing": WRITING}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return whisper(tmp_path_factory.mktemp("hub") / "whisper")


def data_of(count=100):
    return lb.Data(
        train=spoken(count, 0, 1), unlabeled=spoken(12, 3, 1)[0], test=spoken(30, 2, 1), validation=spoken(16, 4, 1),
        sample_rate=RATE, task="generation",
    )  # fmt: skip


def distilled(folder, out):
    return lb.distill(
        f"hf:{folder}", "keep_layers(decoder=1)", data_of(), objective="CE + SequenceKD",
        train=lb.TrainSpec(steps=10, batch_size=24, learning_rate=2e-3), teacher_train=TAUGHT, out=out, **QUICK,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return distilled(folder, tmp_path_factory.mktemp("whisper") / "run")


def test_a_teacher_that_writes_is_judged_by_its_word_errors(run):
    card = run.scorecard["tasks"]["main"]
    assert card["metric"] == {"name": "wer", "unit": "%", "higher_is_better": False}
    assert set(card["arms"]["student"]["metrics"]) == {"wer", "cer"}
    taught, student = (card["arms"][arm]["metrics"]["wer"]["value"] for arm in ("teacher", "student"))
    assert taught < 0.8 and student < card["trivial"]["metrics"]["wer"] == 1
    assert card["slices"]["by"][0]["name"] == "length"
    assert run.scorecard["costs"]["student"]["real_time_factor"] > 0


def test_the_student_has_the_encoder_of_the_teacher_and_fewer_layers_that_write(run, folder):
    model = run.student.model
    assert (model.config.encoder_layers, model.config.decoder_layers) == (1, 1)
    costs = run.scorecard["costs"]
    assert costs["student"]["parameters"] < costs["teacher"]["parameters"]
    from transformers import AutoModelForSpeechSeq2Seq, WhisperFeatureExtractor

    kept = run.folder / "student" / "seed-0"
    assert AutoModelForSpeechSeq2Seq.from_pretrained(kept).config.decoder_layers == 1
    assert WhisperFeatureExtractor.from_pretrained(kept).sampling_rate == RATE


def test_its_student_transcribes_clips_files_and_records(run, tmp_path):
    from scipy.io import wavfile

    clips, _ = spoken(5, 6)
    said = run.predict(clips)
    assert len(said) == 5 and all(set(text) <= set("abc ") for text in said)
    assert run.student.write(clips, max_length=8) == list(said)
    wavfile.write(tmp_path / "a.wav", RATE, clips[0])
    assert run.predict([str(tmp_path / "a.wav")])[0] == said[0]
    assert run.predict([{"array": clips[1], "sampling_rate": RATE}])[0] == said[1]


def test_what_is_there_is_not_done_again(run, folder):
    kept = run.folder / "student" / "seed-0" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    assert distilled(folder, run.folder).status == "done" and kept.stat().st_mtime_ns == before


def test_its_logits_teach_along_the_transcripts(folder, tmp_path):
    run = lb.distill(
        f"hf:{folder}", f"hf:{folder} | keep_layers(decoder=[0])", data_of(24),
        objective="0.5 * CE + 0.5 * KD(temperature=1)", train=2, teacher_train=2, ignore=("LB201",),
        out=tmp_path / "run", **QUICK,
    )  # fmt: skip
    assert run.status == "done" and run.scorecard["provenance"]["objective"].count("KD") == 1


def test_a_table_of_clips_runs_by_a_recipe_and_is_predicted(folder, tmp_path):
    from scipy.io import wavfile

    from limbeck.cli.tables import answers_table, read_inputs
    from limbeck.recipe import Recipe
    from limbeck.stages.recipes import run_recipe

    clips, texts = spoken(30, 0)
    for i, clip in enumerate(clips):
        wavfile.write(tmp_path / f"{i}.wav", RATE, clip)
    pd.DataFrame({"file": [f"{i}.wav" for i in range(30)], "text": texts}).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "recipe.yaml").write_text(
        "name: heard\ndata: {train: t.csv, task: generation, columns: {inputs: [file], target: text}}\n"
        f"teacher: {{model: 'hf:{folder}', train: {{steps: 2}}}}\nstudent: keep_layers(decoder=1)\n"
        "objective: 0.5 * CE + 0.5 * KD(temperature=1)\nseeds: 1\n"
        "train: {steps: 2, batch_size: 8}\nwriting: {max_length: 8, length_ratio: null}\n"
        "evaluate: {attribution: false}\nchecks: {ignore: [LB201]}\n"
    )
    done = run_recipe(Recipe.from_yaml(tmp_path / "recipe.yaml"), out=tmp_path / "run")
    inputs, beside = read_inputs(tmp_path / "t.csv", done.folder)
    table = answers_table(done.answering(), inputs, beside)
    assert len(table) == 30 and table["prediction"].tolist() == list(done.predict(inputs))


def test_what_does_not_fit_is_refused_in_words(folder, tmp_path):
    clips, texts = spoken(12, 0)
    other = lb.Data(train=(clips, texts), test=spoken(4, 2), sample_rate=8000, task="generation")
    with pytest.raises(ConfigError, match=r"expected clips at 2000 Hz for .*, they are at 8000 Hz"):
        lb.distill(f"hf:{folder}", f"hf:{folder}", other, out=tmp_path / "a", **QUICK)
    with pytest.raises(NotSupported, match="expected no ONNX file of a student that writes what it hears"):
        lb.distill(f"hf:{folder}", "keep_layers(decoder=1)", data_of(12), onnx=True, out=tmp_path / "b", **QUICK)
    words = pd.DataFrame({"source": ["a b c d e f"] * 6 + ["b c d e f"] * 6, "target": ["x y z w v u"] * 12})
    with pytest.raises(ConfigError, match=r"expected clips of sound for the network .*, got rows of kind text"):
        lb.distill(f"hf:{folder}", f"hf:{folder}", lb.Data(train=words, test=words[:2].assign(source="z y x w v u"),
                   task="generation"), out=tmp_path / "c", **QUICK)  # fmt: skip
    spelt = lb.Data(train=(clips, texts), test=spoken(4, 2), sample_rate=RATE, task="transcription")
    with pytest.raises(ConfigError, match="expected an audio model") as refused:
        lb.distill(f"hf:{folder}", "audio_cnn(width=4, blocks=1)", spelt, out=tmp_path / "d", seeds=1)
    assert "set task: generation" in refused.value.todo


def test_samples_travel_as_tokens_and_nothing_is_lost_of_16_bits(folder):
    import torch

    from limbeck.models.audio.writer import WhisperNetwork
    from limbeck.models.text.pairs import sources_of, targets_of

    network = WhisperNetwork.heard(folder, "main")
    clip = (np.array([-32768, -1, 0, 1, 32767]) / 32768).astype(np.float32)
    rows = torch.from_numpy(network.encoder.pairs([clip, clip[:2]], ["ab", None]))
    ids, there = sources_of(rows, 0)
    assert ((ids[0] - 32768) / 32768).tolist() == clip.tolist() and there.sum(1).tolist() == [5, 2]
    said, mask = targets_of(rows)
    assert said[0].tolist() == [3, 5, 6, 2] and mask.sum(1).tolist() == [4, 0]  # <say> a b </s>: <s> begins the decoder
    assert network.encoder.prefix == [1, 3]
