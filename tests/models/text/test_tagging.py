"""First tokens of words by spans of characters, and networks that answer word by word."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from limbeck.core.errors import ConfigError
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.text.alignment import FURTHEST, word_places
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tagging import TaggingNetwork
from limbeck.models.text.tokens import PADDING, TextEncoder

LETTERS = "abcdefghijklmnopqrstuvwxyz.,-'é"


def pieces():
    """WordPiece: letters and pairs, accents stripped, spaces around signs."""
    pairs = [a + b for a in "aeiou" for b in "lmnrst"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *pairs, *("##" + x for x in [*LETTERS, *pairs])]
    core = Tokenizer(models.WordPiece({p: n for n, p in enumerate(vocabulary)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return core


def byte_level():
    """Byte-level BPE without merges: a token for each byte; the space before a word is a token of its own."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(alphabet), "Ġa", "Ġb"]
    core = Tokenizer(models.BPE({p: n for n, p in enumerate(vocabulary)}, [("Ġ", "a"), ("Ġ", "b")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def pieces_of_sentences():
    """Unigram as SentencePiece has it: the space before a word is part of its first token."""
    scores = [("[PAD]", 0.0), ("[UNK]", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("▁", -2.0), ("▁a", -2.5), ("an", -2.5)]
    core = Tokenizer(models.Unigram(scores + [(x, -3.0) for x in LETTERS if x != "é"], unk_id=1))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    return core


def encoder(core, max_length=64):
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    return TextEncoder(tokenizer, max_length)


ENCODERS = {
    "wordpiece": encoder(pieces()),
    "byte level": encoder(byte_level()),
    "sentencepiece": encoder(pieces_of_sentences()),
}
WORD = st.text(LETTERS + "A中☃", min_size=1, max_size=7)


def rows_of(words):
    return pd.DataFrame({"tokens": pd.Series([tuple(row) for row in words])})


def first_places(encoded):
    places, there = word_places(torch.from_numpy(encoded))
    return places.numpy(), there.numpy()


@pytest.mark.parametrize("kind", ENCODERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(words=[["a", "b"], ["é"], ["a"]])
@given(words=st.lists(st.lists(WORD, min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_word_is_spoken_for_by_a_token_of_its_own(kind, words):
    encoder = ENCODERS[kind]
    encoded = encoder.encode(rows_of(words))
    places, there = first_places(encoded)
    for row, entry in enumerate(words):
        text = " ".join(entry)
        spans = encoder.tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=64)["offset_mapping"]
        start = 0
        for number, word in enumerate(entry):
            if number < there.shape[1] and there[row, number]:
                a, b = spans[places[row, number]]
                assert a < start + len(word) and b > start, "the token stands in its word"
                before = [s for s in spans[: places[row, number]] if s[1] > s[0]]
                inside = [s for s in before if s[1] > start and text[max(s[0], start) : s[1]].strip()]
                assert not inside, "and is the first that does"
            start += len(word) + 1
        assert not there[row, len(entry) :].any()
        if encoder is not ENCODERS["byte level"]:
            continue
        if len(spans) < 64:
            assert there[row, : len(entry)].all(), "bytes say something about every word"


def test_plain_words_have_one_place_each_in_every_tokenizer():
    words = [["anna", "met", "an", "elm"], ["rest"]]
    for kind, encoder in ENCODERS.items():
        _, there = first_places(encoder.encode(rows_of(words)))
        assert there.sum(1).tolist() == [4, 1], kind


def test_words_that_are_cut_off_have_no_place():
    encoded = encoder(byte_level(), max_length=10).encode(rows_of([["anna", "met", "bob"]]))
    assert encoded.shape == (1, 10)
    assert first_places(encoded)[1].sum() == 2, "8 letters and spaces of 12 are read"


def test_words_without_a_token_are_passed_over():
    steps = encoder(pieces()).encode(rows_of([["an", "\u200b", "\u0301", "el", "\u200b"]]))
    places, there = first_places(steps)
    assert there[0, :4].tolist() == [True, False, False, True], "as many columns as tokens"
    assert (places[0, 0], places[0, 3]) == (1, 2)
    far = encoder(pieces(), 128).encode(rows_of([["an", *["\u200b"] * FURTHEST, "el"]]))
    assert first_places(far)[1].sum() == 1, "a gap beyond all reason ends the row"


def test_a_row_of_texts_has_no_words_and_the_same_tokens():
    texts = ENCODERS["wordpiece"].encode(["anna met", "an elm"])
    words = ENCODERS["wordpiece"].encode(rows_of([["anna", "met"], ["an", "elm"]]))
    low = (1 << 25) - 1
    assert np.array_equal(np.where(texts < 0, PADDING, texts & low), np.where(words < 0, PADDING, words & low))
    assert not first_places(texts)[1].any()


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast, model_max_length = False, 64

    with pytest.raises(ConfigError, match="expected a tokenizer that says which characters a token stands for, Slow"):
        TextEncoder(Slow()).encode(rows_of([["a"]]))


# ------------------------------------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    made = encoder(pieces())
    made.tokenizer.model_max_length = 32
    made.tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(made.tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return folder


WORDS = rows_of([["anna", "met", "an", "elm"], ["rest"], ["no", "man", "is", "an", "island"]])


def test_logits_of_words_are_those_of_their_first_tokens(folder):
    network = TaggingNetwork.pretrained(folder, {"main": 3}).eval()
    rows = torch.from_numpy(network.encoder.encode(WORDS))
    with torch.no_grad():
        said, mask = network(rows), network.masks(rows)["main"]
        for row, words in enumerate(WORDS["tokens"]):
            text = network.encoder.tokenizer(" ".join(words), return_tensors="pt", return_token_type_ids=False)
            theirs = network.model(**text).logits[0]
            ids = network.encoder.tokenizer(list(words), is_split_into_words=True).word_ids()
            first = [ids.index(number) for number in range(len(words))]
            assert mask[row].sum() == len(words)
            assert torch.allclose(said[row][mask[row]], theirs[first], atol=1e-5)


def test_padding_and_the_order_of_rows_change_nothing(folder):
    network = TaggingNetwork.pretrained(folder, {"main": 3}).eval()
    rows = torch.from_numpy(network.encoder.encode(WORDS))
    wide = torch.nn.functional.pad(rows, (0, 5), value=PADDING)
    with torch.no_grad():
        assert torch.equal(network(wide), network(rows))
        assert torch.allclose(network(rows[[2, 0]]), network(rows)[[2, 0]], atol=1e-6)
        short, whole = network(rows[[1]]), network(rows)[[1]]
        assert torch.allclose(short[:, :1], whole[:, :1], atol=1e-5)


def test_several_tasks_share_the_encoder_and_come_back_from_disk(folder, tmp_path):
    sizes, kinds = {"intent": 2, "slots": 3}, {"intent": "classification", "slots": "tagging"}
    student = Student.of(f"hf:{folder}", (), sizes, kinds=kinds)
    network = student.build(0).eval()
    rows = torch.from_numpy(network.encoder.encode(WORDS))
    with torch.no_grad():
        said = network(rows)
        assert said["intent"].shape == (3, 2) and said["slots"].shape == (3, rows.shape[1], 3)
        assert set(network.masks(rows)) == {"slots"}
        save(network, tmp_path, names={"intent": ("a", "b"), "slots": ("O", "B-X", "I-X")})
        again = load(tmp_path)
        assert isinstance(again, TaggingNetwork) and again.tags == ("slots",)
        assert all(torch.equal(again(rows)[head], said[head]) for head in sizes)


def test_one_task_comes_back_from_disk_with_the_names_of_its_tags(folder, tmp_path):
    network = TaggingNetwork.pretrained(folder, {"main": 3}).eval()
    rows = torch.from_numpy(network.encoder.encode(WORDS))
    save(network, tmp_path, names={"main": ("O", "B-X", "I-X")})
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(rows), network(rows))
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert theirs.config.id2label == {0: "O", 1: "B-X", 2: "I-X"}


def test_a_network_of_whole_texts_is_refused_for_tags(folder):
    whole = TextNetwork.pretrained(folder, {"main": 3})
    with pytest.raises(
        ConfigError, match=r"expected the student .* to answer for every word of 'main', got TextNetwork"
    ):
        Student.of(whole, (), {"main": 3}, kinds={"main": "tagging"}).build(0)


def test_its_answers_export_without_steps_that_depend_on_values(folder):
    network = TaggingNetwork.pretrained(folder, {"main": 3}).eval()

    class Answers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, rows):
            return self.network.answers(rows), word_places(rows)[1]

    rows = torch.from_numpy(network.encoder.encode(WORDS))
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=32)}
    traced = torch.export.export(Answers(), (rows,), dynamic_shapes=(free,), strict=False).module()
    other = rows[:2, :-1]
    with torch.no_grad():
        assert torch.allclose(traced(other)[0], network.answers(other), atol=1e-5)
