"""`limbeck --help` is quick and loads nothing heavy; the verbs and their options are the promised ones."""

import resource
import statistics
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from limbeck.cli.main import app

VERBS = (
    "demo", "init", "check", "checks", "distill", "teach", "label", "train", "evaluate", "export", "report",
    "predict", "judge", "ls", "transfer", "env",
)  # fmt: skip
TRANSFER = ("verify", "info", "export", "import")
HEAVY = ("torch", "numpy", "pandas", "sklearn", "pydantic", "ruamel", "rich", "jinja2", "onnx", "scipy", "pyarrow")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick_and_light():
    code = f"""
import sys
sys.argv = ["limbeck", "--help"]
from limbeck.cli.main import run
try:
    run()
finally:
    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    times = []
    for _ in range(5):
        start = _cpu_of_children()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(_cpu_of_children() - start)  # a busy machine is not our fault
        assert done.stderr.strip() == "[]"
    assert all(verb in done.stdout for verb in VERBS)
    assert "Exit codes: 0 ok" in done.stdout
    assert min(times) < 0.5, f"median {statistics.median(times):.2f} s"


@pytest.mark.parametrize("verb", [*VERBS, *(f"transfer {name}" for name in TRANSFER)])
def test_every_verb_takes_out_json_and_levels(verb):
    if verb == "transfer":
        return
    found = CliRunner().invoke(app, [*verb.split(), "--help"])
    assert found.exit_code == 0
    for option in ("--out", "--json", "-q", "-v"):
        assert option in found.output


@pytest.mark.parametrize("verb", ["check", "distill", "teach", "label", "train", "evaluate", "export"])
def test_verbs_on_recipes_take_assignments(verb):
    assert "KEY.PATH=VALUE" in CliRunner().invoke(app, [verb, "--help"]).output


def test_the_version_is_told():
    assert CliRunner().invoke(app, ["--version"]).output.startswith("limbeck 0.")


@pytest.mark.parametrize("arguments", [["distil"], ["distill", "--nope"], ["ls", "a", "b"], ["judge"]])
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2
