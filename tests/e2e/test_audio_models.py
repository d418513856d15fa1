"""Audio models of transformers, from a local folder to a verdict and a file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError, NotSupported

sys.path.insert(0, str(Path(__file__).parent))
from e2e_sound_models import RATE, ast, spoken, wav2vec2

QUICK = {"seeds": 1, "attribution": False, "ignore": ("LB201",)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("hub")
    return {
        "ctc": wav2vec2(home / "ctc", ctc=True), "clips": wav2vec2(home / "clips", ctc=False),
        "group": wav2vec2(home / "group", ctc=False, norm="group"), "ast": ast(home / "ast"),
    }  # fmt: skip


def data_of(kind, count=40):
    clips, texts = spoken(count, 0)
    more, theirs = spoken(16, 2)
    if kind == "ctc":
        return lb.Data(train=(clips, texts), test=(more, theirs), sample_rate=RATE, task="transcription")
    return lb.Data(train=(clips, [t[0] for t in texts]), test=(more, [t[0] for t in theirs]), sample_rate=RATE)


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    plan = lb.TrainSpec(steps=8, batch_size=12, learning_rate=3e-3)
    taught = lb.TrainSpec(steps=80, batch_size=12, learning_rate=3e-3)
    return lb.distill(
        f"hf:{folders['clips']}", "keep_layers(1)", data_of("clips"), train=plan, teacher_train=taught,
        out=tmp_path_factory.mktemp("hf") / "run", **QUICK,
    )  # fmt: skip


def test_a_student_of_one_layer_of_the_teacher_starts_from_what_this_has_learnt(run):
    card = run.scorecard["tasks"]["main"]
    taught, student = (card["arms"][arm]["metrics"]["accuracy"]["value"] for arm in ("teacher", "student"))
    assert taught > 0.6 and student > 0.4
    costs = run.scorecard["costs"]
    assert costs["student"]["parameters"] < costs["teacher"]["parameters"]
    assert len(run.student.inside.model.wav2vec2.encoder.layers) == 1
    assert json.loads((run.folder / "student" / "seed-0" / "config.json").read_text())["kind"] == "sound"


def test_its_file_answers_as_it_does(run):
    from limbeck.data.audio.clips import padded
    from limbeck.models.predict import predict

    clips, _ = spoken(6, 5)
    said = predict(run.student, padded(clips, 1), ["main"])["main"]
    assert np.abs(run.answers(clips)["main"] - said).max() < 1e-3
    assert json.loads((run.folder / "export" / "parity.json").read_text())["held"]


def test_a_run_that_is_there_is_not_done_again(run, folders):
    before = (run.folder / "student" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    again = lb.distill(
        f"hf:{folders['clips']}", "keep_layers(1)", data_of("clips"),
        train=lb.TrainSpec(steps=8, batch_size=12, learning_rate=3e-3),
        teacher_train=lb.TrainSpec(steps=80, batch_size=12, learning_rate=3e-3), out=run.folder, **QUICK,
    )  # fmt: skip
    assert again.status == "done"
    assert (run.folder / "student" / "seed-0" / "model.safetensors").stat().st_mtime_ns == before


def test_speech_is_transcribed_by_a_model_of_transformers(folders, tmp_path):
    data = data_of("ctc", 24)
    run = lb.distill(
        f"hf:{folders['ctc']}", f"hf:{folders['ctc']} | keep_layers(1)", data, train=4, teacher_train=6,
        out=tmp_path / "run", **QUICK,
    )  # fmt: skip
    assert run.scorecard["tasks"]["main"]["metric"]["name"] == "wer"
    assert json.loads((run.folder / "export" / "parity.json").read_text())["held"]
    assert len(run.predict(spoken(3, 7)[0])) == 3


def test_a_recipe_is_checked_and_a_built_in_student_learns_from_such_a_teacher(folders, tmp_path):
    from limbeck.recipe import Recipe
    from limbeck.stages.recipes import run_recipe

    clips, texts = spoken(30, 0)
    from scipy.io import wavfile

    for i, (clip, text) in enumerate(zip(clips, texts, strict=True)):
        (tmp_path / "clips" / text[0]).mkdir(parents=True, exist_ok=True)
        wavfile.write(tmp_path / "clips" / text[0] / f"{i}.wav", RATE, clip)
    (tmp_path / "recipe.yaml").write_text(
        f"name: tones\ndata: {{train: clips}}\nteacher: {{model: 'hf:{folders['clips']}', train: {{steps: 4}}}}\n"
        "student: audio_cnn(width=4, blocks=1, mels=8)\ntrain: {steps: 3, batch_size: 8}\nseeds: 1\n"
        "evaluate: {attribution: false}\nchecks: {ignore: [LB201]}\n"
    )
    done = run_recipe(Recipe.from_yaml(tmp_path / "recipe.yaml"), out=tmp_path / "run")
    assert done.status == "done" and done.exported.is_file()


@pytest.mark.parametrize(
    ("student", "text"),
    [
        ("vocabulary(100)", "expected keep_layers\\(N\\) as the only step on an audio model, got vocabulary"),
        ("keep_layers(1, how='importance')", "got keep_layers with settings of texts"),
        ("keep_layers(5)", "expected 1 to 2 layers of the encoder to keep, got 5"),
    ],
)
def test_steps_that_models_of_sound_do_not_have_are_refused(folders, tmp_path, student, text):
    with pytest.raises(ConfigError, match=text):
        lb.distill(f"hf:{folders['clips']}", student, data_of("clips", 12), out=tmp_path / "run", **QUICK)


def test_layers_of_a_teacher_that_has_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a teacher that is an audio model of transformers for the student"):
        lb.distill(
            "audio_cnn(width=4, blocks=1)", "keep_layers(1)", data_of("clips", 12), out=tmp_path / "run", **QUICK
        )


@pytest.mark.parametrize("name", ["group", "ast"])
def test_a_model_that_no_graph_can_hold_is_refused_before_it_is_trained(folders, tmp_path, name):
    clips, texts = spoken(12, 0)
    rate = 16000 if name == "ast" else RATE
    rows = ([np.repeat(c, rate // RATE) for c in clips], [t[0] for t in texts])
    data = lb.Data(train=rows, test=([c[:-7] for c in rows[0]], rows[1]), sample_rate=rate)
    with pytest.raises(NotSupported, match=r"a group norm over time|ASTFeatureExtractor runs outside of torch"):
        lb.distill(f"hf:{folders[name]}", "keep_layers(1)", data, train=2, teacher_train=2, out=tmp_path / "a", **QUICK)
    assert not (tmp_path / "a" / "teacher").exists()
    run = lb.distill(
        f"hf:{folders[name]}", "keep_layers(1)", data, train=2, teacher_train=2, onnx=False, out=tmp_path / "b", **QUICK
    )
    assert run.status == "done"
