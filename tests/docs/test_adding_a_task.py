"""The how-to page on tasks is run as it stands: its file, its loss, its run and its recipe."""

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.run import Run
from limbeck.stages.recipes import run_recipe

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-task.md"
FILE, CONTRACTS, RUN = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
(RECIPE,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder that holds the page's file, and is on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "counts", raising=False)
    (tmp_path / "counts.py").write_text(FILE, encoding="utf-8")
    return tmp_path


def run_block(code, folder):
    (folder / "block.py").write_text(code, encoding="utf-8")
    return runpy.run_path(str(folder / "block.py"))


def test_its_loss_keeps_the_contracts(folder):
    run_block(CONTRACTS, folder)


def test_its_run_ends_with_a_verdict(folder, capsys):
    found = run_block(RUN, folder)
    run = found["run"]
    card = run.scorecard["tasks"]["main"]
    assert run.verdict in ("helped", "no reliable difference", "hurt") and capsys.readouterr().out.startswith(
        run.verdict
    )
    assert card["kind"] == "counts" and card["metric"]["name"] == "deviance"
    deviances = {arm: card["arms"][arm]["metrics"]["deviance"]["value"] for arm in ("teacher", "student")}
    assert max(deviances.values()) < card["trivial"]["metrics"]["deviance"]
    rates = run.predict(found["x"][300:])
    assert rates.shape == (300,) and (rates > 0).all() and np.corrcoef(rates, found["y"][300:])[0, 1] > 0.5
    assert Run.read(run.folder).verify() == [] and "counts" in (run.folder / "report.md").read_text()


def test_its_recipe_runs(folder):
    draw = np.random.default_rng(1)
    x = draw.normal(size=(200, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(calls=draw.poisson(np.exp(x[:, 0])))
    table.to_csv(folder / "calls.csv", index=False)
    run = run_recipe(lb.Recipe.from_text(RECIPE, base=folder), out=folder / "run", until="evaluate")
    assert run.scorecard["tasks"]["main"]["metric"]["name"] == "deviance"


def test_what_is_no_count_is_refused_in_its_words(folder):
    with pytest.raises(lb.LimbeckError, match=r"expected counts, got \[0.5\] in row 1\n\nuse regression"):
        lb.Data(train=([[0.0]] * 3, [1, 0.5, 2]), task="counts:Counts")
