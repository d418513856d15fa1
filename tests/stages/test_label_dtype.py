"""Labelling in bf16: asked for, refused where it cannot be, measured, and never mixed with fp32."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

import limbeck as lb
from limbeck.core.console import Console
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.models.half import in_dtype
from limbeck.models.predict import answer
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tokens import TextEncoder
from limbeck.recipe import Recipe
from limbeck.signals import MAIN, Needs, Signals
from limbeck.stages.label_error import differences
from limbeck.transfer.label import label as label_rows
from limbeck.transfer.manifest import Identity, Manifest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fine", "bad", "dull", "film", "plot", "the", "very"]


def texts(count, seed):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        mood = WORDS[4:6] if number % 2 else WORDS[6:8]
        words = [*rng.choice(mood, 2), *rng.choice(WORDS[8:], rng.integers(1, 20))]
        made.append((" ".join(rng.permutation(words)), ["sad", "glad"][number % 2]))
    return pd.DataFrame(made, columns=["sentence", "label"])


def network(folder, seed=0):
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, num_labels=2, initializer_range=0.1,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config).eval()
    return TextNetwork(model, TextEncoder(tokenizer, 32), {MAIN: 2})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A tiny network of text that knows good from bad, by a few steps of training."""
    made = network(tmp_path_factory.mktemp("tiny"))
    frame = texts(200, 5)
    rows = torch.from_numpy(made.encoder.encode(frame["sentence"]))
    labels = torch.from_numpy((frame["label"] == "sad").to_numpy().astype(np.int64))
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(made(rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def data():
    return lb.Data(train=texts(300, 0), test=texts(60, 1))


def facts_of(folder):
    return json.loads((folder / "run.json").read_text())["stages"]["label"]["facts"]


def test_answers_in_bf16_are_near_and_their_error_is_measured_said_and_kept(teacher, data, tmp_path):
    said = io.StringIO()
    half = lb.label(teacher, data, out=tmp_path / "half", dtype="bf16", codec="fp32", console=Console(err=said))
    full = lb.label(teacher, data, out=tmp_path / "full", codec="fp32")
    assert Manifest.read(tmp_path / "half" / "transfer").identity.precision == "bf16"
    assert Manifest.read(tmp_path / "full" / "transfer").identity.precision is None
    keys = data.train.keys
    left, right = (np.asarray(each.store.gather(each.store.find(keys))[MAIN]) for each in (half, full))
    measured = facts_of(tmp_path / "half")["label_error"][MAIN]
    assert measured["rows"] == len(np.unique(np.linspace(0, len(keys) - 1, 256).astype(int)))
    assert 0 < measured["largest"] < 0.2
    assert measured["largest"] <= np.abs(left - right).max() * 1.5
    assert measured["agreement"] > 0.98 and 0 < measured["kl"] < 1e-3
    assert "labels of main in bf16 against fp32: numbers differ by at most" in said.getvalue()
    assert "label_error" not in facts_of(tmp_path / "full")


def test_weights_of_the_teacher_stay_as_they_are(teacher, data, tmp_path):
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    lb.label(teacher, data, out=tmp_path / "half", dtype="bf16")
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_run_and_a_store_of_another_precision_are_refused(teacher, data, tmp_path):
    lb.label(teacher, data, out=tmp_path / "run")
    with pytest.raises(StoreMismatch, match="label_dtype"):
        lb.label(teacher, data, out=tmp_path / "run", dtype="bf16")
    store = tmp_path / "run" / "transfer"
    there = Manifest.read(store).identity
    other = Identity(there.teacher, there.preprocessing, precision="bf16")
    with pytest.raises(StoreMismatch, match="precision is none in the store and 'bf16' here"):
        label_rows(Bare(teacher), data.train, store, prepare=encoded(teacher), heads=data.tasks, identity=other)


class Bare:
    """A network that answers encoded rows; it dies at its n-th batch."""

    def __init__(self, network, dies_at=None):
        self.network, self.left = network, dies_at

    def have(self):
        return Needs(outputs=(MAIN,))

    def answer(self, batch):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        with torch.no_grad():
            return Signals({MAIN: answer(self.network, batch.teacher_inputs).float()})


def encoded(network):
    return lambda inputs: torch.from_numpy(network.encoder.encode(inputs))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_store_that_was_killed_and_labelled_again_is_the_same_bits(teacher, data, tmp_path, dtype):
    asked = in_dtype(teacher, dtype)
    asked.budget = 60  # several parts in each batch

    def label(folder, dies_at=None):
        label_rows(
            Bare(asked, dies_at), data.train, folder, prepare=encoded(teacher), heads=data.tasks,
            identity=Identity("t", precision=dtype), batch_size=16, shard_rows=32,
        )  # fmt: skip
        return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.bin"))}

    try:
        whole = label(tmp_path / "a")
        with pytest.raises(KeyboardInterrupt):
            label(tmp_path / "b", dies_at=7)
        assert label(tmp_path / "b") == whole
    finally:
        del asked.budget


def test_a_change_of_the_token_budget_is_said(teacher, data, tmp_path, monkeypatch):
    folder = tmp_path / "a"
    arguments = {"prepare": encoded(teacher), "heads": data.tasks, "identity": Identity("t")}
    label_rows(Bare(teacher), data.train.take(np.arange(100)), folder, **arguments)
    assert Manifest.read(folder).provenance["token budget"] == "2048"
    monkeypatch.setattr("limbeck.models.text.tokens.BUDGET", 512)
    with pytest.warns(UserWarning, match="token budget 2048, now 512"):
        label_rows(Bare(teacher), data.train, folder, **arguments)


def test_rows_in_parts_get_the_answers_of_rows_alone(teacher, data):
    rows = torch.from_numpy(teacher.encoder.encode(data.train.inputs))
    lengths = (rows >= 0).sum(1).tolist()
    with torch.no_grad():
        together = answer(teacher, rows)
        alone = torch.cat([teacher(row[None, :length]) for row, length in zip(rows, lengths, strict=True)])
    assert len(teacher.parts(rows)) > 1
    assert float((together - alone).abs().max()) < 1e-5


class Sure(nn.Module):
    """A network of numbers that ends in a softmax."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(5, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x):
        return self.inner(x).softmax(1)


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    with torch.no_grad():
        y = Sure().eval()(torch.from_numpy(x)).argmax(1).numpy()
    return lb.Data(train=(x[:150], y[:150]), test=(x[150:], y[150:]))


@pytest.mark.parametrize("make", [Sure, lambda: {MAIN: Sure()}, lambda: [Sure(), Sure()]])
def test_other_networks_answer_in_bf16_too_in_every_form_of_teacher(make, numbers, tmp_path):
    lb.label(make(), numbers, out=tmp_path / "a", dtype="bf16")
    measured = facts_of(tmp_path / "a")["label_error"][MAIN]
    assert 0 < measured["largest"] < 0.1
    assert measured["agreement"] > 0.95


def test_a_network_that_limbeck_trains_labels_in_bf16(numbers, tmp_path):
    run = lb.distill(
        "mlp(hidden=[16])", "mlp(hidden=[4])", numbers, train=30, seeds=1, onnx=False, label_dtype="bf16",
        out=tmp_path / "a", until="label", ignore=("LB201",),
    )  # fmt: skip
    assert 0 < facts_of(run.folder)["label_error"][MAIN]["largest"] < 0.1


def test_what_is_no_network_is_refused_before_any_work(numbers, tmp_path):
    from sklearn.linear_model import LogisticRegression

    for teacher, kind in (
        (LogisticRegression(), "estimator"),
        (lambda x: np.zeros((len(x), 2)), "given"),
        ([Sure(), LogisticRegression()], "estimator"),
        ({MAIN: LogisticRegression()}, "estimator"),
    ):
        with pytest.raises(ConfigError, match=f"a network as the teacher that labels in bf16, got one of kind {kind}"):
            lb.distill(teacher, "linear", numbers, label_dtype="bf16", out=tmp_path / "a")
        with pytest.raises(ConfigError, match="got one of kind"):
            lb.label(teacher, numbers, dtype="bf16", out=tmp_path / "a")
    with pytest.raises(ConfigError, match="expected a dtype of fp32 or bf16 to label in, got 'fp8'"):
        lb.distill(Sure(), "linear", numbers, label_dtype="fp8", out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


RECIPE = "data: digits\nteacher: mlp(hidden=[8])\nstudent: linear\n"


def test_a_recipe_names_the_dtype():
    from limbeck.stages.recipes import settings_of

    assert settings_of(Recipe.from_text(RECIPE)).label_dtype == "fp32"
    for line in ("label: {dtype: bf16}\n", "label: bf16\n"):
        assert settings_of(Recipe.from_text(RECIPE + line)).label_dtype == "bf16"
    with pytest.raises(ConfigError, match="dtype"):
        Recipe.from_text(RECIPE + "label: {dtype: fp8}\n")


def test_measures_of_a_difference():
    exact = np.array([[2.0, 0.0], [0.0, 0.1]])
    found = np.array([[2.0, 0.0], [0.2, 0.1]])
    measured = differences(exact, found, "classification")
    assert measured["largest"] == pytest.approx(0.2)
    assert measured["agreement"] == 0.5
    p, q = np.exp(exact[1]) / np.exp(exact[1]).sum(), np.exp(found[1]) / np.exp(found[1]).sum()
    assert measured["kl"] == pytest.approx((p * np.log(p / q)).sum() / 2)
    both = differences(exact - 0.05, found - 0.05, "multilabel")
    p, q = 1 / (1 + np.exp(0.05)), 1 / (1 + np.exp(-0.15))
    assert both["kl"] == pytest.approx((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))) / 2)
    assert both["agreement"] == 0.75
    assert differences(exact, found, "regression").keys() == {"rows", "largest"}


def test_students_of_text_train_in_bf16_in_both_arms(teacher, data, tmp_path, monkeypatch):
    seen = []
    answers = TextNetwork.answers

    def watched(self, rows):
        found = answers(self, rows)
        if self.training:
            seen.append(found.dtype)
        return found

    monkeypatch.setattr(TextNetwork, "answers", watched)
    student = network(tmp_path, seed=1)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        seen.clear()
        plan = lb.TrainSpec(steps=8, batch_size=16, learning_rate=1e-3, precision=precision)
        run = lb.distill(
            teacher, student, data, train=plan, seeds=1, onnx=False, until="train", out=tmp_path / precision
        )
        assert set(seen) == {dtype} and len(seen) == 2 * 8
        for arm in ("student", "control"):
            facts = json.loads((run.folder / arm / "seed-0" / "facts.json").read_text())
            assert np.isfinite(facts["final_losses"]["loss"])
