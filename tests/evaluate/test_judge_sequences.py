"""Tags and texts from anyone's trainer are judged as a run judges them, whatever form they come in."""

import json

import numpy as np
import pandas as pd
import pytest
from sacrebleu.metrics import BLEU
from seqeval.metrics import f1_score

from limbeck.core.errors import ConfigError
from limbeck.evaluate.judge import judge
from limbeck.report.markdown import markdown_of

NAMES = ["O", "B-LOC", "I-LOC", "B-PER"]
RNG = np.random.default_rng(0)
COUNTS = RNG.integers(1, 8, 120)
TRUTH = [[str(tag) for tag in RNG.choice(NAMES, count, p=[0.55, 0.15, 0.15, 0.15])] for count in COUNTS]
SENTENCES = [" ".join(RNG.choice(["a", "house", "is", "red", "blue", "small", "tree"], 7)) for _ in range(90)]


def tagged(right, seed):
    rng = np.random.default_rng(seed)
    return [[t if rng.random() < right else str(rng.choice(NAMES)) for t in row] for row in TRUTH]


def seeds(right, count=3):
    return [tagged(right, seed + int(100 * right)) for seed in range(count)]


STUDENT, CONTROL, TEACHER = seeds(0.9), seeds(0.6), tagged(0.95, 77)


def written(right, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(w if rng.random() < right else "tree" for w in text.split()) for text in SENTENCES]


def values(card):
    return {arm: each["metrics"] for arm, each in card["tasks"]["main"]["arms"].items()}


def as_table(each, column="label", write=lambda cell: cell):
    parts = [
        pd.DataFrame({"id": [f"r{i}" for i in range(len(rows))], "seed": s, column: [write(cell) for cell in rows]})
        for s, rows in enumerate(each)
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=1)


def test_tags_are_judged_by_entities_with_a_verdict():
    card = judge(TRUTH, student=STUDENT, control=CONTROL, teacher=TEACHER)
    task = card["tasks"]["main"]
    assert (task["kind"], task["metric"]["name"], card.verdict) == ("tagging", "entity_f1", "helped")
    assert task["names"] == NAMES and task["counts"]["sentences"] == 120
    assert task["trivial"]["metrics"]["entity_f1"] == 0
    for arm, said in (("student", STUDENT), ("control", CONTROL), ("teacher", [TEACHER])):
        assert values(card)[arm]["entity_f1"]["per_seed"] == pytest.approx([f1_score(TRUTH, rows) for rows in said])
    assert card.gain.low > 0 and card.retention.value < 1
    words = sum(map(len, TRUTH))
    assert f"; {words:,} words of 120 test sentences × 3 seeds)" in card.sentence
    (small,) = [found for found in card.checks if found.code == "LB106"]
    assert small.measured.startswith("120 test sentences give") and "more test sentences for" in small.todo
    text = markdown_of(card.data)
    assert f"{words:,} words of 120 test sentences, 3 seeds." in text and "| class | test words |" in text
    assert "test rows" not in card.sentence + text


def test_every_form_of_tags_says_the_same(tmp_path):
    plain = judge(TRUTH, student=STUDENT, control=CONTROL, teacher=TEACHER)
    place = {name: number for number, name in enumerate(NAMES)}
    ids = [[[place[tag] for tag in row] for row in rows] for rows in STUDENT]
    truth = pd.DataFrame({"id": [f"r{i}" for i in range(120)], "label": [" ".join(row) for row in TRUTH]})
    truth.to_csv(tmp_path / "y.csv", index=False)
    as_table(CONTROL, write=json.dumps).to_csv(tmp_path / "control.csv", index=False)
    as_table(STUDENT, "tags").to_parquet(tmp_path / "student.parquet")
    as_table([TEACHER]).to_json(tmp_path / "teacher.jsonl", orient="records", lines=True)
    files = {arm: tmp_path / name for arm, name in (
        ("control", "control.csv"), ("student", "student.parquet"), ("teacher", "teacher.jsonl"),
    )}  # fmt: skip
    for found in (
        judge(TRUTH, student=ids, control=CONTROL, teacher=[TEACHER], classes=NAMES),
        judge(tmp_path / "y.csv", task="tagging", **files),
        judge(truth.assign(label=TRUTH), **files),
    ):
        assert found.gain == plain.gain and found.retention == plain.retention and values(found) == values(plain)


