"""Results on stdout, talk on stderr; colour, bars and JSON only where they belong."""

import io
import json
import subprocess
import sys

import pytest

from limbeck.core import console as module
from limbeck.core.console import NORMAL, QUIET, VERBOSE, Console, seconds
from limbeck.core.findings import Finding


class Terminal(io.StringIO):
    def isatty(self):
        return True


def made(terminal=False, env=None, **options):
    stream = Terminal if terminal else io.StringIO
    out, err = stream(), stream()
    return Console(out=out, err=err, env=env or {}, **options), out, err


FINDING = Finding("LB106", "tip", "small test set", "200 rows", "why", "label more rows")


def test_results_and_talk_part_ways():
    console, out, err = made()
    console.result("accuracy 0.9")
    console.say("training")
    assert (out.getvalue(), err.getvalue()) == ("accuracy 0.9\n", "training\n")


def test_json_owns_stdout():
    console, out, err = made(as_json=True)
    console.result("text")
    console.say("training")
    console.emit({"a": float("nan"), "b": (1, 2.5)})
    assert json.loads(out.getvalue()) == {"a": None, "b": [1, 2.5]}
    assert err.getvalue() == "training\n"
    plain, out, _ = made()
    plain.emit({"a": 1})
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "said"),
    [(QUIET, ["⚠ beware"]), (NORMAL, ["talk", "⚠ beware"]), (VERBOSE, ["talk", "detail", "⚠ beware"])],
)
def test_levels(level, said):
    console, out, err = made(level=level)
    console.say("talk")
    console.detail("detail")
    console.warn("beware")
    console.result("result")
    assert err.getvalue().splitlines() == said
    assert out.getvalue() == "result\n"


def test_findings_by_grade():
    console, _, err = made()
    console.finding(FINDING)
    assert err.getvalue() == "⚠ LB106  small test set: 200 rows\n         label more rows  (limbeck checks LB106)\n"
    for level, grade, said in ((QUIET, "tip", False), (QUIET, "issue", True), (NORMAL, "note", False)):
        console, _, err = made(level=level)
        console.finding(Finding("LB1", grade, "t", "m", "w", ""))
        assert bool(err.getvalue()) is said


@pytest.mark.parametrize(
    ("terminal", "env", "coloured"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colour_only_where_it_is_wanted(terminal, env, coloured):
    console, _, err = made(terminal, env)
    console.error("it broke\n\ndo this")
    assert ("\x1b[31m" in err.getvalue()) is coloured
    assert err.getvalue().endswith("  it broke\n\ndo this\n")


@pytest.mark.parametrize(
    ("terminal", "env", "bars"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, True), (True, {"CI": "1"}, False), (False, {}, False)],
)
def test_bars_only_on_a_terminal(terminal, env, bars):
    console, _, err = made(terminal, env)
    assert console.bars is bars
    with console.progress("train", 10) as progress:
        progress.advance(4, {"loss": 0.5})
        progress.show()
    assert "4/10" in err.getvalue()
    assert "loss 0.5" in err.getvalue()
    assert ("━" in err.getvalue() or "\x1b[" in err.getvalue()) is bars


def test_off_a_terminal_there_is_one_line_at_intervals(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    console, _, err = made()
    with console.progress("train", 100) as progress:
        progress.skip(20)
        for _ in range(60):
            now[0] += 1
            progress.advance(1, {"loss": 0.25})
    assert err.getvalue().splitlines() == [
        "train  50/100  loss 0.25  50 s left",
        "train  80/100  loss 0.25  20 s left",
    ]


def test_quiet_progress_says_nothing():
    console, _, err = made(True, level=QUIET)
    with console.progress("train", 10) as progress:
        progress.advance(10)
        progress.show()
    assert err.getvalue() == ""
    assert progress.done == 10


def test_other_ranks_are_silent(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    console, out, err = made(level=VERBOSE)
    console.result("r")
    console.say("s")
    console.warn("w")
    console.progress("p", 3).show()
    assert out.getvalue() + err.getvalue() == ""


def test_a_terminal_without_unicode_is_not_a_reason_to_fail():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(out=stream, env={}).result("✔ kept 96 %")
    assert raw.getvalue() == b"? kept 96 %\n"


def test_durations_in_words():
    assert [seconds(s) for s in (0.42, 31, 125, 12_000)] == ["0.4 s", "31 s", "2 min 5 s", "3 h 20 min"]


def test_rich_is_not_loaded_without_a_bar():
    code = (
        "import sys; from limbeck.core.console import Console; c = Console(); c.say('x'); c.progress('y', 3).advance();"
        "print([m for m in ('rich', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
