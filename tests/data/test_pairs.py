"""Rows of two texts: what similarity and retrieval take, and what they refuse in words."""

import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.data.embedded import check_width, pair_cosines, ranks
from limbeck.data.retrieval import Retrieval
from limbeck.data.similarity import Similarity
from limbeck.data.sources import NamedColumns
from limbeck.data.tasks import task_from_spec


def texts(count, word):
    return [f"{word} number {n} stands here" for n in range(count)]


def scored(count=40, low=0.0, high=5.0):
    return pd.DataFrame({"a": texts(count, "first"), "b": texts(count, "second"), "s": np.linspace(low, high, count)})


def asked(count=40, word="answer"):
    return pd.DataFrame({"query": texts(count, "ask"), "document": texts(count, word)})


def similar(train=None, **more):
    train = scored() if train is None else train
    columns = more.pop("columns", NamedColumns(inputs=("a", "b"), target="s"))
    return Data(train=train, test_fraction=0.2, task="similarity", columns=columns, **more)


def test_scores_from_nought_up_become_0_to_1_and_others_minus_1_to_1():
    task = Similarity.fit([1, 2, 5])
    assert (task.low, task.high) == (1, 5)
    values, mask = task.encode([1, None, 5])
    assert values[:, 0].tolist() == [0, 0, 1] and mask.tolist() == [True, False, True]
    task = Similarity.fit([-2, 1])
    assert task.encode([-2, 1])[0][:, 0].tolist() == [-1, 0.5]
    assert task_from_spec(task.to_spec()) == task
    assert task_from_spec(Retrieval().to_spec()) == Retrieval()


def test_predictions_are_in_the_units_of_the_scores():
    task = Similarity(1.0, 5.0)
    assert task.predict(np.array([[1.0, 0, 1, 0], [1, 0, 0, 2]])).tolist() == [5, 1]
    assert pair_cosines(np.array([[1.0, 0, -3, 0], [0, 0, 1, 1]])).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Similarity.fit([3, 3]), "expected scores that differ, the least is 3 and the greatest 3"),
        (lambda: Similarity.fit([None, None]), "expected scores for a similarity task, got none"),
        (lambda: Similarity.fit([[1, 2], [3, 4]]), "expected one column of scores for a similarity task, got 2"),
        (lambda: Similarity().encode([[1, 2]]), "expected one column of scores, got 2"),
        (lambda: check_width(7, "the teacher"), r"from the teacher, side by side \(2·D numbers\), it gives 7 numbers"),
        (
            lambda: similar(scored()[["a", "s"]], columns="s"),
            r"two columns of texts for the task similarity, got 1 \(a\)",
        ),
        (lambda: similar(scored().assign(b=1.0)), "expected two columns of texts .* not all of them texts"),
        (lambda: similar(scored().assign(b=["", *texts(39, "x")])), "two texts in every row of train, row 0 lacks 'b'"),
        (lambda: similar(corpus=["more"]), "expected no corpus for the task similarity"),
        (lambda: Data(train=asked().assign(more=1), test=asked(), task="retrieval"), "got 3 columns"),
        (lambda: Data(train="pairs.csv", task="retrieval"), "columns of queries and of documents in pairs.csv by name"),
        (
            lambda: Data(train=asked(), test_fraction=0.2, task="retrieval", corpus=3),
            "a corpus as a list of texts, got int",
        ),
        (
            lambda: Data(train=(asked(), {"x": [1] * 40, "y": [1] * 40}), task={"x": "similarity", "y": "regression"}),
            "expected similarity as the only task, got similarity, regression",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, said):
    with pytest.raises(ConfigError, match=said):
        call()


def test_single_texts_may_be_unlabelled_rows():
    for more in (texts(5, "more"), pd.DataFrame({"text": texts(5, "more")})):
        data = similar(unlabeled=more)
        assert list(data.unlabeled.inputs.columns) == ["a", "b"]
        assert data.unlabeled.inputs["a"].tolist() == texts(5, "more")
        assert data.unlabeled.inputs["b"].tolist() == [""] * 5
    assert len(similar(unlabeled=scored(6)[["a", "b"]].assign(a=texts(6, "z"), b=texts(6, "y"))).unlabeled) == 6
    with pytest.raises(ConfigError, match=r"expected two texts a row in validation, got one column \(text\)"):
        similar(validation=(texts(5, "more"), [1, 2, 3, 4, 5]))


