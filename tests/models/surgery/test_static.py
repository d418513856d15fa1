import pytest
import tiny
import tokenizers as tk
import torch
import transformers as tf
from tokenizers import models, pre_tokenizers

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.models.surgery import describe, shrink_vocabulary, static_embeddings
from limbeck.models.surgery.static import ordinary_ids, principal, sif, zipf

WORDS = "the of and a good great table chair city town king queen is in it very bad awful river water"


@pytest.fixture(scope="module")
def small(minilm):
    model, tokenizer = minilm
    return shrink_vocabulary(model, tokenizer, 2100, [WORDS])


@pytest.fixture(scope="module")
def plain(small):
    return static_embeddings(*small, 64)


def test_good_is_nearer_to_great_than_to_table(small, plain):
    tokenizer, matrix = small[1], plain
    assert matrix.dtype == torch.float32
    assert matrix.shape == (len(tokenizer), 64)
    vectors = torch.nn.functional.normalize(matrix, dim=1)
    good, great, table, awful, bad, river = vectors[
        tokenizer.convert_tokens_to_ids(["good", "great", "table", "awful", "bad", "river"])
    ]
    assert good @ great > good @ table + 0.1
    assert awful @ bad > awful @ river + 0.1


def test_rows_of_special_and_unused_tokens_are_zero(small, plain):
    tokenizer, matrix = small[1], plain
    ordinary = ordinary_ids(tokenizer)
    rest = sorted(set(range(len(tokenizer))) - set(ordinary.tolist()))
    assert set(tokenizer.all_special_ids) <= set(rest)
    assert not matrix[rest].any()
    assert matrix[ordinary].any(dim=1).all()


def test_frequent_tokens_of_the_texts_weigh_less(small, plain):
    model, tokenizer = small
    texts = ["good good good good good table"]
    weighed = static_embeddings(model, tokenizer, 64, texts)
    good, table, king = (tokenizer.convert_tokens_to_ids(word) for word in ("good", "table", "king"))
    direction = torch.nn.functional.cosine_similarity(plain, weighed)
    assert direction[[good, table, king]].allclose(torch.ones(3))
    raw = plain / sif(zipf(len(ordinary_ids(tokenizer)))).float()[ordinary_ids(tokenizer) == king]
    assert weighed[king].allclose(raw[king], rtol=1e-4)  # it is not in the texts: its weight is one
    share = {good: 5 / 6, table: 1 / 6}
    ranks = {number: rank for rank, number in enumerate(ordinary_ids(tokenizer).tolist())}
    zipfs = sif(zipf(len(ranks)))
    for number, probability in share.items():
        expected = plain[number] / zipfs[ranks[number]] * 1e-3 / (1e-3 + probability)
        assert weighed[number].allclose(expected.float(), rtol=1e-4)


def test_principal_components_keep_distances_where_nothing_is_cut():
    vectors = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = principal(vectors, 6)
    assert torch.cdist(made, made).allclose(torch.cdist(vectors, vectors))
    spread = made.var(0)
    assert (spread[:-1] >= spread[1:]).all()
    assert made.mean(0).allclose(torch.zeros(6, dtype=torch.float64), atol=1e-12)


def test_what_does_not_fit_is_refused(small, minilm):
    model, tokenizer = small
    with pytest.raises(ConfigError, match="expected dim from 1 to 384, got 400"):
        static_embeddings(model, tokenizer, 400)
    with pytest.raises(ConfigError, match="expected texts to count tokens in, got none"):
        static_embeddings(model, tokenizer, 8, [])
    with pytest.raises(ConfigError, match="expected a list of texts, got one text"):
        static_embeddings(model, tokenizer, 8, "a text")
    with pytest.raises(ShapeMismatch, match=r"expected a tokenizer of at most 2100 tokens for BertModel, got 30522"):
        static_embeddings(model, minilm[1], 8)


def test_sizes_count_what_is_shared_once(minilm):
    size = describe(minilm[0])
    assert size == {"parameters": 22713216, "embeddings": 11917824, "bytes": 90852864}
    mlm = tiny.make("bert-mlm", depth=1)
    assert describe(mlm)["parameters"] == mlm.num_parameters()


@pytest.mark.parametrize("name", ["distilbert", "t5", "gpt2", "roberta"])
def test_other_architectures_give_static_vectors(name):
    letters = models.WordLevel({"<pad>": 0, "<unk>": 1} | {chr(97 + n): n + 2 for n in range(26)}, unk_token="<unk>")
    made = tk.Tokenizer(letters)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")
    matrix = static_embeddings(tiny.make(name, depth=1), tokenizer, 5)
    assert matrix.shape == (28, 5)
    assert not matrix[:2].any()
    assert matrix.isfinite().all()
