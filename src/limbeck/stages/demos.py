"""The demos: whole runs on data that comes with scikit-learn, offline."""

from __future__ import annotations

from pathlib import Path

from limbeck.core.console import Console
from limbeck.recipe import Recipe
from limbeck.stages.result import DistillRun

# few labels, many unlabelled rows, a small student: where distillation helps
DIGITS = """\
name: digits
data:
  builtin: digits
  task: classification
  labels: 200
  validation_fraction: 0.25
  test_fraction: 0.34
teacher:
  model: mlp(hidden=[128, 64])
  members: 5
  train: {steps: 300, learning_rate: 0.001}
student: mlp(hidden=[8])
objective: 0.1 * CE + 0.9 * KD(temperature=2)
train: {steps: 1200, batch_size: 64, learning_rate: 0.005}
seeds: 5
"""

# the two networks of the introductory article, on all labels; nothing is tuned towards a verdict
ARTICLE = """\
name: digits-article
data:
  builtin: digits
  task: classification
  test_fraction: 0.34
teacher:
  model: mlp(hidden=[128, 64])
student: mlp(hidden=[64])
objective: 0.1 * CE + 0.9 * KD(temperature=4)
train: {epochs: 40, batch_size: 32, learning_rate: 0.001}
seeds: 5
"""


def demo(
    name: str = "digits",
    *,
    article: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> DistillRun:
    """Run a demo into runs/NAME; the same call again goes on where it stopped."""
    from limbeck.stages.recipes import run_recipe

    assert name == "digits"  # the command line knows the names
    return run_recipe(Recipe.from_text(ARTICLE if article else DIGITS), out=out, overwrite=overwrite, console=console)
