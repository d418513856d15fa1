"""Rows of words with a tag for each: how they are read, and what is refused in words."""

import json

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.columns import NamedColumns
from limbeck.data.rows import Rows
from limbeck.data.tagging import Tagging, flat_answers, flat_targets
from limbeck.data.tasks import task_from_spec
from limbeck.data.words import is_words, tagged, word_counts, word_lists

WORDS = [["Ann", "met", "Bob"], ["hello"], ["New", "York", "is", "big"], ["I", "know", "Ann"], ["no", "one"]] * 4
TAGS = [["B-PER", "O", "B-PER"], ["O"], ["B-LOC", "I-LOC", "O", "O"], ["O", "O", "B-PER"], ["O", "O"]] * 4
NAMES = ("O", "B-LOC", "I-LOC", "B-PER")


def data(train, **settings):
    return lb.Data(train=train, test=train, validation=train, **settings)


def checked(found):
    assert found.train.kind == "text" and is_words(found.train.inputs)
    assert found.tasks["main"] == Tagging(NAMES)
    assert found.train.inputs.iloc[2, 0] == ("New", "York", "is", "big")
    assert found.train.targets["main"][2].tolist() == [1, 2, 0, 0]
    assert found.train.targets["main"][1].tolist() == [0, -1, -1, -1]
    return found


@pytest.fixture
def frame():
    return pd.DataFrame({"id": range(len(WORDS)), "tokens": WORDS, "ner_tags": TAGS})


def test_frames_lists_and_pairs_of_lists(frame):
    found = checked(data(frame))
    assert any("lists of words" in f.measured for f in found.findings)
    checked(data((WORDS, TAGS)))
    checked(data(frame.rename(columns={"tokens": "words", "ner_tags": "tags"})))
    named = NamedColumns(inputs=("tokens",), target="ner_tags")
    checked(data(frame.assign(pos=frame["tokens"]), columns=named, task="tagging"))


def test_files(frame, tmp_path):
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.assign(tokens=[json.dumps(w) for w in WORDS], ner_tags=[json.dumps(t) for t in TAGS]).to_csv(
        tmp_path / "a.csv", index=False
    )
    spaced = frame.assign(tokens=[" ".join(w) for w in WORDS], ner_tags=[" ".join(t) for t in TAGS])
    spaced.to_csv(tmp_path / "b.csv", index=False)
    for name in ("a.parquet", "a.jsonl", "a.csv", "b.csv"):
        checked(data(str(tmp_path / name)))


def test_a_data_set_with_class_labels():
    datasets = pytest.importorskip("datasets")
    ids = [[NAMES.index(tag) for tag in tags] for tags in TAGS]
    ids[0][1] = -100
    feature = datasets.Sequence(datasets.ClassLabel(names=list(NAMES)))
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": feature})
    found = data(datasets.Dataset.from_dict({"tokens": WORDS, "ner_tags": ids}, features=features))
    checked(found)
    assert found.train.targets["main"][0].tolist() == [3, -1, 3, -1], "-100 is no label"


def test_numbers_are_ids_of_named_tags():
    ids = [[NAMES.index(tag) for tag in tags] for tags in TAGS]
    checked(data((WORDS, ids), classes=list(NAMES)))
    with pytest.raises(ConfigError, match="expected names of tags, got the numbers 0, 1, 2, 3") as caught:
        data((WORDS, ids))
    assert "classes=['O', 'B-...', ...]" in caught.value.todo


def test_missing_labels_of_words_and_of_rows():
    tags = [list(t) for t in TAGS]
    tags[0] = ["B-PER", None, -100]
    tags[1] = None
    found = data((WORDS, tags))
    assert found.train.targets["main"][0].tolist() == [3, -1, -1, -1]
    assert found.train.label_mask["main"][:3].tolist() == [True, False, True]


def test_annotated_texts_become_words():
    text = "Dr. Ann-Lee flew to New York, twice."
    spans = [{"start": 4, "end": 11, "label": "PER"}, {"start": 20, "end": 28, "label": "LOC"}]
    words, tags, cut = tagged(text, spans)
    assert words == ("Dr", ".", "Ann", "-", "Lee", "flew", "to", "New", "York", ",", "twice", ".")
    assert tags == ["O", "O", "B-PER", "I-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O", "O", "O"]
    assert cut == 0
    assert tagged(text, [{"start": 5, "end": 7, "label": "PER"}])[1:] == (["O", "O", "B-PER", *["O"] * 9], 1)
    frame = pd.DataFrame({"text": [text, "none here at all"] * 10, "entities": [spans, []] * 10})
    for given in (frame, frame.assign(entities=[json.dumps(cell) for cell in frame["entities"]])):
        found = data(given)
        assert found.tasks["main"].tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
        assert found.train.inputs.iloc[0, 0] == words
        assert any("became words, the spans in 'entities' BIO tags" in f.measured for f in found.findings)


@pytest.mark.parametrize(
    ("span", "what"),
    [
        ({"start": 30, "end": 99, "label": "X"}, "spans that lie on the text in train, got 30 to 99 (X) in row 0"),
        ({"start": 3, "end": 4, "label": "X"}, "spans that lie on the text in train, got 3 to 4"),
        ({"start": 9, "end": 12, "label": "X"}, "spans that share no word in train, got 9 to 12 (X) in row 0"),
    ],
)
def test_spans_that_do_not_fit_are_refused(span, what):
    with pytest.raises(ConfigError) as caught:
        tagged("Dr. Ann-Lee flew to Rome.", [{"start": 4, "end": 11, "label": "PER"}, span])
    assert what in caught.value.what