def test_scores_of_words_decide_and_are_calibrated():
    def scored(rows):
        return [np.eye(4)[[NAMES.index(tag) for tag in row]] * 0.6 + 0.1 for row in rows]

    given = {"student": [scored(r) for r in STUDENT], "control": [scored(r) for r in CONTROL]}
    found = judge(TRUTH, teacher=scored(TEACHER), classes=NAMES, **given)
    plain = judge(TRUTH, student=STUDENT, control=CONTROL, teacher=TEACHER)
    assert found.gain == plain.gain
    before = found["tasks"]["main"]["calibration"]["student"]["before"]
    right = np.concatenate(
        [[a == b for a, b in zip(*rows, strict=True)] for rows in zip(STUDENT[0], TRUTH, strict=True)]
    )
    assert before["nll"] == pytest.approx(-np.log([0.7 if r else 0.1 for r in right]).mean(), abs=0.05)
    stacked = np.empty((3, 120), dtype=object)  # as a run keeps them
    for seed, rows in enumerate(given["student"]):
        for row, cell in enumerate(rows):
            stacked[seed, row] = cell
    assert judge(TRUTH, student=stacked, control=CONTROL, classes=NAMES).gain == plain.gain


def test_words_and_rows_without_a_tag_are_left_out():
    truth = [[None, *row[1:]] if n % 2 else row for n, row in enumerate(TRUTH)]
    truth[0] = None
    card = judge(truth, student=STUDENT, control=CONTROL, weights=np.ones(120), groups=np.arange(120) // 2)
    counts = card["tasks"]["main"]["counts"]
    assert counts["labelled_rows"] == int(COUNTS.sum()) - 60 - COUNTS[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"student": [STUDENT[0], [["O"], *STUDENT[1][1:]], STUDENT[2]]},
            "1 rows have not one answer a word: row 0 has",
        ),
        ({"student": [rows[:-1] for rows in STUDENT]}, "student: expected 120 rows, as in y, got 3"),
        ({"student": TEACHER[:-1]}, "student: expected 120 rows, as in y, got 119"),
        ({"student": [[["B-ORG"] * len(row) for row in TRUTH]] * 3, "classes": NAMES}, "one of the 4 tags .*'B-ORG'"),
        (
            {"student": [[[None] * len(row) for row in TRUTH]] * 3},
            "student: [0-9]+ words have no tag; answer every word",
        ),
        (
            {"student": [[np.zeros((len(row), 5)) for row in TRUTH]] * 3},
            r"student: expected 4 tags \(.*\), got 5 scores",
        ),
        (
            {"student": [[np.full((len(r), 4), np.nan) for r in TRUTH]] * 3},
            "student: [0-9]+ words hold NaN or infinity",
        ),
        ({"classes": ["O", "LOC"]}, "classes: expected tags in the BIO scheme"),
        ({"student": STUDENT[:2]}, "student has 2 seeds, control 3"),
        ({"weights": [1.0]}, "weights: expected one entry for each of 120 rows, got 1"),
        ({"sources": SENTENCES}, "sources: expected none for a task that writes no texts"),
        ({"student": pd.DataFrame({"id": [1], "a": [["O"]], "b": 1})}, "expected one column of answers .*, got a, b"),
    ],
)
def test_tags_that_cannot_be_judged(change, words):
    with pytest.raises(ConfigError, match=words):
        judge(**{"y": TRUTH, "student": STUDENT, "control": CONTROL} | change)


