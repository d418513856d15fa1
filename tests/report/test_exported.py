"""The row of the int8 student in the summary, in Markdown and in HTML."""

import copy
import json

import pytest

from limbeck.report.folder import read_folder, scorecard_of
from limbeck.report.html import html_of
from limbeck.report.markdown import markdown_of
from limbeck.report.terminal import summary

from .test_report import scorecard

INT8 = {
    "schema": 1, "seed": 0, "tensors": 3, "reason": None, "findings": [],
    "bytes": {"float32": 90_000_000, "int8": 23_000_000},
    "latency": {
        "float32": {"1": {"p50_ms": 4.0, "p95_ms": 5.0}, "64": {"p50_ms": 200.0, "p95_ms": 210.0}},
        "int8": {"1": {"p50_ms": 2.5, "p95_ms": 3.0}, "64": {"p50_ms": 90.0, "p95_ms": 99.0}},
    },
}  # fmt: skip
CARD = {
    "metric": {"name": "accuracy", "unit": "%", "higher_is_better": True}, "rows": 1821,
    "original": {"value": 0.912, "low": 0.9, "high": 0.92}, "changed": {"value": 0.905, "low": 0.89, "high": 0.915},
    "difference": {"value": -0.007, "low": -0.013, "high": -0.001},
    "agreement": {"value": 0.981, "low": 0.97, "high": 0.99},
    "teacher": {
        "original": {"value": 0.951, "low": 0.9, "high": 1.0}, "changed": {"value": 0.944, "low": 0.9, "high": 1.0},
    },
}  # fmt: skip
VALUES = {
    "metric": {"name": "r2", "unit": "", "higher_is_better": True}, "rows": 50,
    "original": {"value": 0.9, "low": 0.8, "high": 0.95}, "changed": {"value": 0.89, "low": 0.8, "high": 0.94},
    "difference": {"value": -0.01, "low": -0.02, "high": 0.001}, "agreement": None, "teacher": None,
    "correlation": 0.9987, "rmse_to_original": 0.1,
}  # fmt: skip


@pytest.fixture
def card():
    made = copy.deepcopy(dict(scorecard()))
    head = next(iter(made["tasks"]))
    return made | {"int8": INT8 | {"tasks": {head: CARD}}}


def test_the_summary_has_a_row_for_each_file_and_a_line(card):
    lines = summary(card).split("\n")
    rows = {line[: line.index("  ")]: line.split()[2:] for line in lines if line.startswith("exported")}
    assert rows["exported, float32"][:2] == ["91.2", "95.1"] and rows["exported, float32"][-2:] == ["4", "ms"]
    assert rows["exported, int8"][:2] == ["90.5", "94.4"] and rows["exported, int8"][-2:] == ["2.5", "ms"]
    said = "• int8: 3.91× smaller (23 MB), −0.7 points (CI −1.3…−0.1), decides alike in 98.1 %"
    assert said in lines


def test_pages_have_the_table(card):
    for page in (html_of(card), markdown_of(card)):
        for cell in (
            "Exported in int8", "90.5 (89.0–91.5)", "−0.7 (−1.3…−0.1)", "98.1 (97.0–99.0)", "90 MB", "23 MB", "2.5 ms",
            "1,821 test rows",
        ):  # fmt: skip
            assert cell in page, cell


def test_values_have_a_correlation(card):
    card["int8"]["tasks"] = {next(iter(card["tasks"])): VALUES}
    assert "correlation with float32" in html_of(card) and "0.9987" in html_of(card)
    assert "−0.01 R² (CI −0.02…+0.001), correlation 0.9987" in summary(card)


def test_nothing_to_quantise_is_said_and_not_hidden(card):
    card["int8"] = {"reason": "none of its operators can be int8", "findings": []}
    assert "no int8: none of its operators can be int8" in summary(card)
    assert "no int8: none of its operators can be int8." in html_of(card)


def test_no_int8_no_word_of_it():
    for page in (summary(scorecard()), html_of(scorecard()), markdown_of(scorecard())):
        assert "int8" not in page


def test_a_folder_s_scorecard_has_what_was_measured_later(card, tmp_path):
    finding = {
        "code": "LB403", "grade": "tip", "title": "int8 costs quality", "measured": "m", "why": "w", "todo": "t",
        "data": {},
    }  # fmt: skip
    plain = {name: value for name, value in card.items() if name != "int8"}
    (tmp_path / "scorecard.json").write_text(json.dumps(plain))
    assert scorecard_of(tmp_path) == json.loads(json.dumps(plain))
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "int8.json").write_text(json.dumps(card["int8"] | {"findings": [finding]}))
    read = read_folder(tmp_path).scorecard
    assert read["int8"]["bytes"] == INT8["bytes"] and finding in read["findings"]
