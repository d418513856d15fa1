"""Texts end to end: a teacher of transformers is taught once, its student is one that transformers loads."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.models.saved import load

GOOD, BAD, REST = ["good", "fine", "great"], ["bad", "dull", "poor"], ["film", "plot", "cast", "the", "a", "very"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *REST]


def texts(count, seed):
    """Sentences whose mood is that of the majority of their words of mood."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        label = int(rng.integers(2))
        right, wrong = (GOOD, BAD) if label else (BAD, GOOD)
        words = [*rng.choice(right, 2), *rng.choice(wrong, int(rng.integers(2))), *rng.choice(REST, rng.integers(2, 9))]
        made.append((" ".join(rng.permutation(words)), ["sad", "glad"][label]))
    return pd.DataFrame(made, columns=["sentence", "label"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    data = lb.Data(train=texts(600, 0), test=texts(200, 1))
    assert data.train.kind == "text"
    assert not [f for f in data.findings if f.code == "LB115"]
    return lb.distill(
        folder, folder, data, train=lb.TrainSpec(steps=60, batch_size=32, learning_rate=3e-3), seeds=3, onnx=False,
        out=tmp_path_factory.mktemp("run") / "r",
    )  # fmt: skip


def test_the_teacher_learns_and_the_run_ends_in_a_verdict(run):
    card = json.loads((run.folder / "scorecard.json").read_text())
    task = card["tasks"]["main"]
    assert task["arms"]["teacher"]["metrics"]["accuracy"]["value"] > 0.9
    assert task["verdict"] in ("helped", "no reliable difference", "hurt")


def test_pipeline_of_transformers_decides_as_the_student_does(run):
    folder = run.folder / "student" / "seed-0"
    rows = texts(50, 2)["sentence"].tolist()
    theirs = transformers.pipeline("text-classification", str(folder))(rows)
    network = load(folder)
    with torch.no_grad():
        logits = network(torch.from_numpy(network.encoder.encode(rows)))
    decided = [network.model.config.id2label[int(number)] for number in logits.argmax(1)]
    assert len(set(decided)) == 2
    assert [said["label"] for said in theirs] == decided


def test_a_network_of_numbers_refuses_texts_and_one_of_text_refuses_numbers(folder, tmp_path):
    words = lb.Data(train=texts(60, 0), test=texts(30, 1))
    with pytest.raises(ConfigError, match="expected a network that takes text"):
        lb.distill(folder, "mlp(hidden=[8])", words, onnx=False, out=tmp_path / "a")
    rng = np.random.default_rng(0)
    numbers = lb.Data(
        train=(rng.normal(size=(60, 3)), np.arange(60) % 2), test=(rng.normal(size=(30, 3)), np.arange(30) % 2)
    )
    with pytest.raises(ConfigError, match=r"expected rows of text for the student hf:.*, got rows of kind array"):
        lb.distill(folder, folder, numbers, onnx=False, out=tmp_path / "b")


def test_a_run_on_the_cpu_says_how_long_it_is_unless_it_has_a_console(folder, tmp_path, capsys):
    few = lb.Data(train=texts(80, 0), test=texts(40, 1))

    def distil(teacher, name, **more):
        lb.distill(
            teacher, "bag_of_words(dim=4)", few, teacher_train=2, train=3, seeds=1, onnx=False, ignore=("LB201",),
            out=tmp_path / name, **more,
        )  # fmt: skip
        return capsys.readouterr().err

    assert distil(folder, "r") == (
        "limbeck trains on the CPU: 2 steps of the teacher (teacher_train=), 2 × 3 steps of students and controls "
        "(train=); console=lb.Console() shows how far it is\n"
    )
    assert distil(folder, "r") == distil("text_cnn(dim=4)", "s") == ""
    assert "limbeck trains" not in distil(folder, "t", console=lb.Console())
