"""Sentence networks: the embeddings of sentence-transformers, of both texts of a row, saved as it loads them."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from limbeck.core.errors import ConfigError
from limbeck.models.fingerprint import module_hash
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.surgery import keep_layers, shrink
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.sentences import SentenceNetwork, embeddings
from limbeck.models.text.small_sentences import reduced_sentences, static_sentences

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "cat", "runs", "sleeps", "the", "red", "house"]
ONE, TWO = ["a dog runs", "the red house", "cat"], ["the cat sleeps", "a red cat runs the house", "dog"]


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
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, initializer_range=0.5,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=["mean", "cls and normalised", "projected", "static"])
def theirs(request, folder):
    torch.manual_seed(1)
    if request.param == "static":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        vectors = torch.randn(len(WORDS), 6)
        parts = [modules.StaticEmbedding(tokenizer, embedding_weights=vectors), modules.Normalize()]
    else:
        first = modules.Transformer(str(folder))
        parts = [first, modules.Pooling(16, pooling_mode="cls" if "cls" in request.param else "mean")]
        parts += [modules.Normalize()] if "normalised" in request.param else []
        parts += [modules.Dense(16, 6)] if request.param == "projected" else []
    return SentenceTransformer(modules=parts, device="cpu")


def answered(network, *columns):
    frame = pd.DataFrame({f"text{number}": texts for number, texts in enumerate(columns)})
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(network.encoder.encode(frame)))


def test_both_texts_of_a_row_are_embedded_as_sentence_transformers_embeds_them(theirs):
    network = SentenceNetwork.of(theirs)
    first, second = answered(network, ONE, TWO).chunk(2, dim=1)
    np.testing.assert_allclose(first, theirs.encode(ONE), atol=1e-5)
    np.testing.assert_allclose(second, theirs.encode(TWO), atol=1e-5)
    assert network.width == first.shape[1]
    np.testing.assert_allclose(embeddings(network, TWO), theirs.encode(TWO), atol=1e-5)


def test_what_is_saved_loads_in_sentence_transformers_and_here(theirs, tmp_path):
    network = SentenceNetwork.of(theirs)
    save(network, tmp_path)
    np.testing.assert_allclose(SentenceTransformer(str(tmp_path)).encode(ONE), theirs.encode(ONE), atol=1e-5)
    back = load(tmp_path)
    assert isinstance(back, SentenceNetwork) and not back.training
    torch.testing.assert_close(answered(back, ONE, TWO), answered(network, ONE, TWO))


def test_the_form_for_exports_says_the_same(theirs):
    network = SentenceNetwork.of(theirs).eval()
    rows = torch.from_numpy(network.encoder.encode(pd.DataFrame({"a": ONE, "b": [TWO[0], "", TWO[2]]})))
    with torch.no_grad():
        torch.testing.assert_close(network.answers(rows), network(rows), atol=1e-5, rtol=1e-5)


def test_a_row_of_one_text_gives_its_embedding_twice(theirs):
    network = SentenceNetwork.of(theirs)
    first, second = answered(network, ONE).chunk(2, dim=1)
    torch.testing.assert_close(first, second)
    mixed = answered(network, ONE, [TWO[0], "", TWO[2]])
    torch.testing.assert_close(mixed[1], answered(network, ONE)[1])
    torch.testing.assert_close(mixed[0], answered(network, ONE, TWO)[0])


def test_the_second_text_does_not_look_at_the_first(folder):
    network = SentenceNetwork.load(folder)
    alone = answered(network, ["cat"] * 3, TWO).chunk(2, dim=1)[1]
    torch.testing.assert_close(answered(network, ONE, TWO).chunk(2, dim=1)[1], alone)


def test_two_loads_are_the_same_model_and_a_default_prompt_stands_before_each_text(folder):
    assert module_hash(SentenceNetwork.load(folder)) == module_hash(SentenceNetwork.load(folder))
    theirs = SentenceTransformer(str(folder), prompts={"short": "the red "}, default_prompt_name="short")
    network = SentenceNetwork.of(theirs)
    np.testing.assert_allclose(answered(network, ONE)[:, :16], theirs.encode(ONE), atol=1e-5)
    assert network.encoder.fingerprint != SentenceNetwork.load(folder).encoder.fingerprint


def test_long_texts_are_cut_where_sentence_transformers_cuts_them(folder, tmp_path):
    long = ["a dog runs the red house " * 8]
    network = SentenceNetwork.load(folder)
    network.files(tmp_path / "a", {})
    np.testing.assert_allclose(
        answered(network, long)[:, :16], SentenceTransformer(str(tmp_path / "a")).encode(long), atol=1e-5
    )
    longer = ["a dog runs the red house " * 200]
    static = static_sentences(network, 4)
    static.files(tmp_path / "b", {})
    np.testing.assert_allclose(
        answered(static, longer)[:, :4], SentenceTransformer(str(tmp_path / "b")).encode(longer), atol=1e-5
    )


def test_static_students_follow_the_teacher_a_little_before_any_training(folder):
    network = SentenceNetwork.load(folder)
    static = static_sentences(network, 8, ONE + TWO)
    assert sum(p.numel() for p in static.parameters()) == 8 * len(WORDS)
    assert torch.allclose(answered(static, ONE)[:, :8].norm(dim=1), torch.ones(3))
    with pytest.raises(ConfigError, match="expected a teacher with an encoder, got static embeddings"):
        static_sentences(static, 4)
    with pytest.raises(ConfigError, match="expected a sentence network or a SentenceTransformer, got Linear"):
        static_sentences(torch.nn.Linear(2, 2), 4)


def test_encoders_with_fewer_layers_or_less_width_stay_sentence_networks(folder, tmp_path):
    network = SentenceNetwork.load(folder)
    short = reduced_sentences(network, lambda model: keep_layers(model, 1))
    assert len(short.model[0].model.encoder.layer) == 1
    assert len(network.model[0].model.encoder.layer) == 3
    batches = [{"input_ids": torch.tensor([[2, 5, 7, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}]
    narrow = reduced_sentences(network, lambda model: shrink(model, width=8, heads=1, batches=batches))
    assert narrow.width == 8
    save(narrow, tmp_path)
    said = answered(narrow, ONE)
    assert said.shape == (3, 16)
    np.testing.assert_allclose(said[:, :8], SentenceTransformer(str(tmp_path)).encode(ONE), atol=1e-5)


def test_a_width_that_the_modules_behind_do_not_take_is_refused(folder):
    parts = [modules.Transformer(str(folder)), modules.Pooling(16), modules.Dense(16, 6)]
    network = SentenceNetwork(SentenceTransformer(modules=parts, device="cpu"))
    batches = [{"input_ids": torch.tensor([[2, 5, 7, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}]
    with pytest.raises(ConfigError, match="expected an encoder of width 16 before a Dense module, got 8"):
        reduced_sentences(network, lambda model: shrink(model, width=8, heads=1, batches=batches))


def test_a_folder_without_a_model_is_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="expected a model that sentence-transformers loads at"):
        SentenceNetwork.load(tmp_path)


def test_students_of_text_and_tasks_must_fit(folder):
    sizes, similar = {"main": 0}, {"main": "similarity"}
    assert Student.of(f"hf:{folder}", (2,), sizes, kinds=similar).build(0).width == 16
    assert Student.of(SentenceTransformer(str(folder)), (2,), sizes, kinds=similar).build(0).width == 16
    with pytest.raises(ConfigError, match=r"expected a task on embeddings .* for st:.*, got main \(classification\)"):
        Student.of(f"st:{folder}", (2,), {"main": 2})
    plain = TextNetwork.pretrained(folder, {"main": 2})
    with pytest.raises(ConfigError, match=r"expected a network that embeds texts for main \(similarity\), got TextNet"):
        Student.of(plain, (2,), sizes, kinds=similar)
    with pytest.raises(ConfigError, match="expected rows of one text or of two, got 3 columns"):
        SentenceNetwork.load(folder).encoder.encode(pd.DataFrame({"a": ONE, "b": ONE, "c": ONE}))
