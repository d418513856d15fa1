"""Losses as values: what a student is trained on.

    0.1 * CE() + 0.9 * KD(temperature=4)

`CATALOG` is the one list of them. A name is imported when it is first used, and torch with it, not before. Packages add
losses through the entry points of the group "limbeck.objectives"; a loss of one's own needs no registration, it is
handed in as an object, or in YAML as "my_package.module:MyLoss".
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.core.catalog import Catalog

if TYPE_CHECKING:
    from limbeck.objectives.base import Objective as Objective
    from limbeck.objectives.base import Ramp as Ramp
    from limbeck.objectives.base import Sum as Sum
    from limbeck.objectives.base import Term as Term
    from limbeck.objectives.base import as_sum as as_sum
    from limbeck.objectives.base import ramp as ramp
    from limbeck.objectives.base import term as term
    from limbeck.objectives.cards import card as card
    from limbeck.objectives.embedding.contrastive_kd import ContrastiveKD as ContrastiveKD
    from limbeck.objectives.embedding.cosine_regression import CoSENT as CoSENT
    from limbeck.objectives.embedding.cosine_regression import CosineRegression as CosineRegression
    from limbeck.objectives.embedding.embedding_cosine import EmbeddingCosine as EmbeddingCosine
    from limbeck.objectives.embedding.embedding_mse import EmbeddingMSE as EmbeddingMSE
    from limbeck.objectives.embedding.info_nce import InfoNCE as InfoNCE
    from limbeck.objectives.embedding.margin_mse import MarginMSE as MarginMSE
    from limbeck.objectives.feature.attention_scores import AttentionScores as AttentionScores
    from limbeck.objectives.feature.cosine import HiddenCosine as HiddenCosine
    from limbeck.objectives.feature.hidden import Hidden as Hidden
    from limbeck.objectives.feature.hint import Hint as Hint
    from limbeck.objectives.feature.layer_map import layer_map as layer_map
    from limbeck.objectives.feature.pkd import PKD as PKD
    from limbeck.objectives.feature.simkd import SimKD as SimKD
    from limbeck.objectives.relation.minilm import MiniLM as MiniLM
    from limbeck.objectives.relation.rkd import RKD as RKD
    from limbeck.objectives.response.bce import BCE as BCE
    from limbeck.objectives.response.bernoulli_kd import BernoulliKD as BernoulliKD
    from limbeck.objectives.response.ce import CE as CE
    from limbeck.objectives.response.cwd import CWD as CWD
    from limbeck.objectives.response.dice import Dice as Dice
    from limbeck.objectives.response.dist import DIST as DIST
    from limbeck.objectives.response.dkd import DKD as DKD
    from limbeck.objectives.response.gaussian import GaussianKD as GaussianKD
    from limbeck.objectives.response.gaussian import GaussianNLL as GaussianNLL
    from limbeck.objectives.response.kd import KD as KD
    from limbeck.objectives.response.label_mse import MSE as MSE
    from limbeck.objectives.response.logit_mse import LogitMSE as LogitMSE
    from limbeck.objectives.response.logit_standardisation import LSKD as LSKD
    from limbeck.objectives.response.nkd import NKD as NKD
    from limbeck.objectives.response.ordinal import OrdinalCE as OrdinalCE
    from limbeck.objectives.response.ordinal import OrdinalKD as OrdinalKD
    from limbeck.objectives.response.pinball import Pinball as Pinball
    from limbeck.objectives.response.regression_kd import L2KD as L2KD
    from limbeck.objectives.response.regression_kd import BoundedKD as BoundedKD
    from limbeck.objectives.response.regression_kd import HuberKD as HuberKD
    from limbeck.objectives.response.temperature import auto_temperature as auto_temperature
    from limbeck.objectives.response.temperature import resolve_auto as resolve_auto
    from limbeck.objectives.sequence.ctc import CTC as CTC
    from limbeck.objectives.sequence.on_policy_kl import OnPolicyKL as OnPolicyKL
    from limbeck.objectives.sequence.sequence_kd import SequenceKD as SequenceKD
    from limbeck.objectives.sequence.transcript_kd import TranscriptKD as TranscriptKD
    from limbeck.objectives.spelling import dump as dump
    from limbeck.objectives.spelling import parse as parse


@dataclass(frozen=True)
class Entry:
    """One loss of the catalog: where it is, its family, its paper (arXiv id, or venue and year) and one line."""

    target: str
    family: str
    paper: str
    line: str


_HERE = "limbeck.objectives"

CATALOG: dict[str, Entry] = {
    "AttentionScores": Entry(
        f"{_HERE}.feature.attention_scores:AttentionScores", "feature", "arXiv:1909.10351", "attention before softmax"
    ),
    "BCE": Entry(f"{_HERE}.response.bce:BCE", "hard", "none", "binary cross-entropy with labels, multi-label"),
    "BernoulliKD": Entry(
        f"{_HERE}.response.bernoulli_kd:BernoulliKD", "response", "arXiv:2308.06453", "each label's probability"
    ),
    "BoundedKD": Entry(
        f"{_HERE}.response.regression_kd:BoundedKD", "response", "NeurIPS 2017", "labels, until as good as the teacher"
    ),
    "CE": Entry(f"{_HERE}.response.ce:CE", "hard", "arXiv:1512.00567", "cross-entropy with labels"),
    "CTC": Entry(f"{_HERE}.sequence.ctc:CTC", "hard", "ICML 2006", "labels of a sequence, by all their paths"),
    "CoSENT": Entry(
        f"{_HERE}.embedding.cosine_regression:CoSENT",
        "hard",
        "https://kexue.fm/archives/8847",
        "order of cosines against scores",
    ),
    "ContrastiveKD": Entry(
        f"{_HERE}.embedding.contrastive_kd:ContrastiveKD", "embedding", "arXiv:2101.04731", "who is near in a batch"
    ),
    "CosineRegression": Entry(
        f"{_HERE}.embedding.cosine_regression:CosineRegression", "hard", "arXiv:1908.10084", "cosines against scores"
    ),
    "CWD": Entry(f"{_HERE}.response.cwd:CWD", "response", "arXiv:2011.13256", "where each class is seen in an image"),
    "DIST": Entry(f"{_HERE}.response.dist:DIST", "response", "arXiv:2205.10536", "correlations of probabilities"),
    "DKD": Entry(f"{_HERE}.response.dkd:DKD", "response", "arXiv:2203.08679", "target and other classes apart"),
    "Dice": Entry(f"{_HERE}.response.dice:Dice", "hard", "arXiv:1606.04797", "overlap with true masks"),
    "EmbeddingCosine": Entry(
        f"{_HERE}.embedding.embedding_cosine:EmbeddingCosine", "embedding", "arXiv:2004.09813", "directions of texts"
    ),
    "EmbeddingMSE": Entry(
        f"{_HERE}.embedding.embedding_mse:EmbeddingMSE", "embedding", "arXiv:2004.09813", "places of texts"
    ),
    "GaussianKD": Entry(f"{_HERE}.response.gaussian:GaussianKD", "response", "arXiv:1703.04977", "means and variances"),
    "GaussianNLL": Entry(
        f"{_HERE}.response.gaussian:GaussianNLL", "hard", "arXiv:2203.09168", "likelihood under mean and variance"
    ),
    "Hidden": Entry(f"{_HERE}.feature.hidden:Hidden", "feature", "arXiv:1909.10351", "hidden states, layer by layer"),
    "HiddenCosine": Entry(
        f"{_HERE}.feature.cosine:HiddenCosine", "feature", "arXiv:1910.01108", "directions of hidden states"
    ),
    "Hint": Entry(f"{_HERE}.feature.hint:Hint", "feature", "arXiv:1412.6550", "an inner feature, through a projector"),
    "HuberKD": Entry(
        f"{_HERE}.response.regression_kd:HuberKD", "response", "Ann. Math. Statist. 1964", "values, Huber distance"
    ),
    "InfoNCE": Entry(
        f"{_HERE}.embedding.info_nce:InfoNCE", "hard", "arXiv:1807.03748", "queries find their documents in a batch"
    ),
    "KD": Entry(f"{_HERE}.response.kd:KD", "response", "arXiv:1503.02531", "softened class probabilities"),
    "L2KD": Entry(f"{_HERE}.response.regression_kd:L2KD", "response", "arXiv:1312.6184", "values, squared distance"),
    "LSKD": Entry(
        f"{_HERE}.response.logit_standardisation:LSKD", "response", "arXiv:2403.01427", "KD on standardised logits"
    ),
    "LogitMSE": Entry(f"{_HERE}.response.logit_mse:LogitMSE", "response", "arXiv:1312.6184", "centred logits"),
    "MSE": Entry(f"{_HERE}.response.label_mse:MSE", "hard", "none", "squared error against labels"),
    "MarginMSE": Entry(
        f"{_HERE}.embedding.margin_mse:MarginMSE", "embedding", "arXiv:2010.02666", "margins over the other documents"
    ),
    "MiniLM": Entry(
        f"{_HERE}.relation.minilm:MiniLM", "relation", "arXiv:2012.15828", "relations between tokens in one layer"
    ),
    "NKD": Entry(f"{_HERE}.response.nkd:NKD", "response", "arXiv:2303.13005", "target, and renormalised other classes"),
    "OnPolicyKL": Entry(
        f"{_HERE}.sequence.on_policy_kl:OnPolicyKL", "sequence", "arXiv:2306.13649", "the student's own text, judged"
    ),
    "OrdinalCE": Entry(
        f"{_HERE}.response.ordinal:OrdinalCE", "hard", "NeurIPS 2006", "cross-entropy of thresholds between levels"
    ),
    "OrdinalKD": Entry(
        f"{_HERE}.response.ordinal:OrdinalKD", "response", "NeurIPS 2006", "the chance of being above each level"
    ),
    "PKD": Entry(f"{_HERE}.feature.pkd:PKD", "feature", "arXiv:1908.09355", "directions of the first token's states"),
    "Pinball": Entry(f"{_HERE}.response.pinball:Pinball", "hard", "Econometrica 1978", "quantiles of the labels"),
    "RKD": Entry(f"{_HERE}.relation.rkd:RKD", "relation", "arXiv:1904.05068", "distances and angles between rows"),
    "SequenceKD": Entry(
        f"{_HERE}.sequence.sequence_kd:SequenceKD", "sequence", "arXiv:1606.07947", "the text that the teacher wrote"
    ),
    "SimKD": Entry(
        f"{_HERE}.feature.simkd:SimKD", "feature", "arXiv:2203.14001", "last features, and the teacher's classifier"
    ),
    "TranscriptKD": Entry(
        f"{_HERE}.sequence.transcript_kd:TranscriptKD", "sequence", "arXiv:1606.07947", "what the teacher heard, by CTC"
    ),
}

objectives = Catalog(
    "objective",
    {name: entry.target for name, entry in CATALOG.items()},
    {name: entry.line for name, entry in CATALOG.items()},
)

_PUBLIC = {
    **objectives.builtin,
    **dict.fromkeys(("Objective", "Ramp", "Sum", "Term", "as_sum", "ramp", "term"), f"{_HERE}.base"),
    **dict.fromkeys(("auto_temperature", "resolve_auto"), f"{_HERE}.response.temperature"),
    **dict.fromkeys(("dump", "parse"), f"{_HERE}.spelling"),
    "card": f"{_HERE}.cards",
    "layer_map": f"{_HERE}.feature.layer_map",
}

__all__ = sorted(["CATALOG", "Entry", "objectives", *_PUBLIC])


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'limbeck.objectives' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name].partition(":")[0]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
