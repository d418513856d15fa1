"""Rerankers end to end: a cross-encoder learns the scores of a teacher, judged by the order within each query."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import limbeck as lb
from limbeck.core.errors import ConfigError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(12))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return f"hf:{folder}"


def passages(queries, seed):
    """Five passages for each query; the more of its words one holds, the better."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        asked = rng.choice(WORDS[4:], 3, replace=False)
        for _ in range(5):
            words = rng.choice(WORDS[4:], 4, replace=False)
            made.append((f"q{seed}-{number}", " ".join(asked), " ".join(words), float(len({*asked} & {*words}))))
    return pd.DataFrame(made, columns=["id", "query", "passage", "score"])


def shared(table):
    """What a perfect reranker says: the number of words that query and passage share."""
    pairs = zip(table["query"], table["passage"], strict=True)
    return np.array([[float(len({*query.split()} & {*passage.split()}))] for query, passage in pairs])


def data(metric="ndcg@10", group="id"):
    columns = lb.Columns(inputs=("query", "passage"), target="score", group=group, drop=() if group else ("id",))
    return lb.Data(train=passages(30, 0), test=passages(15, 1), columns=columns, task="regression", metric=metric)


def test_a_cross_encoder_is_judged_by_the_order_within_queries(folder, tmp_path):
    run = lb.distill(shared, folder, data(), train=15, seeds=3, onnx=False, out=tmp_path / "r")
    card = run.scorecard["tasks"]["main"]
    assert card["metric"]["name"] == "ndcg@10"
    assert card["arms"]["teacher"]["metrics"]["ndcg@10"]["value"] == pytest.approx(1)
    assert 0 < card["trivial"]["metrics"]["ndcg@10"] < 1
    assert 0 < card["arms"]["student"]["metrics"]["ndcg@10"]["value"] <= 1
    assert run.verdict in ("helped", "no reliable difference", "hurt")


def test_rows_without_queries_are_refused_before_any_work(folder, tmp_path):
    with pytest.raises(ConfigError, match="expected groups for mrr@10: which rows belong to one query"):
        lb.distill(shared, folder, data("mrr@10", None), train=2, seeds=1, onnx=False, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()
