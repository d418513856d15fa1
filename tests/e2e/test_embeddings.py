"""Similarity and retrieval end to end: students of another width than the teacher, loaded by sentence-transformers."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import limbeck as lb
from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.stages import train as train_stage

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(30))]
SHORT = lb.TrainSpec(steps=150, batch_size=32, learning_rate=5e-2)


def tokenizer():
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def static(width, seed):
    torch.manual_seed(seed)
    vectors = modules.StaticEmbedding(tokenizer(), embedding_weights=torch.randn(len(WORDS), width))
    return SentenceTransformer(modules=[vectors, modules.Normalize()], device="cpu")


def said(rng, words=WORDS[4:]):
    return " ".join(rng.choice(words, rng.integers(3, 6)))


@pytest.fixture(scope="module")
def teacher():
    return static(8, 0)


@pytest.fixture(scope="module")
def similar(teacher):
    """Pairs of texts whose scores are the teacher's cosines with some noise, 0 to 5."""

    def pairs(count, seed):
        rng = np.random.default_rng(seed)
        first = [said(rng) for _ in range(count)]
        second = [said(rng, text.split() + WORDS[4:7]) for text in first]
        cosine = (teacher.encode(first) * teacher.encode(second)).sum(1)
        return pd.DataFrame({"sentence1": first, "sentence2": second, "score": 5 * cosine + rng.normal(0, 0.5, count)})

    more = [said(np.random.default_rng(9 + seed)) for seed in range(100)]
    return lb.Data(train=pairs(200, 0), test=pairs(120, 1), unlabeled=more, task="similarity")


@pytest.fixture(scope="module")
def found():
    """Documents and queries that hold some of their words, with documents that nobody asks for."""

    def pairs(count, seed):
        rng = np.random.default_rng(seed)
        documents = [said(rng) for _ in range(count)]
        queries = [" ".join(rng.choice(text.split(), 3)) for text in documents]
        return pd.DataFrame({"query": queries, "passage": documents})

    return lb.Data(train=pairs(200, 0), test=pairs(100, 1), corpus=list(pairs(60, 2).passage), task="retrieval")


@pytest.fixture(scope="module")
def run(teacher, similar, tmp_path_factory):
    out = tmp_path_factory.mktemp("similar") / "r"
    return lb.distill(teacher, static(5, 1), similar, train=SHORT, seeds=3, onnx=False, attribution=False, out=out)


def test_similarity_ends_in_a_verdict_and_students_follow_the_teacher(run, similar):
    card = run.scorecard["tasks"]["main"]
    arms = {name: arm["metrics"]["spearman"]["value"] for name, arm in card["arms"].items()}
    assert run.verdict in ("helped", "no reliable difference", "hurt")
    assert arms["teacher"] > 0.9 and arms["student"] > 0.5
    assert set(card["arms"]["student"]["metrics"]) == {"spearman", "pearson"}
    assert card["trivial"]["metrics"]["spearman"] == 0
    assert card["gain"]["low"] < arms["student"] - arms["control"] < card["gain"]["high"]


def test_sentence_transformer_loads_the_student_with_equal_embeddings(run, similar):
    texts = list(similar.test.inputs["sentence1"])
    network = run.student
    assert isinstance(network, SentenceNetwork)
    with torch.no_grad():
        own = network(torch.from_numpy(network.encoder.encode(texts)))[:, :5].numpy()
    best = json.loads((run.folder / "run.json").read_text())["stages"]["train"]["facts"]["best_seed"]
    theirs = SentenceTransformer(str(run.folder / "student" / f"seed-{best}")).encode(texts)
    np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_predictions_are_the_cosines_of_the_saved_student(run, similar):
    from limbeck.evaluate import predictions

    kept = predictions.read(run.folder / "predictions" / "test-student-0.parquet")
    model = SentenceTransformer(str(run.folder / "student" / "seed-0"))
    first, second = (model.encode(list(similar.test.inputs[name])) for name in ("sentence1", "sentence2"))
    np.testing.assert_allclose(kept.answers["student"]["main"][0, :, 0], (first * second).sum(1), atol=1e-5)


