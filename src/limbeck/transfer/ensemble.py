"""Several teachers as one: probabilities are averaged, not logits; regression averages values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.objectives.weighing import fit_positions
from limbeck.signals import Batch, Needs, Output, Signals, TeacherSource
from limbeck.transfer.manifest import Head

if TYPE_CHECKING:
    from torch import Tensor


class Ensemble:
    """A weighted mean of sources. Weights are normalised; None means equal ones; a source of weight 0 is not asked.

    Classification: log of the mean probabilities; multilabel: logit of the mean probability of each label;
    regression: mean of the (standardised) values. Raises ConfigError for weights that are negative, not finite or
    sum to zero, MissingSignal where a source lacks a head.
    """

    def __init__(
        self,
        sources: Sequence[TeacherSource],
        weights: Sequence[float] | None = None,
        *,
        heads: Mapping[str, Head],
    ) -> None:
        given = [1.0] * len(sources) if weights is None else [float(weight) for weight in weights]
        check_weights(given, len(sources))
        total = sum(given)
        self.sources = tuple(source for source, weight in zip(sources, given, strict=True) if weight > 0)
        self.weights = tuple(weight / total for weight in given if weight > 0)
        self.heads = heads
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

    def answer(self, batch: Batch) -> Signals:
        """Ask every source and mix."""
        said = [source.answer(batch) for source in self.sources]
        masks = _shared_masks(said, tuple(self.heads))
        outputs: dict[str, Output] = {}
        for name, head in self.heads.items():
            answers: list[Any] = [each.outputs[name] for each in said]
            if name in masks:
                answers = [fit_positions(each, masks[name].shape[1]) for each in answers]
            outputs[name] = self._mix(name, head.meaning, answers)
        return Signals(outputs, masks=masks)

    def _mix(self, name: str, meaning: str, answers: list[Tensor]) -> Tensor:
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
        if meaning == "labels":
            return self._log_mean(answers, _log_sigmoid) - self._log_mean(answers, _log_sigmoid_of_minus)
        return self._log_mean(answers, _log_softmax)

    def _log_mean(self, answers: list[Tensor], log_probability: Callable[[Tensor], Tensor]) -> Tensor:
        """Log of the weighted mean of probabilities, without leaving log space."""
        import torch

        parts = [
            log_probability(answer) + math.log(weight) for answer, weight in zip(answers, self.weights, strict=True)
        ]
        return torch.stack(parts).logsumexp(dim=0)


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


def check_weights(weights: Sequence[float], sources: int) -> None:
    """Refuse weights that make no mean; raises ConfigError."""
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


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1)


def _log_sigmoid(logits: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.logsigmoid(logits)


def _log_sigmoid_of_minus(logits: Tensor) -> Tensor:
    return _log_sigmoid(-logits)
