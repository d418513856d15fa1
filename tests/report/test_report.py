"""The report says what the scorecard says, in a terminal, in Markdown and in one HTML file that trusts nobody."""

import json
import re
from html.parser import HTMLParser

import pytest

from limbeck.core.errors import ConfigError
from limbeck.report.html import html_of, page
from limbeck.report.markdown import escape, markdown, markdown_of
from limbeck.report.terminal import summary
from limbeck.report.words import difference, duration, interval, number, size
from limbeck.report.write import write_report

EVIL = "<script>alert('x')</script>|*_`"


def span(value, half=0.02):
    return {"value": value, "low": value - half, "high": value + half}


def card(names=("cat", "dog"), verdict="helped", credited=True):
    def arm(value):
        entry = span(value) | {"sd": 0.02, "per_seed": [value] * 10}
        return {"metrics": {"accuracy": entry | {"unit": "%"}, "macro_f1": entry | {"unit": "%"}}}

    calibrated = {"ece": 0.05, "ece_equal_width": 0.06, "brier": 0.2, "nll": 0.3}
    bins = [{"confidence": c, "accuracy": c - 0.1, "rows": 10, "weight": 10.0} for c in (0.5, 0.7, 0.9)]
    curve = {"before": calibrated, "after": calibrated, "temperature": [1.5], "reliability": bins, "bins": 15}
    near = {"agreement": span(0.952), "kl": span(0.1)}
    near["rows"] = {"both_right": 500.0, "teacher_only": 50.0, "student_only": 20.0, "both_wrong": 27.0}
    steps = [("control", "hard labels only", 0.867, None), ("pseudo", "+ unlabelled rows", 0.918, span(0.051))]
    return {
        "kind": "classification",
        "names": list(names),
        "metric": {"name": "accuracy", "unit": "%", "higher_is_better": True},
        "verdict": verdict,
        "reason": None if verdict else "2 seeds: a verdict needs 3",
        "gain": span(0.044),
        "arms": {"teacher": arm(0.946), "student": arm(0.912), "control": arm(0.867)},
        "trivial": {"metrics": {"accuracy": 0.1, "macro_f1": 0.02}, "from": "training labels"},
        "counts": {"test_rows": 597, "labelled_rows": 597, "seeds": 10, "training_rows": 300, "dropped_overlaps": 4},
        "retention": {"ratio": span(0.963), "difference": span(-0.034), "reason": None},
        "as_good": {"margin": 0.01, "held": False},
        "knowledge": {"credited": credited, "reason": None if credited else "the teacher knows nothing"},
        "fidelity": {"arms": {"student": near, "control": near}, "matrix": {"matrix": [[1, 0], [0, 1]]}},
        "classes": [
            {"name": n, "rows": 30, "teacher": 0.9, "student": 0.8, "control": 0.7, "damage": -0.1} for n in names
        ],
        "calibration": {"teacher": curve, "student": curve, "control": curve},
        "attribution": {
            "table": [{"arm": a, "label": x, "value": v, "gain": g} for a, x, v, g in steps],
            "beyond_data": span(-0.006),
        },
        "sentence": "The student keeps 96.3 % of the teacher's accuracy.",
    }


def scorecard(name="digits-tiny", **changes):
    cost = {"flops": 1200, "state_bytes": 2440, "latency": {"1": {"p50_ms": 0.004, "p95_ms": 0.006}}}
    finding = {"code": "LB301", "grade": "tip", "title": "more data", "measured": "+5.1", "why": "w", "todo": "t"}
    one = card(**changes)
    return {
        "schema": 1,
        "name": name,
        "verdict": one["verdict"],
        "sentence": one["sentence"],
        "seeds": list(range(10)),
        "tasks": {"main": one},
        "costs": {"teacher": {"parameters": 86130}, "student": {"parameters": 610} | cost},
        "smaller": 141.2,
        "findings": [finding | {"data": {}}],
        "provenance": {},
    }


def test_the_terminal_summary_has_its_shape():
    lines = summary(scorecard(), folder="runs/digits-tiny", report="runs/digits-tiny/report.html", seconds=31).split(
        "\n"
    )
    assert lines[0].startswith("limbeck  digits-tiny") and lines[0].endswith("31 s")
    assert lines[1] == "─" * 72
    assert lines[2].split() == ["accuracy", "agrees", "params", "p50", "(1", "row)"]
    assert lines[3].split() == ["teacher", "94.6", "100.0", "86,130", "–"]
    assert lines[4].split() == ["distilled", "91.2", "±2.0", "95.2", "610", "0.004", "ms"]
    assert lines[6].startswith("trivial baseline") and lines[6].endswith("± sd, 10 seeds")
    assert lines[8] == "• keeps 96.3 % of the teacher (95 % CI 94.3–98.3), 141× fewer parameters"
    assert lines[9] == "✔ distillation helped: +4.4 points (CI +2.4…+6.4, 10 seeds)"
    assert lines[10] == "⚠ LB301  more data   (limbeck checks LB301)"
    assert lines[11:] == ["report   runs/digits-tiny/report.html", "next     limbeck export runs/digits-tiny"]