def test_lengths_that_differ_are_refused_with_the_row():
    tags = [list(t) for t in TAGS]
    tags[7] = ["O", "O"]
    with pytest.raises(ConfigError, match="expected one tag a word in train, row 7 has 4 words and 2 tags"):
        data((WORDS, tags), task="tagging")


def test_tags_beside_words_of_which_a_few_do_not_fit_are_tags_all_the_same():
    tags = [list(t) for t in TAGS]
    tags[7] = ["O", "O"]
    with pytest.raises(ConfigError, match="expected one tag a word in train, row 7 has 4 words and 2 tags"):
        data((WORDS, tags))
    topics = [["sport"], ["art", "home"], [], ["art"], ["home", "sport"]] * 4
    assert data((WORDS, topics)).tasks["main"].kind == "multilabel"


def test_tags_that_are_none_are_refused():
    tags = [list(t) for t in TAGS]
    tags[3][2] = "B-PRE"
    with pytest.raises(ConfigError, match=r"expected one of the 4 tags O, B-LOC, .*, got 'B-PRE' in row 3") as caught:
        lb.Data(train=(WORDS, tags), validation=(WORDS, TAGS), test=(WORDS, TAGS), task="tagging", classes=list(NAMES))
    assert "did you mean 'B-PER'?" in caught.value.todo


@pytest.mark.parametrize("odd", ["PER", "X-PER", "B-", "B_PER"])
def test_tags_that_are_no_bio_are_refused(odd):
    tags = [[odd if tag == "B-PER" else tag for tag in row] for row in TAGS]
    with pytest.raises(ConfigError, match=rf"expected tags in the BIO scheme \(O, B-TYPE, I-TYPE\), got '{odd}'"):
        data((WORDS, tags), task="tagging")
    with pytest.raises(ConfigError, match=r"expected tags in the BIO scheme .* got no O among"):
        Tagging(("B-PER", "I-PER"))


def test_numbers_in_the_place_of_words_are_refused():
    frame = pd.DataFrame({"tokens": [[101, 7, 102]] * 9, "tags": [["O", "O", "O"]] * 9})
    with pytest.raises(ConfigError, match=r"expected words in 'tokens' of train, got 101 \(int\) in row 0") as caught:
        data(frame)
    assert "ids of one tokenizer mean nothing to another" in caught.value.todo
    mixed = pd.DataFrame({"tokens": [["a", 7]] * 9, "tags": [["O", "O"]] * 9})
    with pytest.raises(ConfigError, match=r"got 7 \(int\) in row 0"):
        data(mixed)


def test_texts_are_no_rows_of_words():
    frame = pd.DataFrame({"text": ["one two three"] * 9, "tags": [["O", "B-X", "O"]] * 9})
    with pytest.raises(ConfigError, match="expected rows of words for the task 'main', which has a tag for every word"):
        data(frame, task="tagging", columns="tags")


def test_the_spec_makes_the_task_again():
    task = Tagging(NAMES)
    assert task_from_spec(task.to_spec()) == task
    assert task.predict(np.eye(4)).tolist() == list(NAMES)


def test_words_of_splits_are_padded_together():
    found = data((WORDS, TAGS))
    short = found.train.take(np.array([1, 4]))
    short = Rows(short.kind, short.inputs, short.keys, {"main": short.targets["main"][:, :2]}, short.label_mask)
    both = Rows.concat([short, found.train])
    assert both.targets["main"][0].tolist() == [0, -1, -1, -1]
    assert word_counts(both.inputs)[:3].tolist() == [1, 2, 3]
    assert not word_lists(["a", "b"]) and not word_lists([[1, 2]])


def test_answers_and_targets_are_flat_over_words_and_what_was_cut_off_is_outside():
    found = data((WORDS, TAGS)).train.take(np.arange(3))
    assert flat_targets(found.inputs, found.targets["main"][:, :3]).tolist() == [3, 0, 3, 0, 1, 2, 0, -1]
    values = np.arange(3 * 2 * 4, dtype=np.float32).reshape(3, 2, 4)
    mask = np.array([[True, True], [True, False], [True, False]])
    flat = flat_answers(values, mask, word_counts(found.inputs), outside=0)
    assert flat.shape == (8, 4)
    assert flat[:2].tolist() == values[0].tolist() and flat[3].tolist() == values[1, 0].tolist()
    assert flat[4].tolist() == values[2, 0].tolist()
    assert flat[[2, 5, 6, 7]].argmax(1).tolist() == [0, 0, 0, 0]


def test_a_word_without_an_answer_is_outside_and_the_words_behind_it_keep_theirs():
    values = np.arange(5 * 2, dtype=np.float32).reshape(1, 5, 2)
    mask = np.array([[True, False, True, False, False]])
    flat = flat_answers(values, mask, np.array([4]), outside=0)
    assert flat[0].tolist() == values[0, 0].tolist() and flat[2].tolist() == values[0, 2].tolist()
    assert flat[[1, 3]].tolist() == [[10.0, 0.0]] * 2
