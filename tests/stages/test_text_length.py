"""LB121: texts that a student's tokenizer cuts are counted and said, before any work."""

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.recipe import Recipe
from limbeck.stages import run_recipe
from limbeck.stages.bases import student_of
from limbeck.stages.forecast import check_recipe
from limbeck.stages.text_length import cut_findings

WORDS = ["red", "blue", "old", "dog", "cat", "bird"]
SMALL = "seq2seq(d_model=16, layers=1, heads=2, ffn=16, vocabulary=90, max_length=12)"


def sentences(count, words, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, words)) + f" {number}" for number in range(count)]


def classes(words):
    texts = sentences(60, words)
    frame = pd.DataFrame({"text": texts, "label": [text.split()[0] in WORDS[:3] for text in texts]}).astype(str)
    return lb.Data(train=frame[:40], validation=frame[40:50], test=frame[50:])


def test_long_texts_are_a_tip_and_short_ones_nothing():
    long, short = classes(30), classes(3)
    student = student_of("bag_of_words(dim=4) | max_length(8)", long)
    (finding,) = cut_findings(long, student, lb.WriteSpec())
    assert (finding.code, finding.grade, finding.title) == ("LB121", "tip", "training texts are cut")
    assert finding.measured.startswith("40 of 40 training texts that were looked at have more than 8 tokens (95 % have")
    assert finding.data["cut"] == 40 and "max_length of the student" in finding.todo
    assert cut_findings(short, student_of("bag_of_words(dim=4) | max_length(64)", short), lb.WriteSpec()) == []


def test_numbers_have_no_length():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(49, 3)), np.arange(49) % 2
    data = lb.Data(train=(x[:40], y[:40]), test=(x[40:], y[40:]))
    assert cut_findings(data, student_of("mlp", data), lb.WriteSpec()) == []


def test_texts_to_be_written_are_counted_too_against_whatever_is_shorter():
    frame = pd.DataFrame({"source": sentences(40, 3), "target": sentences(40, 25, 1)})
    data = lb.Data(train=frame[:30], validation=frame[30:35], test=frame[35:])
    (cut,) = cut_findings(data, student_of(SMALL, data), lb.WriteSpec())
    assert cut.title == "texts to be written are cut" and cut.data["max_length"] == 12
    (cut,) = cut_findings(data, student_of(SMALL, data), lb.WriteSpec(max_length=6))
    assert cut.data["max_length"] == 6 and "writing.max_length" in cut.todo


@pytest.mark.parametrize("ignore", [(), ("LB121",)])
def test_a_run_and_the_check_before_it_say_it_unless_it_is_ignored(tmp_path, ignore):
    frames = {"train": sentences(60, 30), "test": sentences(20, 30, 1)}
    for name, texts in frames.items():
        labels = [text.split()[0] in WORDS[:3] for text in texts]
        pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / f"{name}.csv", index=False)
    recipe = Recipe.from_dict(
        {
            "name": "cut", "data": {"train": "train.csv", "test": "test.csv"},
            "teacher": {"model": "bag_of_words(dim=4) | max_length(8)"},
            "student": "bag_of_words(dim=2) | max_length(8)",
            "train": {"steps": 2}, "seeds": 1, "checks": {"ignore": ["LB201", *ignore]},
        },
        base=tmp_path,
    )  # fmt: skip
    wanted = [] if ignore else ["LB121"]
    assert [f.code for f in check_recipe(recipe).findings if f.code == "LB121"] == wanted
    run = run_recipe(recipe, out=tmp_path / "r")
    assert [f.code for f in run.findings if f.code == "LB121"] == wanted