def test_the_next_step_after_an_export_is_to_use_the_student():
    lines = summary(scorecard(), folder="r", student="r/export/student.onnx").split("\n")
    assert lines[-2:] == ["student  r/export/student.onnx", "next     limbeck predict r FILE"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"verdict": "hurt"}, "✘ distillation hurt: +4.4 points"),
        ({"verdict": "no reliable difference"}, "⚠ no reliable difference: +4.4 points"),
        ({"verdict": None}, "⚠ no verdict (2 seeds: a verdict needs 3): +4.4 points"),
        ({"credited": False}, "✘ gain without the teacher's knowledge: +4.4 points"),
    ],
)
def test_every_verdict_has_its_line(changes, line):
    assert line in summary(scorecard(**changes))


def test_ascii_terminals_get_ascii():
    text = summary(scorecard(name="münze"), ascii=True)
    assert text.isascii() and "+ distillation helped: +4.4 points (CI +2.4...+6.4" in text


def test_several_tasks_are_named():
    both = scorecard()
    both["tasks"] = {"kind": card(), "size": card(verdict="hurt")}
    text = summary(both)
    assert "✔ kind: distillation helped" in text and "✘ size: distillation hurt" in text
    assert "size: Arms" in html_of(both)


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "action", "srcset")]
        if tag not in ("meta", "line", "circle", "polyline", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_whole_and_asks_nobody():
    events = [
        {"name": "loss", "arm": arm, "seed": seed, "step": step, "value": 1 / (step + 1)}
        for arm in ("student", "control") for seed in (0, 1) for step in range(500)
    ]  # fmt: skip
    text_page = html_of(scorecard(), state={"command": ["limbeck", "demo"], "versions": {"torch": "2"}}, events=events)
    reader = Reader()
    reader.feed(text_page)
    assert not reader.open and not reader.links and "script" not in reader.tags
    assert not re.search(r"https?://", text_page) and len(text_page) < 100_000
    assert reader.tags.count("svg") == 3
    text = " ".join(reader.text)
    for part in (
        "96.3",
        "+4.4",
        "LB301",
        "Where the gain came from",
        "Calibration",
        "Costs",
        "limbeck demo",
        "Training",
    ):
        assert part in text
    assert "prefers-color-scheme: dark" in text_page and 'class="verdict green"' in text_page


def evil():
    dangerous = scorecard(name=EVIL, names=(EVIL, "dog"))
    dangerous["sentence"] = dangerous["tasks"]["main"]["attribution"]["table"][1]["label"] = EVIL
    dangerous["findings"][0] |= {"title": EVIL, "measured": EVIL}
    return dangerous


def test_strings_of_users_are_never_markup():
    events = [{"name": EVIL, "arm": EVIL, "step": s, "value": s} for s in range(3)]
    text_page = html_of(
        evil(), state={"command": [EVIL], "versions": {EVIL: EVIL}}, resolved=f"a: {EVIL}\nb: 1\n", events=events
    )
    assert "<script" not in text_page and "&lt;script&gt;" in text_page
    reader = Reader()
    reader.feed(text_page)
    assert not reader.open
    text = markdown_of(evil(), {"command": [EVIL]}, resolved=f"a: {EVIL}\n```\nb: 1\n")
    outside = re.sub(r"````yaml.*?````", "", text, flags=re.S)
    assert "<script" not in outside and "````yaml" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    unescaped = {len(re.findall(r"(?<!\\)\|", line)) for line in rows if "script" in line}
    assert unescaped == {5, 7} or unescaped == {4, 7}


def test_markdown_has_all_tables():
    text = markdown_of(scorecard())
    assert text.startswith("# digits-tiny\n\n🟢 **helped**. The student keeps")
    for part in ("| teacher | 94.6 (92.6–96.6) |", "## Class by class", "## Calibration", "**LB301** (tip) more data"):
        assert part in text
    assert escape("a|b\n<i>") == "a\\|b &lt;i&gt;"


def test_reports_of_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a scorecard in .*, there is none"):
        write_report(tmp_path)
    (tmp_path / "scorecard.json").write_text("{")
    with pytest.raises(ConfigError, match="expected JSON in"):
        write_report(tmp_path)
    (tmp_path / "scorecard.json").write_text(json.dumps(scorecard()))
    (tmp_path / "events.jsonl").write_text('{"time": 1, "stage": "train", "name": "loss", "value": 1.0, "step": 1}\n')
    (tmp_path / "resolved.yaml").write_text("seeds: 5\nname: x\n")
    written = write_report(tmp_path)
    assert [p.name for p in written] == ["report.html", "report.md"]
    assert "seeds: 5" in written[0].read_text() and "seeds: 5" in written[1].read_text()
    assert written[0].read_text() == page(tmp_path) and written[1].read_text() == markdown(tmp_path)
    assert write_report(tmp_path, tmp_path / "deep" / "r.html")[0].is_file()
    with pytest.raises(ConfigError, match=r"expected a report ending in .html or .md, got r.pdf"):
        write_report(tmp_path, tmp_path / "r.pdf")


def test_numbers_in_words():
    assert number(0.9123) == "91.2" and number(1234.5678, "") == "1235" and number(None) == "–"
    assert difference(-0.0071) == "−0.7" and difference(0.5, "") == "+0.5"
    assert interval(span(0.5)) == "50.0 (48.0–52.0)" and interval(None) == "–"
    assert interval({"value": 0.5, "low": None, "high": None}) == "50.0"
    assert size(999) == "999 B" and size(2440) == "2.44 kB" and size(3e9) == "3 GB"
    assert duration(31) == "31 s" and duration(300) == "5 min" and duration(9000) == "2.5 h"