def test_rows_of_retrieval_are_their_own_labels():
    data = Data(train=asked(), test=asked(10, "other"), task="retrieval", corpus=[*texts(3, "other"), *texts(3, "far")])
    assert isinstance(data.tasks["main"], Retrieval)
    assert data.train.targets["main"].tolist() == [[1.0]] * len(data.train)
    assert data.corpus.inputs["query"].tolist() == texts(3, "far")  # without the documents of the test rows
    again = Data(train=asked(), test=asked(10, "other"), task="retrieval")
    assert again.fingerprint != data.fingerprint


def test_ranks_count_better_documents_and_share_ties():
    queries = np.eye(3)
    documents = np.array([[1.0, 0, 0], [0.9, 0.5, 0], [0, 0.5, 0], [0.95, 0, 0]])
    own = np.array([1, 2, 0])
    positive = np.array([[0, 1], [0, 3], [1, 2], [2, 0]])
    found = ranks(queries, documents, own, positive, np.arange(3))
    # the first: only document 0 is better, 3 is its own too; the second ties with document 1; the third with all others
    assert found.tolist() == [2, 1.5, 2.5]


def test_retrieval_ranks_equal_queries_without_each_other():
    rows = Data(
        train=asked(),
        test=pd.DataFrame(
            {"query": ["same thing asked", "same thing asked", "another one"], "document": texts(3, "d")}
        ),
        task="retrieval",
    ).test
    answers = np.array([[1.0, 0, 1, 0], [1, 0, 0.9, 0.1], [0, 1, 0, 1]])
    task = Retrieval()
    assert task.judged(answers, rows)[:, 0].tolist() == [1, 1, 1]
    corpus = np.array([[1.0, 0.05, 1, 0.05]])  # a single text gives its embedding twice
    assert task.judged(answers, rows, corpus)[:, 0].tolist() == [1, 2, 1]
    assert task.truth(rows, "main")[:, 0].tolist() == [3, 3, 3]
    further = rows.take(np.array([0, 1]))
    assert task.truth(rows, "main", further)[:, 0].tolist() == [5, 5, 5]


def test_single_texts_that_are_judged_later_are_no_unlabelled_rows():
    pairs = pd.DataFrame({"a": [f"first {n}" for n in range(40)], "b": [f"second {n}" for n in range(40)]})
    scored = pairs.assign(score=np.linspace(0, 5, 40))
    singles = [f"second {n}" for n in range(30, 40)] + ["something else", "first 3"]
    data = Data(
        train=scored[:20], validation=scored[20:30], test=scored[30:], unlabeled=singles, task="similarity",
        columns=NamedColumns(inputs=("a", "b"), target="score"),
    )  # fmt: skip
    assert data.unlabeled.inputs["a"].tolist() == ["something else", "first 3"]
    assert any("10 unlabeled rows with a text of a test row" in f.measured for f in data.findings)


def test_a_single_text_stands_in_both_columns_for_a_function():
    from limbeck.data.pairs import both_texts

    given = pd.DataFrame({"a": ["x", "y", "", " \t", "u"], "b": ["", "z", "v", "w", "  "]}, dtype=object)
    kept = given.copy()
    made = both_texts(given)
    assert made.to_numpy().tolist() == [["x", "x"], ["y", "z"], ["v", "v"], ["w", "w"], ["u", "u"]]
    assert given.equals(kept)


def test_the_scale_of_scores_is_that_of_the_training_rows_alone():
    found = set()
    for seed in range(8):
        data = similar(seed=seed)
        task, splits = data.tasks["main"], (data.train, data.validation, data.test)
        assert data.train.targets["main"].max() == 1
        every = np.concatenate([task.scores(rows.targets["main"]) for rows in splits])
        assert sorted(every[:, 0]) == pytest.approx(np.linspace(0, 5, 40).tolist(), abs=1e-5), (
            "scores stay what they were"
        )
        found.add(task.low > 0)
    assert found == {True, False}, "the lowest score is split off with some seeds"
