"""limbeck: knowledge distillation with a control.

A model that is too big, an ensemble or an API goes in; a small model comes out that is nearly as good, with the
proof of how good: every run also trains the same student without the teacher and reports the paired difference.

The names below are imported on first use, so that `import limbeck` costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck import sklearn as sklearn
    from limbeck.core.console import Console as Console
    from limbeck.core.errors import ConfigError as ConfigError
    from limbeck.core.errors import LimbeckError as LimbeckError
    from limbeck.data.data import Data as Data
    from limbeck.data.sources import NamedColumns as Columns  # noqa: F401
    from limbeck.data.streams.stream import Stream as Stream
    from limbeck.data.task import Measure as Measure
    from limbeck.data.task import TaskKind as TaskKind
    from limbeck.data.windows import windows as windows
    from limbeck.data.writing import WriteSpec as WriteSpec
    from limbeck.evaluate.judge import judge as judge
    from limbeck.models.text.network import TextNetwork as TextNetwork
    from limbeck.models.text.sentences import SentenceNetwork as SentenceNetwork
    from limbeck.models.text.seq2seq import Seq2SeqNetwork as Seq2SeqNetwork
    from limbeck.models.text.tagging import TaggingNetwork as TaggingNetwork
    from limbeck.objectives import BCE as BCE
    from limbeck.objectives import CE as CE
    from limbeck.objectives import CTC as CTC
    from limbeck.objectives import CWD as CWD
    from limbeck.objectives import DIST as DIST
    from limbeck.objectives import DKD as DKD
    from limbeck.objectives import KD as KD
    from limbeck.objectives import L2KD as L2KD
    from limbeck.objectives import LSKD as LSKD
    from limbeck.objectives import MSE as MSE
    from limbeck.objectives import NKD as NKD
    from limbeck.objectives import PKD as PKD
    from limbeck.objectives import RKD as RKD
    from limbeck.objectives import AttentionScores as AttentionScores
    from limbeck.objectives import BernoulliKD as BernoulliKD
    from limbeck.objectives import BoundedKD as BoundedKD
    from limbeck.objectives import ContrastiveKD as ContrastiveKD
    from limbeck.objectives import CoSENT as CoSENT
    from limbeck.objectives import CosineRegression as CosineRegression
    from limbeck.objectives import Dice as Dice
    from limbeck.objectives import EmbeddingCosine as EmbeddingCosine
    from limbeck.objectives import EmbeddingMSE as EmbeddingMSE
    from limbeck.objectives import GaussianKD as GaussianKD
    from limbeck.objectives import GaussianNLL as GaussianNLL
    from limbeck.objectives import Hidden as Hidden
    from limbeck.objectives import HiddenCosine as HiddenCosine
    from limbeck.objectives import Hint as Hint
    from limbeck.objectives import HuberKD as HuberKD
    from limbeck.objectives import InfoNCE as InfoNCE
    from limbeck.objectives import LogitMSE as LogitMSE
    from limbeck.objectives import MarginMSE as MarginMSE
    from limbeck.objectives import MiniLM as MiniLM
    from limbeck.objectives import OrdinalCE as OrdinalCE
    from limbeck.objectives import OrdinalKD as OrdinalKD
    from limbeck.objectives import Pinball as Pinball
    from limbeck.objectives import SequenceKD as SequenceKD
    from limbeck.objectives import TranscriptKD as TranscriptKD
    from limbeck.objectives import layer_map as layer_map
    from limbeck.objectives.base import ramp as ramp
    from limbeck.objectives.base import term as term
    from limbeck.recipe import Recipe as Recipe
    from limbeck.stages import distill as distill
    from limbeck.stages import load as load
    from limbeck.stages.alone import export as export
    from limbeck.stages.alone import label as label
    from limbeck.stages.alone import teach as teach
    from limbeck.stages.ensembles import Teachers as Teachers
    from limbeck.stages.several import TableTeacher as Predictions  # noqa: F401
    from limbeck.stages.surgery import keep_layers as keep_layers
    from limbeck.stages.surgery import shrink as shrink
    from limbeck.stages.surgery import shrink_vocabulary as shrink_vocabulary
    from limbeck.stages.surgery import static_embeddings as static_embeddings
    from limbeck.stages.teachers import GivenTeacher as Teacher  # noqa: F401
    from limbeck.train.plan import TrainSpec as TrainSpec
    from limbeck.transfer.dataset import TransferSet as TransferSet

__version__ = "0.1.0"

# name -> "module:attribute"; the one list of what is promised
_PUBLIC = {
    "AttentionScores": "limbeck.objectives:AttentionScores",
    "BCE": "limbeck.objectives:BCE",
    "BernoulliKD": "limbeck.objectives:BernoulliKD",
    "BoundedKD": "limbeck.objectives:BoundedKD",
    "CE": "limbeck.objectives:CE",
    "CoSENT": "limbeck.objectives:CoSENT",
    "Columns": "limbeck.data.sources:NamedColumns",
    "ConfigError": "limbeck.core.errors:ConfigError",
    "Console": "limbeck.core.console:Console",
    "ContrastiveKD": "limbeck.objectives:ContrastiveKD",
    "CosineRegression": "limbeck.objectives:CosineRegression",
    "CWD": "limbeck.objectives:CWD",
    "DIST": "limbeck.objectives:DIST",
    "DKD": "limbeck.objectives:DKD",
    "Data": "limbeck.data.data:Data",
    "Dice": "limbeck.objectives:Dice",
    "EmbeddingCosine": "limbeck.objectives:EmbeddingCosine",
    "EmbeddingMSE": "limbeck.objectives:EmbeddingMSE",
    "GaussianKD": "limbeck.objectives:GaussianKD",
    "GaussianNLL": "limbeck.objectives:GaussianNLL",
    "Hidden": "limbeck.objectives:Hidden",
    "HiddenCosine": "limbeck.objectives:HiddenCosine",
    "Hint": "limbeck.objectives:Hint",
    "HuberKD": "limbeck.objectives:HuberKD",
    "InfoNCE": "limbeck.objectives:InfoNCE",
    "KD": "limbeck.objectives:KD",
    "L2KD": "limbeck.objectives:L2KD",
    "LSKD": "limbeck.objectives:LSKD",
    "LimbeckError": "limbeck.core.errors:LimbeckError",
    "LogitMSE": "limbeck.objectives:LogitMSE",
    "MSE": "limbeck.objectives:MSE",
    "MarginMSE": "limbeck.objectives:MarginMSE",
    "Measure": "limbeck.data.task:Measure",
    "MiniLM": "limbeck.objectives:MiniLM",
    "NKD": "limbeck.objectives:NKD",
    "OrdinalCE": "limbeck.objectives:OrdinalCE",
    "OrdinalKD": "limbeck.objectives:OrdinalKD",
    "PKD": "limbeck.objectives:PKD",
    "Pinball": "limbeck.objectives:Pinball",
    "Predictions": "limbeck.stages.several:TableTeacher",
    "RKD": "limbeck.objectives:RKD",
    "Recipe": "limbeck.recipe:Recipe",
    "SentenceNetwork": "limbeck.models.text.sentences:SentenceNetwork",
    "Seq2SeqNetwork": "limbeck.models.text.seq2seq:Seq2SeqNetwork",
    "CTC": "limbeck.objectives:CTC",
    "SequenceKD": "limbeck.objectives:SequenceKD",
    "TranscriptKD": "limbeck.objectives:TranscriptKD",
    "Stream": "limbeck.data.streams.stream:Stream",
    "TaggingNetwork": "limbeck.models.text.tagging:TaggingNetwork",
    "TaskKind": "limbeck.data.task:TaskKind",
    "Teacher": "limbeck.stages.teachers:GivenTeacher",
    "Teachers": "limbeck.stages.ensembles:Teachers",
    "TextNetwork": "limbeck.models.text.network:TextNetwork",
    "TrainSpec": "limbeck.train.plan:TrainSpec",
    "TransferSet": "limbeck.transfer.dataset:TransferSet",
    "WriteSpec": "limbeck.data.writing:WriteSpec",
    "distill": "limbeck.stages:distill",
    "export": "limbeck.stages.alone:export",
    "judge": "limbeck.evaluate.judge:judge",
    "keep_layers": "limbeck.stages.surgery:keep_layers",
    "label": "limbeck.stages.alone:label",
    "layer_map": "limbeck.objectives:layer_map",
    "load": "limbeck.stages:load",
    "ramp": "limbeck.objectives.base:ramp",
    "shrink": "limbeck.stages.surgery:shrink",
    "shrink_vocabulary": "limbeck.stages.surgery:shrink_vocabulary",
    "static_embeddings": "limbeck.stages.surgery:static_embeddings",
    "teach": "limbeck.stages.alone:teach",
    "term": "limbeck.objectives.base:term",
    "windows": "limbeck.data.windows:windows",
}

__all__ = sorted(_PUBLIC)


_MODULES = ("sklearn",)  # modules that are reached as lb.NAME


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"limbeck.{name}")
    try:
        module, attribute = _PUBLIC[name].split(":")
    except KeyError:
        raise AttributeError(f"module 'limbeck' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
