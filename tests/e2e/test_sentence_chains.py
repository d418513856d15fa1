"""Chains of steps end to end on tasks on embeddings and on texts for texts, as recipes in YAML."""

import json

import e2e_text_models as tiny
import numpy as np
import pandas as pd
import pytest
import torch

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.core.run import Run
from limbeck.models.taps import run as run_taps
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.objectives import EmbeddingCosine, Hint
from limbeck.recipe import Recipe
from limbeck.stages.recipes import run_recipe

RECIPE = """
name: r
data: {{train: train.csv, test: test.csv, task: {task}, columns: {columns}}}
teacher: {{model: "{teacher}"{train}}}
student: "{student}"
train: {{steps: 12, batch_size: 16, learning_rate: 0.003}}
seeds: 1
objective: {objective}
export: {{onnx: false}}
checks: {{ignore: [LB201]}}
"""
TAUGHT = ", train: {steps: 40, batch_size: 32, learning_rate: 0.003}"
WRITER = "seq2seq(d_model=32, layers=2, heads=2, ffn=32, vocabulary=80, max_length=16, dropout=0.0)"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a tiny BERT whose embeddings of texts differ."""
    folder = tmp_path_factory.mktemp("base")
    tiny.write("bert", folder)
    network = SentenceNetwork.load(folder)
    with torch.no_grad():
        network.model[0].model.embeddings.word_embeddings.weight.mul_(20)
    network.model[0].model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def tables(base, tmp_path_factory):
    """Pairs of texts whose scores are the cosines of a bag of their words; the second holds words of the first."""
    folder = tmp_path_factory.mktemp("tables")
    for name, count, seed in (("train", 160, 0), ("test", 80, 1)):
        rng = np.random.default_rng(seed)
        first = tiny.texts(count, seed)["sentence"].tolist()
        kept = [rng.choice(text.split(), 3).tolist() for text in first]
        second = [" ".join([*words, *rng.choice(tiny.REST, int(rng.integers(1, 5)))]) for words in kept]
        bags = [
            [{word: text.split().count(word) for word in text.split()} for text in side] for side in (first, second)
        ]
        score = [
            sum(a.get(w, 0) * b[w] for w in b) / sum(v * v for v in a.values()) for a, b in zip(*bags, strict=True)
        ]
        pd.DataFrame({"first": first, "second": second, "score": score}).to_csv(folder / f"{name}.csv", index=False)
    return folder


def done(tables, tmp_path, task, teacher, student, columns, train="", objective="auto"):
    text = RECIPE.format(task=task, teacher=teacher, student=student, columns=columns, train=train, objective=objective)
    run = run_recipe(Recipe.from_text(text, base=tables), out=tmp_path / "r")
    assert run.status == "done" and Run.read(run.folder).verify() == []
    card = json.loads((run.folder / "scorecard.json").read_text())
    return run, card["provenance"]["start"], card["tasks"]["main"]["arms"]


SIMILAR = "{inputs: [first, second], target: score}"
FOUND = "{inputs: [first, second], drop: [score]}"


@pytest.mark.parametrize(
    "task, columns, teacher, student, width",
    [
        ("similarity", SIMILAR, "st:{}", "keep_layers(2) | vocabulary(60) | max_length(12)", 32),
        ("similarity", SIMILAR, "hf:{}", "st:{} | shrink(width=16, heads=1)", 16),
        ("retrieval", FOUND, "st:{}", "keep_layers(1)", 32),
        ("retrieval", FOUND, "hf:{}", "static(dim=8)", 8),
    ],
)
def test_a_chain_is_the_student_of_a_recipe(base, tables, task, columns, teacher, student, width, tmp_path):
    train = TAUGHT if teacher.startswith("hf:") else ""
    run, start, arms = done(tables, tmp_path, task, teacher.format(base), student.format(base), columns, train)
    assert isinstance(run.student, SentenceNetwork) and run.student.width == width
    assert start["parameters"] == sum(p.numel() for p in run.student.parameters())
    assert start["smaller"] > 1
    agreement = start["agreement"]["main"]
    assert agreement is None or -1 <= agreement <= 1
    assert arms["student"]["metrics"].keys() == arms["teacher"]["metrics"].keys()


def test_a_student_has_the_weights_of_the_taught_teacher(base, tables, tmp_path):
    """All layers of a teacher that was taught, before any step: they agree in everything, after a pause too."""
    given = {"teacher": f"hf:{base}", "student": "keep_layers([0, 1, 2])", "train": TAUGHT, "objective": "auto"}
    recipe = Recipe.from_text(RECIPE.format(task="similarity", columns=SIMILAR, **given), base=tables)
    run_recipe(recipe, out=tmp_path / "r", until="teach")
    run = run_recipe(recipe, out=tmp_path / "r", until="train")
    start = Run.read(run.folder).stage("train", {}).facts["start"]
    assert start["agreement"]["main"] == pytest.approx(1, abs=1e-4) and start["smaller"] == 1


def similar(tables):
    frames = [pd.read_csv(tables / f"{name}.csv") for name in ("train", "test")]
    return lb.Data(train=frames[0], test=frames[1], columns=lb.Columns(target="score"), task="similarity")


def test_hidden_states_of_both_texts_are_learned(base, tables, tmp_path):
    """A student whose last layer was moved away comes back to the states of its teacher."""
    teacher, data = SentenceNetwork.load(base), similar(tables)
    student = lb.keep_layers(teacher, 2)
    with torch.no_grad():
        student.model[0].model.encoder.layer[1].output.LayerNorm.bias.add_(1)
    objective = EmbeddingCosine() + Hint(pair=("hidden.2", "hidden.3"), projector="none")
    plan = lb.TrainSpec(steps=40, batch_size=16, learning_rate=2e-2)
    run = lb.distill(
        teacher, student, data, objective=objective, train=plan, seeds=1, onnx=False, ignore=("LB201",),
        out=tmp_path / "r",
    )  # fmt: skip
    rows = torch.from_numpy(teacher.encoder.encode(data.test.inputs))
    mask = teacher.mask(rows)
    assert mask.shape[1] > teacher.mask(torch.from_numpy(teacher.encoder.encode(data.test.inputs["first"]))).shape[1]

    def last(network):
        name = f"hidden.{network.model[0].model.config.num_hidden_layers}"
        with torch.no_grad():
            return run_taps(network.eval(), rows, (name,)).taps[name][mask]

    before, after = ((last(n) - last(teacher)).square().mean() for n in (student, run.student))
    assert after < 0.5 * before


def test_scores_of_pairs_are_refused_as_teachers_of_embeddings(base, tables, tmp_path):
    way = "scores of pairs teach rerankers .*for a student that embeds make them the labels of a similarity task"
    table = pd.DataFrame({"id": [0], "score": [1.0]})
    for number, teacher in enumerate([table, lambda rows: np.ones((len(rows), 1))]):
        with pytest.raises(ConfigError, match=way):
            lb.distill(teacher, f"st:{base}", similar(tables), onnx=False, seeds=1, out=tmp_path / str(number))


def test_layers_of_a_taught_writer_are_the_student_of_a_recipe(tables, tmp_path):
    for name in ("train", "test"):
        frame = pd.read_csv(tables / f"{name}.csv").head(60)
        pairs = {"source": frame["second"], "target": [" ".join(text.split()[::-1]) for text in frame["second"]]}
        pd.DataFrame(pairs).to_csv(tmp_path / f"{name}.csv", index=False)
    columns = "{inputs: [source], target: target}"
    student = "keep_layers(encoder=2, decoder=1)"
    run, start, _ = done(
        tmp_path, tmp_path, "generation", WRITER, student, columns, TAUGHT, "0.5 * CE + 0.5 * SequenceKD"
    )
    assert isinstance(run.student, Seq2SeqNetwork)
    layers = run.student.model.config
    assert (layers.encoder_layers, layers.decoder_layers) == (2, 1)
    assert start["smaller"] > 1 and start["agreement"] == {"main": None}
    said = json.loads((run.folder / "run.json").read_text())["stages"]["train"]["facts"]["writing"]
    assert said["texts"] > 0
