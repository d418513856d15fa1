"""Every error has its exit code and its way out, and nobody sees a traceback."""

import json
import subprocess
import sys

import pytest

from limbeck.core.errors import (
    BudgetReached,
    ChecksFailed,
    ConfigError,
    LimbeckError,
    MissingSignal,
    NotInstalled,
    NotSupported,
    ShapeMismatch,
    StoreDamaged,
    StoreMismatch,
)

CODES = {
    ConfigError: 2, MissingSignal: 2, ShapeMismatch: 2, StoreMismatch: 2, StoreDamaged: 2, NotSupported: 2,
    LimbeckError: 2, ChecksFailed: 3, BudgetReached: 5, NotInstalled: 6, KeyboardInterrupt: 130, ZeroDivisionError: 1,
    RecursionError: 1, MemoryError: 1, OSError: 1, AssertionError: 1,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "code"), list(CODES.items()), ids=lambda value: getattr(value, "__name__", value))
def test_exit_codes(command, stages, recipe, kind, code):
    stages.raises = kind("it went wrong")
    done = command("distill", recipe)
    assert done.exit_code == code
    assert "Traceback" not in done.output
    assert done.stderr.startswith("error  ")
    assert done.stdout == ""


def test_what_and_todo_are_said(command, stages, recipe):
    stages.raises = NotInstalled("keras models need keras", "pip install keras")
    assert command("distill", recipe).stderr == "error  keras models need keras\n\npip install keras\n"


def test_problems_of_a_recipe_have_lines(command, recipe):
    recipe.write_text("data: digits\nteacher: mlp\nstudent: linear\nalpha: 0.9\nseeds: 0\n")
    done = command("distill", recipe)
    assert done.exit_code == 2
    assert f"{recipe} has 2 problems" in done.stderr
    assert "line 4  alpha: 'alpha' means opposite things" in done.stderr
    assert "line 5  seeds: expected a number >= 1, got 0" in done.stderr
    plain = json.loads(command("distill", recipe, "--json").stdout)["error"]
    assert plain["type"] == "ConfigError"
    assert plain["exit_code"] == 2
    assert [(p["line"], p["where"]) for p in plain["problems"]] == [(4, "alpha"), (5, "seeds")]


def test_no_recipe_here(command):
    done = command("distill")
    assert done.exit_code == 2
    assert "expected a recipe at recipe.yaml, there is no such file" in done.stderr
    assert "`limbeck init NAME --data FILE` writes one" in done.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BudgetReached("an hour is over", "")])
def test_what_can_go_on_says_how(command, stages, recipe, monkeypatch, error):
    monkeypatch.setattr(sys, "argv", ["limbeck", "distill", "my recipe.yaml", "--overwrite", "-s", "seeds=3"])
    stages.raises = error
    assert "go on with: limbeck distill 'my recipe.yaml' -s seeds=3\n" in command("distill", recipe).stderr


def test_the_whole_story_is_in_a_file(command, stages, recipe, tmp_path):
    stages.raises = ZeroDivisionError("boom")
    done = command("distill", recipe, "--out", "here")
    assert "something broke inside limbeck: ZeroDivisionError: boom" in done.stderr
    log = tmp_path / "here" / "error.log"
    assert "here/error.log" in done.stderr
    assert "Traceback" in log.read_text()
    assert "boom" in log.read_text()
    plain = json.loads(command("distill", recipe, "--out", "here", "--json").stdout)["error"]
    assert plain["log"] == "here/error.log"
    assert "Traceback" in command("distill", recipe, "--out", "here", "-v").stderr


def test_without_a_folder_the_story_is_in_a_temporary_file(command, stages, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(stages, "check_recipe", lambda recipe: 1 / 0)
    assert command("check", recipe).exit_code == 1
    (log,) = tmp_path.glob("limbeck-error-*.log")
    assert "ZeroDivisionError" in log.read_text()


def test_quiet_still_says_errors(command, recipe):
    recipe.write_text("data: digits\n")
    done = command("distill", recipe, "-q")
    assert "teacher: this setting is missing" in done.stderr


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "limbeck", "checks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
