"""Stages that do nothing, so that the wiring of the verbs can be tested alone; whole runs are in tests/e2e."""

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

import limbeck
from limbeck.cli.main import app
from limbeck.core.run import Run


@dataclass
class FakeRun:
    folder: Path
    scorecard: dict
    verdict: str | None = "helped"
    findings: list = field(default_factory=list)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Call the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def stages(monkeypatch):
    """A module in place of limbeck.stages that notes its calls; `returns` may be a value or an exception."""
    fake = types.ModuleType("limbeck.stages")
    fake.calls, fake.findings, fake.raises = [], [], None

    def run_recipe(recipe, *, out=None, overwrite=False, console=None, until=None):
        fake.calls.append({"recipe": recipe, "out": out, "overwrite": overwrite, "until": until})
        if fake.raises is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
            raise fake.raises
        with Run.open(out, recipe, asked=recipe.asked, command=[]) as run:
            stage = run.stage(until, {}, outputs=(until,))
            with stage:
                run.path(until).mkdir(exist_ok=True)
                run.path(until, "a.bin").write_bytes(b"1234")
                stage.note(rows=3)
        return FakeRun(Path(out), fake.scorecard, findings=fake.findings)

    def demo(name, article=False, out=None, overwrite=False, console=None):
        fake.calls.append({"name": name, "article": article, "out": out, "overwrite": overwrite})
        return FakeRun(Path(out or "runs/digits"), fake.scorecard, findings=fake.findings)

    def check_recipe(recipe):
        fake.calls.append({"recipe": recipe})
        return types.SimpleNamespace(findings=fake.findings, estimate=fake.estimate)

    fake.run_recipe, fake.demo, fake.check_recipe = run_recipe, demo, check_recipe
    fake.estimate = {"train_seconds": 42.0, "memory_bytes": 3_000_000, "smallest_gain": 0.0123456}
    fake.scorecard = {}
    monkeypatch.setitem(sys.modules, "limbeck.stages", fake)
    monkeypatch.setattr(limbeck, "stages", fake, raising=False)
    monkeypatch.setattr("limbeck.report.terminal.summary", lambda card, **more: f"summary of {more['folder']}")
    return fake


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: tiny\ndata: digits\nteacher: mlp\nstudent: linear\n")
    return path
