"""limbeck: knowledge distillation with a control.

A model that is too big, an ensemble or an API goes in; a small model comes out that is nearly as good, with the
proof of how good: every run also trains the same student without the teacher and reports the paired difference.

The names below are imported on first use, so that `import limbeck` costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.core.errors import LimbeckError as LimbeckError
    from limbeck.data.data import Data as Data
    from limbeck.evaluate.judge import judge as judge
    from limbeck.recipe import Recipe as Recipe
    from limbeck.stages import distill as distill
    from limbeck.transfer.dataset import TransferSet as TransferSet

__version__ = "0.1.0"

# name -> "module:attribute"; the one list of what is promised
_PUBLIC = {
    "BCE": "limbeck.objectives:BCE",
    "BernoulliKD": "limbeck.objectives:BernoulliKD",
    "BoundedKD": "limbeck.objectives:BoundedKD",
    "CE": "limbeck.objectives:CE",
    "DIST": "limbeck.objectives:DIST",
    "DKD": "limbeck.objectives:DKD",
    "Data": "limbeck.data.data:Data",
    "Hint": "limbeck.objectives:Hint",
    "HuberKD": "limbeck.objectives:HuberKD",
    "KD": "limbeck.objectives:KD",
    "L2KD": "limbeck.objectives:L2KD",
    "LSKD": "limbeck.objectives:LSKD",
    "LimbeckError": "limbeck.core.errors:LimbeckError",
    "LogitMSE": "limbeck.objectives:LogitMSE",
    "MSE": "limbeck.objectives:MSE",
    "NKD": "limbeck.objectives:NKD",
    "RKD": "limbeck.objectives:RKD",
    "Recipe": "limbeck.recipe:Recipe",
    "TrainSpec": "limbeck.train.plan:TrainSpec",
    "TransferSet": "limbeck.transfer.dataset:TransferSet",
    "distill": "limbeck.stages:distill",
    "judge": "limbeck.evaluate.judge:judge",
    "term": "limbeck.objectives.base:term",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _PUBLIC[name].split(":")
    except KeyError:
        raise AttributeError(f"module 'limbeck' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