def test_texts_are_judged_by_bleu_beside_the_copied_source(tmp_path):
    student, control = ([written(right, seed) for seed in range(3)] for right in (0.95, 0.7))
    teacher, sources = written(0.98, 9), written(0.3, 10)
    card = judge(SENTENCES, student=student, control=control, teacher=teacher, sources=sources)
    task = card["tasks"]["main"]
    assert (task["kind"], task["metric"]["name"], card.verdict) == ("generation", "bleu", "helped")
    theirs = [BLEU().corpus_score(texts, [SENTENCES]).score / 100 for texts in student]
    assert values(card)["student"]["bleu"]["per_seed"] == pytest.approx(theirs)
    trivial = BLEU().corpus_score(sources, [SENTENCES]).score / 100
    assert task["trivial"]["from"] == "copied sources" and task["trivial"]["metrics"]["bleu"] == pytest.approx(trivial)
    assert task["examples"][0]["source"] == sources[0]
    truth = pd.DataFrame({"id": [f"r{i}" for i in range(90)], "label": SENTENCES, "source": sources})
    truth.to_csv(tmp_path / "y.csv", index=False)
    as_table(student, "text").to_csv(tmp_path / "s.csv", index=False)
    as_table(control).to_parquet(tmp_path / "c.parquet")
    files = {"student": tmp_path / "s.csv", "control": tmp_path / "c.parquet", "teacher": as_table([teacher])}
    for found in (judge(tmp_path / "y.csv", **files), judge(truth, task="generation", **files)):
        assert found.gain == card.gain and found.retention == card.retention and values(found) == values(card)
        assert found["tasks"]["main"]["trivial"] == task["trivial"]


def test_an_empty_text_is_an_answer_and_an_empty_label_is_none(tmp_path):
    student, control = [written(0.95, 1)] * 3, [["", "77", *written(0.6, 2)[2:]]] * 3
    as_table(control).to_csv(tmp_path / "c.csv", index=False)
    truth = pd.DataFrame({"id": [f"r{i}" for i in range(90)], "label": [*SENTENCES[:-1], ""]})
    truth.to_csv(tmp_path / "y.csv", index=False)
    card = judge(tmp_path / "y.csv", student=as_table(student), control=tmp_path / "c.csv", task="generation")
    task = card["tasks"]["main"]
    assert task["counts"]["labelled_rows"] == 89 and task["examples"][0]["control"] == ""
    assert task["trivial"]["from"] == "empty texts"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"student": [1.0] * 90}, "student: expected texts, got float '1.0'"),
        ({"sources": ["a"]}, "sources: expected one entry for each of 90 rows, got 1"),
        ({"student": SENTENCES[:-1]}, "student: expected 90 rows, as in y, got 89"),
    ],
)
def test_texts_that_cannot_be_judged(change, words):
    given = {"student": SENTENCES, "control": SENTENCES, "task": "generation"}
    with pytest.raises(ConfigError, match=words):
        judge(SENTENCES, **given | change)


def test_everything_wrong_is_said_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        judge(tmp_path / "y.csv", student=tmp_path / "s.csv", control=tmp_path / "c.csv", task="tagging")
    assert "y.csv does not exist" in str(caught.value)


def test_long_names_of_classes_are_no_texts():
    names = ["lost my only card", "where is my money", "how to close it", "what are the fees"]
    rng = np.random.default_rng(0)
    y = np.array(names)[[0, 1, 2, 3]]
    said = np.eye(4) + rng.normal(size=(3, 4, 4)) * 0.1
    frame = pd.DataFrame(said[0], columns=names).assign(id=range(4))
    truth = pd.DataFrame({"id": range(4), "label": y})
    for found in (
        judge(y, student=said, control=said, classes=names),
        judge(truth, student=frame, control=frame),
        judge(y, student=y, control=y, classes=names),
    ):
        assert found["tasks"]["main"]["kind"] == "classification"
    assert judge(y, student=y, control=y)["tasks"]["main"]["kind"] == "generation"
