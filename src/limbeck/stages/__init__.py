"""The verbs of limbeck as functions: each does one stage or the whole way, and leaves what it did in a run folder.

Names are imported on first use, so that parsing a command line costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.evaluate.judge import judge as judge
    from limbeck.stages.demos import demo as demo
    from limbeck.stages.forecast import CheckReport as CheckReport
    from limbeck.stages.forecast import check_recipe as check_recipe
    from limbeck.stages.recipes import run_recipe as run_recipe
    from limbeck.stages.result import DistillRun as DistillRun
    from limbeck.stages.result import load as load
    from limbeck.stages.several import teacher_of as teacher_of
    from limbeck.stages.verbs import distill as distill

_PLACES = {
    "CheckReport": "forecast",
    "DistillRun": "result",
    "check_recipe": "forecast",
    "demo": "demos",
    "distill": "verbs",
    "load": "result",
    "run_recipe": "recipes",
    "teacher_of": "several",
}
__all__ = sorted([*_PLACES, "judge"])


def __getattr__(name: str) -> Any:
    if name == "judge":
        from limbeck.evaluate.judge import judge

        return judge
    if name in _PLACES:
        return getattr(importlib.import_module(f"limbeck.stages.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'limbeck.stages' has no attribute {name!r}")
