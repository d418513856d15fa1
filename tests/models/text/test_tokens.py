"""Texts as rows of whole numbers: nothing lost on the way, parts that answer like the whole."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from limbeck.core.errors import ConfigError
from limbeck.models.predict import answer
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tokens import PADDING, TextEncoder, in_parts, mask_of, model_inputs, trimmed

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "plot", "very", "dull"]


def write_model(folder, labels=2):
    """A small BERT with its tokenizer, as transformers writes it."""
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=32,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=labels,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("tiny"))


def test_a_row_holds_what_the_tokenizer_says(folder):
    encoder = TextEncoder.load(folder)
    rows = torch.from_numpy(encoder.encode(pd.DataFrame({"a": ["good film", "bad"], "b": ["plot", "very dull plot"]})))
    assert rows.dtype == torch.int32
    assert (rows >= 0).sum(1).tolist() == [6, 7]
    made = model_inputs(rows, segments=True, padding=0)
    pairs = (["good film", "bad"], ["plot", "very dull plot"])
    said = encoder.tokenizer(*pairs, padding=True, return_token_type_ids=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert made[name].tolist() == said[name].tolist()


def test_long_texts_are_cut_and_missing_ones_are_empty(folder):
    rows = TextEncoder.load(folder, max_length=6).encode(["good " * 20, None])
    assert rows.shape == (2, 6)
    assert rows[1].tolist() == [2, 3, *[PADDING] * 4]


def test_a_fingerprint_does_not_depend_on_what_was_encoded_before(folder):
    fresh, used = TextEncoder.load(folder), TextEncoder.load(folder)
    used.encode(["good film"])
    assert used.fingerprint == fresh.fingerprint
    assert TextEncoder.load(folder, 9).fingerprint != fresh.fingerprint


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 30))
def test_parts_hold_every_row_once_within_the_budget(lengths, budget):
    rows = torch.full((len(lengths), 9), PADDING, dtype=torch.int32)
    for row, length in enumerate(lengths):
        rows[row, :length] = 1
    parts = in_parts(rows, budget)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * trimmed(rows[part]).shape[1] <= budget


def test_parts_answer_like_the_whole_and_padding_does_not_count(folder):
    network = TextNetwork.pretrained(folder, {"main": 2}, {"main": "classification"}).eval()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[4:], n)) for n in rng.integers(1, 20, 50)]
    rows = torch.from_numpy(network.encoder.encode(texts))
    whole = network(rows).detach()
    network.budget = 64
    assert len(network.parts(rows)) > 5
    with torch.no_grad():
        torch.testing.assert_close(answer(network, rows), whole, atol=1e-5, rtol=0)
        wider = torch.nn.functional.pad(rows, (0, 5), value=PADDING)
        torch.testing.assert_close(network(wider), whole, atol=1e-6, rtol=0)
    assert mask_of(rows).sum() == (rows != PADDING).sum()


@pytest.mark.parametrize("kind, size", [("classification", 3), ("multilabel", 4), ("regression", 1)])
def test_saved_and_loaded_is_the_same_network(folder, tmp_path, kind, size):
    student = Student.of(f"hf:{folder}", (), {"main": size}, kinds={"main": kind})
    network = student.build(1).eval()
    save(network, tmp_path, source=student, names={"main": tuple(f"c{i}" for i in range(size))})
    rows = torch.from_numpy(network.encoder.encode(["good film", "very dull plot"]))
    again = load(tmp_path)
    torch.testing.assert_close(again(rows), network(rows))
    assert again.model.config.problem_type == network.model.config.problem_type
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert theirs.config.id2label[0] == "c0"


def test_several_tasks_share_the_encoder(folder, tmp_path):
    sizes = {"mood": 2, "topic": 3}
    student = Student.of(f"hf:{folder}", (), sizes)
    network = student.build(0).eval()
    rows = torch.from_numpy(network.encoder.encode(["good film"]))
    said = network(rows)
    assert {name: tuple(value.shape) for name, value in said.items()} == {"mood": (1, 2), "topic": (1, 3)}
    save(network, tmp_path, source=student)
    for name, value in load(tmp_path)(rows).items():
        torch.testing.assert_close(value, said[name])


def test_heads_are_made_from_the_seed(folder):
    student = Student.of(f"hf:{folder}", (), {"main": 5})
    first, second, other = (student.build(seed).model.classifier.weight for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a tokenizer at .*, got"):
        TextEncoder.load(tmp_path)
    with pytest.raises(ConfigError, match=r"expected a model that transformers loads at .*, got"):
        TextNetwork.pretrained(tmp_path, {"main": 2})
    with pytest.raises(
        ConfigError, match=r"expected a folder with a model of transformers at .*nowhere, there is none"
    ):
        TextNetwork.pretrained(tmp_path / "nowhere", {"main": 2})
