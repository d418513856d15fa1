"""Students of text by name: made of tiny models of several architectures, saved, loaded, and the same again."""

import json

import e2e_text_models as tiny
import pandas as pd
import pytest
import torch
import transformers

from limbeck.core.errors import ConfigError, StoreDamaged
from limbeck.models.fingerprint import state_hash
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.text import mould
from limbeck.models.text.ground import Ground
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.small import SmallText

ROWS = tiny.texts(60, 0)[["sentence"]]
GROUND = Ground(lambda: ROWS)
PAIRS = Ground(lambda: pd.DataFrame({"sentence1": ROWS["sentence"], "sentence2": ROWS["sentence"][::-1].tolist()}))
SINGLE, SEVERAL = {"main": 2}, {"mood": 2, "topic": 3, "length": 1}
KINDS = {"mood": "classification", "topic": "multilabel", "length": "regression"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {kind: tiny.write(kind, tmp_path_factory.mktemp(kind)) for kind in ("bert", "roberta", "distilbert", "gpt2")}


def encoded(network, count=7):
    return torch.from_numpy(network.encoder.encode(ROWS.iloc[:count]))


def student(text, sizes=None, kinds=None, ground=GROUND):
    return Student.of(text, (), sizes or SINGLE, kinds=kinds or {}, ground=ground)


CHAINS = [
    ("bert", "keep_layers(2) | vocabulary(60) | max_length(16)"),
    ("bert", "shrink(width=16, heads=2, ffn=24)"),
    ("bert", "vocabulary(60) | static(dim=8, hidden=[6])"),
    ("bert", "keep_layers(1) | frozen"),
    ("roberta", "keep_layers([0, 2])"),
    ("roberta", "static(dim=8)"),
    ("distilbert", "keep_layers(2, how='importance') | shrink(ffn=32)"),
    ("distilbert", "frozen"),
    ("gpt2", "keep_layers(2) | vocabulary(290)"),
    ("gpt2", "keep_layers(2, how='first_last') | frozen"),
]


@pytest.mark.parametrize("sizes", [SINGLE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("kind, steps", CHAINS)
def test_a_derived_student_is_saved_and_loaded_as_it_was(bases, kind, steps, sizes, tmp_path):
    made = student(f"{bases[kind]} | {steps}", sizes, KINDS if sizes is SEVERAL else None)
    network = made.build(1).eval()
    rows = encoded(network)
    said = network(rows)
    save(network, tmp_path, source=made)
    again = load(tmp_path)(rows)
    for head in sizes:
        mine, theirs = (said, again) if sizes is SINGLE else (said[head], again[head])
        assert mine.shape == (7, sizes[head])
        torch.testing.assert_close(theirs, mine, atol=1e-6, rtol=0)
    alone = network(rows[-1:])  # padding does not count
    torch.testing.assert_close(alone if sizes is SINGLE else alone["mood"], said[-1:] if sizes is SINGLE else
                               said["mood"][-1:], atol=1e-5, rtol=0)  # fmt: skip
    assert made.kind == "derived" and made.pretrained
    assert made.describe()["parameters"] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind, steps", [CHAINS[0], CHAINS[4], CHAINS[6], CHAINS[8]])
def test_transformers_load_what_was_derived(bases, kind, steps, tmp_path):
    made = student(f"{bases[kind]} | {steps}")
    network = made.build(0).eval()
    save(network, tmp_path, source=made, names={"main": ("sad", "glad")})
    pipeline = transformers.pipeline("text-classification", str(tmp_path))
    decided = [said["label"] for said in pipeline(ROWS["sentence"].tolist()[:7])]
    assert decided == [("sad", "glad")[n] for n in network(encoded(network)).argmax(1)]


@pytest.mark.parametrize("text", ["bag_of_words(dim=8, vocabulary=50)", "text_cnn(dim=8, filters=6, vocabulary=50)"])
@pytest.mark.parametrize("ground", [GROUND, PAIRS], ids=["single", "pair"])
def test_small_students_learn_a_tokenizer_and_come_back(text, ground, tmp_path):
    made = student(text, SEVERAL, KINDS, ground)
    assert made.kind == "text" and not made.pretrained
    network = made.build(0).eval()
    rows = torch.from_numpy(network.encoder.encode(ground.inputs("").iloc[:5]))
    said = network(rows)
    save(network, tmp_path, source=made)
    again = load(tmp_path)
    torch.testing.assert_close(again(rows), said)
    assert (again.encoder.encode(ground.inputs("")) == network.encoder.encode(ground.inputs(""))).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "limbeck.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    other = student(text, SEVERAL, KINDS, ground)
    assert other.fingerprint == made.fingerprint
    assert other.encoder.fingerprint == made.encoder.fingerprint


@pytest.mark.parametrize("text", ["bag_of_words(dim=4, vocabulary=50)", "text_cnn(dim=8, filters=6, vocabulary=50)"])
def test_padding_and_empty_texts_are_nothing_to_small_students(text):
    network = student(text).build(0).eval()
    rows = torch.from_numpy(network.encoder.encode(["a good film", "", "dull"]))
    wider = torch.nn.functional.pad(rows, (0, 3), value=-1)
    torch.testing.assert_close(network.answers(wider), network(rows))
    assert torch.isfinite(network(rows)).all()
    torch.testing.assert_close(network(rows[2:]), network(rows)[2:])


@pytest.mark.parametrize(
    "text", ["bag_of_words(dim=4, vocabulary=50)", "text_cnn(dim=4, filters=3, vocabulary=50)", "keep_layers(1)|frozen"]
)
@pytest.mark.parametrize("ground", [GROUND, PAIRS], ids=["single", "pair"])
def test_answers_can_be_exported_for_any_number_of_rows_and_tokens(bases, text, ground):
    base = "" if "vocabulary" in text else f"{bases['bert']}|"
    network = student(base + text, SEVERAL, KINDS, ground).build(0).eval()

    class Answers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, rows):
            return self.network.answers(rows)

    rows = torch.from_numpy(network.encoder.encode(ground.inputs("").iloc[:5]))
    sizes = {0: torch.export.Dim("rows", min=1, max=999), 1: torch.export.Dim("tokens", min=2, max=40 if base else 90)}
    exported = torch.export.export(Answers(), (rows,), dynamic_shapes=(sizes,)).module()
    for part in (rows, rows[:2, :3]):
        for head, values in exported(part).items():
            torch.testing.assert_close(values, network.answers(part)[head])


def test_a_pair_is_no_pair_the_other_way_round():
    network = student("bag_of_words(dim=8, vocabulary=50)", ground=PAIRS).build(0).eval()
    forth, back = (network.encoder.encode(pd.DataFrame(pair)) for pair in (
        {"a": ["good film"], "b": ["dull plot"]}, {"a": ["dull plot"], "b": ["good film"]},
    ))  # fmt: skip
    assert not torch.allclose(network(torch.from_numpy(forth)), network(torch.from_numpy(back)))


@pytest.mark.parametrize("steps", ["keep_layers(2)", "static(dim=8)", "frozen", "shrink(width=16)"])
def test_surgery_is_the_same_for_every_seed_and_heads_are_not(bases, steps):
    made = student(f"{bases['bert']} | {steps}")
    first, again, other = (made.build(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    fresh = {name for name in first if not torch.equal(first[name], other[name])}
    assert fresh and all("classifier" in name or "heads" in name for name in fresh)


def test_fresh_heads_are_drawn_as_transformers_draws_them(bases):
    made = Student.of(bases["bert"], (), {"main": 400})
    weight = made.build(3).model.classifier.weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert (made.build(3).model.classifier.bias == 0).all()


def test_a_teacher_is_the_base_of_a_chain_without_one(bases):
    teacher = TextNetwork.pretrained(bases["bert"].removeprefix("hf:"), SINGLE)
    made = student("keep_layers(1)", ground=Ground(lambda: ROWS, lambda: teacher, "x"))
    assert made.wants_teacher
    before = made.fingerprint
    other = TextNetwork.pretrained(bases["bert"].removeprefix("hf:"), SINGLE)
    with torch.no_grad():
        other.model.classifier.weight.fill_(0.5)
        other.model.bert.encoder.layer[0].output.dense.bias.fill_(0.25)
    taught = made.taught_by(other)
    state = taught.build(0).state_dict()
    assert (state["model.classifier.weight"] == 0.5).all()
    assert (state["model.bert.encoder.layer.0.output.dense.bias"] == 0.25).all()
    assert taught.fingerprint == before == made.fingerprint
    assert not (made.build(0).state_dict()["model.bert.encoder.layer.0.output.dense.bias"] == 0.25).any()


def test_a_small_student_takes_the_tokenizer_of_its_teacher(bases):
    teacher = TextNetwork.pretrained(bases["bert"].removeprefix("hf:"), SINGLE)
    made = student("bag_of_words(dim=4) | max_length(9)", ground=Ground(lambda: ROWS, lambda: teacher, "x"))
    assert made.encoder.tokenizer is teacher.encoder.tokenizer
    assert made.encoder.max_length == 9
    network = made.build(0)
    assert isinstance(network, SmallText)
    alone = network.encoder.encode(["film"])[0]
    assert len(alone) == 3  # with the marks of its start and its end, which are silent
    pooled = network.pooled(torch.from_numpy(alone)[None])
    torch.testing.assert_close(pooled[0], network.embedding.weight[alone[1]])


def test_a_static_student_has_the_same_features_for_frequent_and_rare_texts(bases):
    network = student(f"{bases['bert']} | static(dim=8)").build(0)
    with torch.no_grad():
        assert network.pooled(encoded(network, 60)).square().mean().sqrt() == pytest.approx(1, rel=1e-3)


def test_a_frozen_student_trains_its_heads_alone_and_remembers(bases):
    made = student(f"{bases['bert']} | frozen")
    network, other = made.build(0), made.build(1)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        "heads.main.weight", "heads.main.bias",
    }  # fmt: skip
    assert network.training and not network.model.training
    rows = encoded(network)
    network(rows).sum().backward()
    assert other.memory is network.memory and len(network.memory.known) == 1 + len(rows)  # and the probe
    torch.testing.assert_close(network(rows), network.answers(rows), atol=1e-6, rtol=0)
    shuffled = network(rows[[3, 0]])
    assert torch.equal(shuffled, network(rows)[[3, 0]]) or torch.allclose(shuffled, network(rows)[[3, 0]], atol=1e-7)
    base = state_hash(network.model)
    assert base == state_hash(other.model)


def test_a_frozen_student_that_was_loaded_asks_its_encoder(bases, tmp_path):
    made = student(f"{bases['bert']} | frozen")
    save(made.build(0), tmp_path, source=made)
    assert load(tmp_path).memory is None
    assert json.loads((tmp_path / "limbeck.json").read_text())["network"] == "frozen"
    transformers.AutoModel.from_pretrained(tmp_path)


def test_heads_that_were_damaged_are_refused(bases, tmp_path):
    made = student(f"{bases['bert']} | frozen")
    save(made.build(0), tmp_path, source=made)
    path = tmp_path / "heads.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreDamaged, match=r"expected .*heads\.safetensors to match its checksum, it does not"):
        load(tmp_path)


def test_a_model_is_read_once(bases, monkeypatch):
    mould._read.clear()
    reads = []
    read = TextNetwork.read.__func__

    def counting(cls, *args, **settings):
        reads.append(args[0])
        return read(cls, *args, **settings)

    monkeypatch.setattr(TextNetwork, "read", classmethod(counting))
    made = Student.of(bases["bert"], (), SINGLE)
    made.describe(), made.fingerprint, made.build(0), made.build(1)
    Student.of(f"{bases['bert']} | keep_layers(1)", (), SINGLE).build(0)
    assert len(reads) == 1


def test_a_model_whose_files_have_changed_is_read_again(tmp_path):
    name = tiny.write("bert", tmp_path)
    before = Student.of(name, (), SINGLE).fingerprint
    model = transformers.BertModel.from_pretrained(tmp_path)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.add_(1)
    model.save_pretrained(tmp_path)
    assert Student.of(name, (), SINGLE).fingerprint != before


def test_two_processes_would_see_the_same_fingerprint(bases):
    text = f"{bases['bert']} | keep_layers(1) | vocabulary(60)"
    first = student(text)
    mould._read.clear()
    torch.manual_seed(5)
    assert student(text).fingerprint == first.fingerprint
    assert first.fingerprint != student(f"{bases['bert']} | keep_layers(1) | vocabulary(61)").fingerprint


@pytest.mark.parametrize(
    "steps, said",
    [
        ("keep_layers(9)", "expected 1 to 3 layers of the encoder to keep, got 9"),
        ("static(dim=64)", "expected a dim of at most 32, the width of the encoder or its number of tokens, got 64"),
        ("max_length(64)", "expected a max_length of at most 40, got 64"),
        ("vocabulary(5)", r"expected a vocabulary of at least \d+ tokens, got 5"),
        ("shrink(width=15)", "expected a width in heads of 16 units, got 15"),
    ],
)
def test_a_step_that_does_not_fit_its_base_is_refused_at_once(bases, steps, said):
    with pytest.raises(ConfigError, match=said):
        student(f"{bases['bert']} | {steps}")


def test_refusals(bases):
    with pytest.raises(ConfigError, match="expected training texts for vocabulary\\(60\\), got none"):
        Student.of(f"{bases['bert']} | vocabulary(60)", (), SINGLE)
    with pytest.raises(ConfigError, match="a model of transformers for the student static\\(dim=8\\), got none"):
        student("static(dim=8)")
    with pytest.raises(ConfigError, match="texts to learn a tokenizer from, all are empty"):
        student("bag_of_words", ground=Ground(lambda: ["", " "]))
