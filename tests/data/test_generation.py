"""Texts for texts: which columns hold them, what an empty target is, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.generation import Generation, forced_keys, unfolded
from limbeck.data.tasks import task_from_spec
from limbeck.data.writing import WriteSpec

WORDS = [f"w{number}" for number in range(40)]


def texts(count, seed, prefix=""):
    rng = np.random.default_rng(seed)
    return [prefix + " ".join(rng.choice(WORDS, 6)) for _ in range(count)]


def frame(source="source", target="target", count=40, **more):
    return pd.DataFrame({source: texts(count, 0), target: texts(count, 1), **more})


@pytest.mark.parametrize(
    ("source", "target"),
    [("source", "target"), ("document", "summary"), ("article", "highlights"), ("text", "summary"), ("de", "en")],
)
def test_columns_by_their_usual_names_are_a_pair(source, target):
    data = lb.Data(train=frame(source, target, id=range(40)))
    assert data.tasks == {"main": Generation(target)}
    assert data.train.kind == "text" and list(data.train.inputs.columns) == [source]
    assert set(data.train.targets["main"]) < set(frame(source, target)[target])


def test_a_column_of_translations_becomes_one_a_language(tmp_path):
    pairs = [{"translation": {"de": a, "en": b}} for a, b in zip(texts(40, 0), texts(40, 1), strict=True)]
    assert list(unfolded(pd.DataFrame(pairs)).columns) == ["de", "en"]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    pd.DataFrame(pairs).to_parquet(tmp_path / "pairs.parquet")
    for given in (pd.DataFrame(pairs), str(path), str(tmp_path / "pairs.parquet")):
        data = lb.Data(train=given)
        assert data.tasks == {"main": Generation("en")} and list(data.train.inputs.columns) == ["de"]
    back = lb.Data(train=pd.DataFrame(pairs), columns=lb.Columns(inputs=("en",), target="de"))
    assert back.tasks == {"main": Generation("de")} and list(back.train.inputs.columns) == ["en"]


def test_data_sets_of_hugging_face_are_read_alike():
    datasets = pytest.importorskip("datasets")
    pairs = [{"de": a, "en": b} for a, b in zip(texts(40, 0), texts(40, 1), strict=True)]
    given = datasets.Dataset.from_dict({"translation": pairs})
    assert lb.Data(train=given).tasks == {"main": Generation("en")}


def test_other_names_are_a_pair_where_the_task_is_said():
    named = frame("given", "wanted")
    assert lb.Data(train=named, task="generation").tasks == {"main": Generation("wanted")}
    lists = lb.Data(train=(texts(40, 0), texts(40, 1)), task="generation")
    assert lists.tasks == {"main": Generation("target")}
    short = pd.DataFrame({"given": ["a", "b", "c", "d"] * 5, "wanted": texts(20, 1)})  # no free text: a table, if asked
    assert lb.Data(train=short, task="generation").train.kind == "text"


def test_labels_beside_a_text_stay_classes():
    data = lb.Data(train=pd.DataFrame({"text": texts(40, 0), "label": ["good", "bad"] * 20}))
    assert data.tasks["main"].kind == "classification"


def test_rows_without_a_target_are_unlabelled():
    given = frame()
    given.loc[[3, 4], "target"] = [None, "  "]
    data = lb.Data(train=given, unlabeled=pd.DataFrame({"source": texts(5, 7)}), validation=frame(count=10))
    assert int((~data.train.label_mask["main"]).sum()) == 2
    assert len(data.unlabeled) == 5
    assert lb.Data(train=frame(), validation=frame(count=10)).fingerprint != data.fingerprint


def test_a_changed_target_is_other_data_with_the_same_keys():
    given, other = frame(), frame()
    other.loc[0, "target"] = "something else here"
    held = frame(count=10)
    one, two = (lb.Data(train=each, validation=held) for each in (given, other))
    assert np.array_equal(one.train.keys, two.train.keys) and one.fingerprint != two.fingerprint


def test_forced_answers_are_keyed_by_source_and_target():
    data = lb.Data(train=frame(), validation=frame(count=10))
    keys = data.train.keys[:3]
    one = forced_keys(keys, ["a", "b", "c"])
    assert np.array_equal(one, forced_keys(keys, ["a", "b", "c"]))
    other = forced_keys(keys, ["a", "x", "c"])
    assert (one == other).all(axis=1).tolist() == [True, False, True]


def test_the_texts_of_the_run_are_what_a_vocabulary_is_learned_from():
    data = lb.Data(train=frame(), validation=frame(count=10), unlabeled=pd.DataFrame({"source": ["never seen before"]}))
    assert {*frame()["source"], *frame()["target"], "never seen before"} == set(data.texts())
    assert lb.Data(train=(np.eye(6), [0, 1] * 3)).texts is None


def test_a_task_comes_back_from_its_spec():
    assert task_from_spec(Generation("de").to_spec()) == Generation("de")


@pytest.mark.parametrize(
    ("given", "more", "text"),
    [
        ({"source": texts(9, 0)}, {}, "expected labels for the training rows, got none"),
        ({"source": texts(9, 0), "target": [""] * 9}, {}, "expected target texts in 'target', all 9 are empty"),
        ({"source": texts(9, 0), "target": list(range(9))}, {}, "expected target texts in 'target', got 0 in row 0"),
        (
            {"a": texts(9, 0), "b": texts(9, 2), "target": texts(9, 1)}, {},
            "one column of source texts in train for generation, got the columns a, b",
        ),
        (
            {"source": texts(9, 0), "target": texts(9, 1), "mood": [0, 1, 0] * 3},
            {"columns": lb.Columns(("source",), {"t": "target", "m": "mood"}), "task": {"t": "generation"}},
            "expected generation to be the only task, got t, m",
        ),
    ],
)  # fmt: skip
def test_data_that_is_refused(given, more, text):
    with pytest.raises(ConfigError, match=text):
        lb.Data(train=pd.DataFrame(given), **{"task": "generation", **more})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"temperature": 0.7}, "expected beams: 1 with a temperature of 0.7, got 4"),
        ({"length_ratio": (3.0, 1.0)}, r"a least and a greatest ratio, got \[3.0, 1.0\]"),
        ({"min_logprob": 0.5}, "a log-probability of at most 0, got 0.5"),
        ({"beams": 0}, "beams: expected a number >= 1, got 0"),
    ],
)
def test_settings_of_writing_that_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        WriteSpec(**settings)
