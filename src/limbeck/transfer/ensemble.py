"""Several teachers as one: probabilities are averaged, not logits; regression averages values.

The shares of the mean are given, or found for every row (`weighting`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.objectives.weighing import fit_positions
from limbeck.signals import Batch, Needs, Output, Signals, TeacherSource
from limbeck.transfer.manifest import Head
from limbeck.transfer.weighting import (
    check_weighting,
    confidence_weights,
    entropies_of,
    entropy_weights,
    errors_of,
    routing_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-6  # share of a teacher that may be the only one to know a class


class Ensemble:
    """A weighted mean of sources. Weights are normalised; None means equal ones; a source of weight 0 is not asked.

    Classification: log of the mean probabilities; multilabel: logit of the mean probability of each label;
    regression: mean of the (standardised) values. `weighting` other than "mean" weighs every row by itself: "entropy"
    (EBKD), "confidence" (CA-MKD, by the labels of the batch; rows without one by entropy) or "routing" (the teacher of
    the lowest entropy answers alone). `known` has for each source the ids of the classes that it knows, by head, where
    it does not know all: a class is a mean over those who know it, and the row is made to sum to one.

    Raises ConfigError for weights that are negative, not finite or sum to zero, and for a weighting that does not fit;
    MissingSignal where a source lacks a head.
    """

    def __init__(
        self,
        sources: Sequence[TeacherSource],
        weights: Sequence[float] | None = None,
        *,
        heads: Mapping[str, Head],
        weighting: str = "mean",
        known: Sequence[Mapping[str, tuple[int, ...]]] | None = None,
    ) -> None:
        given = [1.0] * len(sources) if weights is None else [float(weight) for weight in weights]
        check_weights(given, len(sources), weighting)
        check_weighting(weighting, heads)
        total = sum(given)
        self.sources = tuple(source for source, weight in zip(sources, given, strict=True) if weight > 0)
        self.weights = tuple(weight / total for weight in given if weight > 0)
        self.heads = heads
        self.weighting = weighting
        told = [{}] * len(sources) if known is None else known
        self.known = tuple(ids for ids, weight in zip(told, given, strict=True) if weight > 0)
        if weighting == "routing":
            refuse_routing(self.known)
        for place, source in enumerate(self.sources):
            missing = Needs(outputs=tuple(heads)).missing_from(source.have())
            if missing:
                raise MissingSignal(
                    f"expected every teacher of an ensemble to answer all heads, teacher {place} lacks "
                    + " and ".join(missing),
                    "leave this teacher out, or distil the heads that all of them have",
                )

    def have(self) -> Needs:
        """Dense outputs for all heads; inner features of several teachers are not mixed."""
        return Needs(outputs=tuple(self.heads))

    @property
    def uses_labels(self) -> bool:
        """Whether the labels of a batch decide what is answered."""
        return self.weighting == "confidence" or any(getattr(each, "uses_labels", False) for each in self.sources)

    def answer(self, batch: Batch) -> Signals:
        """Ask every source and mix."""
        blind = replace(batch, targets={}, label_mask={})  # only who weighs by labels sees them
        said = [source.answer(batch if getattr(source, "uses_labels", False) else blind) for source in self.sources]
        masks = _shared_masks(said, tuple(self.heads))
        outputs: dict[str, Output] = {}
        for name, head in self.heads.items():
            answers: list[Any] = [each.outputs[name] for each in said]
            if name in masks:
                answers = [fit_positions(each, masks[name].shape[1]) for each in answers]
            outputs[name] = self._mix(name, head.meaning, answers, batch)
        return Signals(outputs, masks=masks)

    def _mix(self, name: str, meaning: str, answers: list[Tensor], batch: Batch) -> Tensor:
        shapes = {tuple(answer.shape) for answer in answers}
        if len(shapes) > 1:
            raise ShapeMismatch(
                f"expected the teachers' answers for head '{name}' to have one shape, got "
                + " and ".join(str(list(shape)) for shape in sorted(shapes)),
                "all teachers of an ensemble answer the same classes, labels or columns in the same order",
            )
        if meaning == "numbers":
            mixed = answers[0] * self.weights[0]
            for answer, weight in zip(answers[1:], self.weights[1:], strict=True):
                mixed = mixed + answer * weight
            return mixed
        shares: Sequence[Tensor | float] = self.weights
        if self.weighting != "mean":
            shares = list(self._shares(name, meaning, answers, batch).unsqueeze(-1))
        if meaning == "labels":
            return _log_mean(answers, shares, _log_sigmoid) - _log_mean(answers, shares, _log_sigmoid_of_minus)
        if any(name in ids for ids in self.known):
            return _log_mean_of_known(answers, shares, [ids.get(name) for ids in self.known])
        return _log_mean(answers, shares, _log_softmax)

    def _shares(self, name: str, meaning: str, answers: list[Tensor], batch: Batch) -> Tensor:
        """Weights [K, B] or [K, B, T] of the sources."""
        import torch

        counts = [len(ids.get(name, range(answer.shape[-1]))) for ids, answer in zip(self.known, answers, strict=True)]
        entropies = torch.stack([entropies_of(a, meaning, n) for a, n in zip(answers, counts, strict=True)])
        if self.weighting == "routing":
            return routing_weights(entropies)
        weights = entropy_weights(entropies)
        if self.weighting == "entropy" or name not in batch.targets:
            return weights
        target, mask = batch.targets[name], batch.label_mask.get(name)
        found = [errors_of(answer, meaning, target, mask) for answer in answers]
        return torch.where(found[0][1], confidence_weights(torch.stack([error for error, _ in found])), weights)


def _log_mean(
    answers: list[Tensor], shares: Sequence[Tensor | float], log_probability: Callable[[Tensor], Tensor]
) -> Tensor:
    """Log of the weighted mean of probabilities, without leaving log space."""
    import torch

    parts = [log_probability(answer) + _log(share) for answer, share in zip(answers, shares, strict=True)]
    return torch.stack(parts).logsumexp(dim=0)


def _log_mean_of_known(
    answers: list[Tensor], shares: Sequence[Tensor | float], known: Sequence[tuple[int, ...] | None]
) -> Tensor:
    """The same where each class is a mean over the sources that know it; the row sums to one.

    One that nobody knows is as impossible as the sources say.
    """
    import torch

    logs, weights = [], []
    alone = torch.ones(answers[0].shape[-1], dtype=torch.bool, device=answers[0].device)
    for ids in known:
        alone[list(range(len(alone)) if ids is None else ids)] = False
    for answer, share, ids in zip(answers, shares, known, strict=True):
        knows = alone.clone()
        knows[list(range(len(alone)) if ids is None else ids)] = True
        at_least = torch.as_tensor(share, dtype=answer.dtype, device=answer.device).clamp_min(_LEAST)
        weight = at_least.log() + torch.where(knows, 0.0, -torch.inf).to(answer.dtype)
        logs.append(answer.log_softmax(dim=-1) + weight)
        weights.append(weight.expand_as(answer))
    return (torch.stack(logs).logsumexp(dim=0) - torch.stack(weights).logsumexp(dim=0)).log_softmax(dim=-1)


def _log(share: Tensor | float) -> Tensor | float:
    return math.log(share) if isinstance(share, float) else share.log()


def _shared_masks(said: Sequence[Signals], heads: Sequence[str]) -> dict[str, Tensor]:
    """The positions that every source answers, by head; they may read to different lengths."""
    found = {}
    for name in heads:
        masks = [each.masks[name] for each in said if name in each.masks]
        if masks:
            widest = max(mask.shape[1] for mask in masks)
            shared = fit_positions(masks[0], widest)
            for mask in masks[1:]:
                shared = shared & fit_positions(mask, widest)
            found[name] = shared
    return found


def check_weights(weights: Sequence[float], sources: int, weighting: str = "mean") -> None:
    """Refuse weights that make no mean, and those beside a weighting that finds its own; raises ConfigError."""
    if not sources:
        raise ConfigError("expected at least one teacher in an ensemble, got none", "give Ensemble([teacher, ...])")
    if len(weights) != sources:
        raise ConfigError(
            f"expected one weight per teacher, got {len(weights)} weights for {sources} teachers",
            "leave weights out for equal ones",
        )
    if any(not math.isfinite(weight) or weight < 0 for weight in weights) or sum(weights) <= 0:
        raise ConfigError(
            f"expected weights of an ensemble that are finite, not negative and not all zero, got {list(weights)}",
            "weights are shares of the mean; they are normalised to sum to one",
        )
    if weighting != "mean" and len(set(weights)) > 1:
        raise ConfigError(
            f"expected equal weights beside the weighting {weighting}, which weighs every row by itself, got "
            f"{list(weights)}",
            "leave the weights out, or use weighting mean",
        )


def refuse_routing(known: Sequence[Mapping[str, tuple[int, ...]]]) -> None:
    """Refuse to let one teacher answer alone where some do not know every class; raises ConfigError."""
    if any(known):
        raise ConfigError(
            "expected teachers that know every class where one of them answers alone (weighting routing), one of them "
            "knows only some",
            "use weighting mean or entropy, which take every class from the teachers that know it",
        )


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1)


def _log_sigmoid(logits: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.logsigmoid(logits)


def _log_sigmoid_of_minus(logits: Tensor) -> Tensor:
    return _log_sigmoid(-logits)