def test_a_run_that_was_killed_gives_the_same_student(run, teacher, similar, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    again = {"train": SHORT, "seeds": 3, "onnx": False, "attribution": False, "out": tmp_path / "r"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_stage, "keep", killed)
        lb.distill(teacher, static(5, 1), similar, **again)
    resumed = lb.distill(teacher, static(5, 1), similar, **again)
    for arm in ("student", "control"):
        name = f"{arm}/seed-1/model.safetensors"
        assert (resumed.folder / name).read_bytes() == (run.folder / name).read_bytes()
    assert resumed.scorecard["tasks"]["main"]["gain"] == run.scorecard["tasks"]["main"]["gain"]


def test_retrieval_ends_in_a_verdict_over_test_documents_and_corpus(teacher, found, tmp_path):
    run = lb.distill(teacher, static(5, 1), found, train=SHORT, seeds=3, onnx=False, out=tmp_path / "r")
    card = run.scorecard["tasks"]["main"]
    assert run.verdict in ("helped", "no reliable difference", "hurt")
    arms = {name: arm["metrics"] for name, arm in card["arms"].items()}
    assert set(arms["student"]) == {"recall@10", "recall@1", "mrr@10"}
    assert arms["student"]["recall@10"]["value"] > 3 * 10 / 160
    assert card["trivial"]["metrics"]["recall@10"] == pytest.approx(10 / 160, abs=0.015), "by chance among all 160"

    from limbeck.evaluate import predictions

    ranks = predictions.read(run.folder / "predictions" / "test-teacher-0.parquet").answers["teacher"]["main"][0, :, 0]
    rows = found.test.inputs
    documents = [*dict.fromkeys(rows["passage"]), *found.corpus.inputs["query"]]
    scores = teacher.encode(list(rows["query"])) @ teacher.encode(documents).T
    for number in (0, 7, 42):
        own = documents.index(rows["passage"][number])
        same_query = set(rows["passage"][rows["query"] == rows["query"][number]]) - {rows["passage"][number]}
        others = [j for j, text in enumerate(documents) if j != own and text not in same_query]
        better = (scores[number, others] > scores[number, own] + 1e-5).sum()
        assert ranks[number] == pytest.approx(1 + better, abs=1)


def test_stored_answers_teach_without_the_teacher(teacher, found, tmp_path):
    answers = lb.label(teacher, found, out=tmp_path / "a")
    assert answers.store.outputs["main"].width == 16
    run = lb.distill(
        answers, static(5, 1), found, objective="0.5 * InfoNCE + 0.5 * ContrastiveKD + 0.1 * MarginMSE", train=SHORT,
        seeds=1, onnx=False, out=tmp_path / "r",
    )  # fmt: skip
    direct = lb.distill(teacher, static(5, 1), found, train=2, seeds=1, onnx=False, out=tmp_path / "d")
    metrics = [r.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["recall@10"] for r in (run, direct)]
    assert metrics[0]["value"] == metrics[1]["value"]
    without = lb.Data(
        train=found.train.inputs, validation=found.validation.inputs, test=found.test.inputs, task="retrieval"
    )
    with pytest.raises(StoreMismatch, match=r"expected the test documents of .*, among which its teacher was judged"):
        lb.distill(answers, static(5, 1), without, train=SHORT, seeds=1, onnx=False, out=tmp_path / "other")


def test_a_bare_encoder_of_transformers_is_taught_and_taught_from(similar, tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    tokenizer().save_pretrained(tmp_path / "bert")
    bert = f"hf:{tmp_path / 'bert'}"
    run = lb.distill(
        bert, bert, similar, train=10, teacher_train=lb.TrainSpec(steps=60, batch_size=32, learning_rate=5e-3), seeds=1,
        onnx=False, out=tmp_path / "r",
    )  # fmt: skip
    assert run.student.width == 16
    assert run.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]["spearman"]["value"] > 0.3


def refused(teacher, student, data, tmp_path, **more):
    return lb.distill(teacher, student, data, onnx=False, seeds=1, out=tmp_path / "r", **more)


def test_teachers_and_students_without_embeddings_are_refused(teacher, similar, tmp_path):
    with pytest.raises(
        ConfigError, match=r"expected the embeddings of both texts of a row from the teacher, .* gives 1"
    ):
        refused(lambda rows: np.ones((len(rows), 1)), static(5, 1), similar, tmp_path)
    with pytest.raises(ConfigError, match="expected one teacher that embeds texts for similarity, got one of kind"):
        refused([teacher, static(8, 2)], static(5, 1), similar, tmp_path / "b")
    with pytest.raises(
        ConfigError, match="expected one teacher that embeds texts for similarity, got one of kind predic"
    ):
        refused(pd.DataFrame({"id": [0], "score": [1.0]}), static(5, 1), similar, tmp_path / "c")
    with pytest.raises(ConfigError, match="expected a network that takes text"):
        refused(teacher, "mlp(hidden=[4])", similar, tmp_path / "d")
    with pytest.raises(ConfigError, match="InfoNCE: expected a retrieval task, 'main' is similarity"):
        refused(teacher, static(5, 1), similar, tmp_path / "e", objective="0.5 * InfoNCE + 0.5 * EmbeddingCosine")
    with pytest.raises(ConfigError, match="expected a batch of at least 2 rows for contrastivekd"):
        spec = lb.TrainSpec(steps=2, batch_size=1)
        refused(teacher, static(5, 1), similar, tmp_path / "f", objective="ContrastiveKD", train=spec)


def test_a_teacher_whose_embeddings_know_nothing_is_refused(similar, found, tmp_path):
    def alike(rows):
        return np.tile(np.array([1.0, -1.0]), (len(rows), 4))

    with pytest.raises(ConfigError, match="expected a teacher that knows the task, its spearman on"):
        refused(alike, static(5, 1), similar, tmp_path / "a")
    with pytest.raises(ConfigError, match=r"expected a teacher that knows the task, its recall@10 on"):
        refused(alike, static(5, 1), found, tmp_path / "b")


def test_a_recipe_of_retrieval_reads_its_corpus_and_teacher_from_folders(teacher, found, tmp_path):
    from limbeck.recipe import Recipe
    from limbeck.stages.recipes import make_objective, make_student, make_teacher, read_data

    for name in ("train", "test"):
        getattr(found, name).inputs.to_parquet(tmp_path / f"{name}.parquet")
    pd.DataFrame({"text": found.corpus.inputs["query"]}).to_csv(tmp_path / "corpus.csv", index=False)
    teacher.save(str(tmp_path / "teacher"), create_model_card=False)
    files = {name: f"{name}.parquet" for name in ("train", "test")} | {"corpus": "corpus.csv"}
    spec = {
        "data": files | {"task": "retrieval", "columns": {"inputs": ["query", "passage"]}},
        "teacher": f"st:{tmp_path / 'teacher'}", "student": f"st:{tmp_path / 'teacher'}",
    }  # fmt: skip
    recipe = Recipe.from_dict(spec, base=tmp_path)
    data = read_data(recipe)
    assert len(data.corpus) == len(found.corpus)
    taught = make_teacher(recipe)
    assert make_student(recipe, data, taught).build(0).width == 8
    losses = [type(term.objective).__name__ for term in make_objective(recipe, data, taught)]
    assert losses == ["InfoNCE", "ContrastiveKD"]
    with pytest.raises(ConfigError, match=r"corpus: .*other.csv does not exist"):
        Recipe.from_dict(spec | {"data": {**spec["data"], "corpus": "other.csv"}}, base=tmp_path)


def test_cosines_of_anyones_students_are_judged():
    rng = np.random.default_rng(0)
    y = rng.uniform(0, 5, 200)
    arms = {name: y + rng.normal(0, noise, (3, 200)) for name, noise in (("student", 1.0), ("control", 2.0))}
    card = lb.judge(y, teacher=y + rng.normal(0, 0.5, 200), task="similarity", **arms).data["tasks"]["main"]
    assert card["metric"]["name"] == "spearman" and card["verdict"] == "helped"
