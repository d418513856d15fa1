"""A small network that tags words: it looks around a word, keeps places, and is saved and exported as it is."""

import e2e_tagging as tiny
import pytest
import torch

from limbeck.compress.export import export_onnx
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError
from limbeck.data.preprocess import Preprocess
from limbeck.data.tasks import Classification, Tagging
from limbeck.models.saved import load, save
from limbeck.models.student import Student
from limbeck.models.text.ground import Ground
from limbeck.models.text.small_words import SmallTagger

ROWS = tiny.sentences(60, 0)[["tokens"]].map(tuple)
GROUND = Ground(lambda: ROWS)
TAGS = {"main": "tagging"}
BOTH = {"intent": "classification", "slots": "tagging"}
TEXT = "text_cnn(dim=8, filters=6, widths=[1, 3], vocabulary=60)"


def made(kinds=TAGS, text=TEXT):
    return Student.of(text, (), {head: 5 if kind == "tagging" else 2 for head, kind in kinds.items()}, kinds=kinds,
                      ground=GROUND)  # fmt: skip


def network(kinds=TAGS):
    found = made(kinds).build(0).eval()
    assert isinstance(found, SmallTagger)
    return found


def rows_of(found, count=6):
    return torch.from_numpy(found.encoder.encode(ROWS.iloc[:count]))


@torch.no_grad()
def test_each_word_has_an_answer_whatever_stands_beside_the_row():
    found = network()
    rows = rows_of(found)
    said, mask = found(rows), found.masks(rows)["main"]
    assert mask.sum(1).tolist() == [len(words) for words in ROWS["tokens"][:6]]
    wider = torch.nn.functional.pad(rows, (0, 4), value=-1)
    for place in range(6):
        count = int(mask[place].sum())
        torch.testing.assert_close(found(rows[place : place + 1])[0, :count], said[place, :count])
        torch.testing.assert_close(found.answers(wider)[place, :count], said[place, :count])


@torch.no_grad()
def test_the_words_around_count_and_those_far_off_do_not():
    found = network()
    first = found(torch.from_numpy(found.encoder.encode(ROWS.assign(tokens=[("mr", "may", "visits", "rome")] * 60))))
    other = found(torch.from_numpy(found.encoder.encode(ROWS.assign(tokens=[("kim", "may", "visits", "rome")] * 60))))
    assert not torch.allclose(first[0, 1], other[0, 1])
    torch.testing.assert_close(first[0, 3], other[0, 3])


def test_it_is_saved_and_loaded_as_it_was(tmp_path):
    found = network(BOTH)
    rows = rows_of(found)
    save(found, tmp_path, source=made(BOTH))
    again = load(tmp_path)
    assert isinstance(again, SmallTagger) and again.tags == ("slots",)
    for head, values in found(rows).items():
        torch.testing.assert_close(again(rows)[head], values)
    assert found(rows)["intent"].shape == (6, 2)


def test_the_exported_file_tags_lists_of_words_as_torch_does(tmp_path):
    found = network(BOTH)
    tags = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    tasks = {"intent": Classification(("a", "b")), "slots": Tagging(tags)}
    path = export_onnx(found, Preprocess({"kind": "text", "columns": ["tokens"]}), tasks, tmp_path / "student.onnx")
    rows = rows_of(found, 20)
    with torch.no_grad():
        ids, mask = found(rows)["slots"].argmax(-1), found.masks(rows)["slots"]
    theirs = OnnxStudent(path).predict(ROWS.iloc[:20], "slots")
    mine = [[tags[number] for number in row[kept]] for row, kept in zip(ids, mask, strict=True)]
    assert [list(row) for row in theirs] == mine


def test_a_bag_of_words_has_no_words_to_answer_for():
    with pytest.raises(ConfigError, match=r"expected the student bag_of_words to answer for every word of 'main', got"):
        made(text="bag_of_words")
