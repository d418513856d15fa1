"""How the answers of several teachers are weighed in each row, from their entropies or their errors on labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.transfer.manifest import Head

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTINGS = ("mean", "entropy", "confidence", "routing")


def check_weighting(weighting: str, heads: Mapping[str, Head] | None = None) -> None:
    """Refuse a weighting that there is not, or that the tasks have no use for; raises ConfigError."""
    if weighting not in WEIGHTINGS:
        near = suggest(weighting, WEIGHTINGS)
        raise ConfigError(
            f"expected the weighting of teachers to be one of {', '.join(WEIGHTINGS)}, got '{weighting}'",
            near or "mean: the weights that were given; the others weigh every row by itself",
        )
    if weighting == "mean":
        return
    for name, head in (heads or {}).items():
        if head.meaning == "numbers":
            raise ConfigError(
                f"expected classes or labels where teachers are weighed by {weighting}, '{name}' is of kind "
                f"{head.kind}, whose answers are no probabilities",
                "use weighting mean",
            )
        if weighting == "confidence" and head.positions:
            raise ConfigError(
                f"expected one label a row where teachers are weighed by confidence, '{name}' ({head.kind}) is "
                "answered at every position",
                "use weighting entropy, which needs no labels",
            )


def entropy_weights(entropies: Tensor) -> Tensor:
    """EBKD: weights [K, ...] of K teachers by their entropies [K, ...], (1 - H_k / sum H) / (K - 1); they sum to one.

    Those of the authors' code sum to K - 1, and they divide the loss instead (Kwon et al., ICASSP 2020; code of
    arXiv 2201.00007). Teachers without any entropy, and a teacher alone, share equally.
    """
    import torch

    count = len(entropies)
    if count == 1:
        return torch.ones_like(entropies)
    total = entropies.sum(dim=0)
    shares = torch.where(total > 0, entropies / total.clamp_min(torch.finfo(total.dtype).tiny), 1 / count)
    return (1 - shares) / (count - 1)


def confidence_weights(errors: Tensor) -> Tensor:
    """CA-MKD: weights [K, ...] by cross-entropies [K, ...] with the label, (1 - softmax_k(CE)) / (K - 1); they sum to
    one (arXiv 2201.00007). A teacher alone has weight one.
    """
    import torch

    count = len(errors)
    return torch.ones_like(errors) if count == 1 else (1 - errors.softmax(dim=0)) / (count - 1)


def routing_weights(entropies: Tensor) -> Tensor:
    """One for the teacher of the lowest entropy, zero for the others [K, ...]; those that are equal share."""
    least = (entropies == entropies.amin(dim=0)).to(entropies.dtype)
    return least / least.sum(dim=0)


def entropies_of(answers: Tensor, meaning: str, known: int) -> Tensor:
    """Entropies [...] of logits [..., C] as shares of the largest there can be: of one of `known` classes, or the mean
    of those of each label.
    """
    import torch
    from torch.special import entr

    if meaning == "labels":
        each: Tensor = entr(torch.sigmoid(answers)) + entr(torch.sigmoid(-answers))
        return each.mean(dim=-1) / math.log(2)
    whole: Tensor = entr(answers.softmax(dim=-1)).sum(dim=-1)
    return whole / math.log(max(known, 2))


def errors_of(answers: Tensor, meaning: str, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cross-entropies [B] of logits [B, C] with the labels of the rows, and which rows have one, bool [B]."""
    import torch
    from torch.nn import functional

    target = target.to(answers.device)
    mask = torch.ones(len(answers), dtype=torch.bool) if mask is None else mask
    mask = mask.to(answers.device)
    if meaning == "labels":
        there = ~target.isnan() & (mask if mask.ndim == target.ndim else mask[:, None])
        each = functional.binary_cross_entropy_with_logits(
            answers, target.to(answers.dtype).nan_to_num(), reduction="none"
        )
        return (each * there).sum(dim=-1) / there.sum(dim=-1).clamp_min(1), there.any(dim=-1)
    given = target.long()
    there = mask & (given >= 0) & (given < answers.shape[-1])
    picked = given.where(there, torch.zeros_like(given))
    return functional.cross_entropy(answers, picked, reduction="none"), there
