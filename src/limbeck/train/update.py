"""One optimiser step: micro-batches, the division by the global count, clipping, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import isfinite, nan

import torch
from torch import Tensor, nn

from limbeck.objectives.base import Ramp
from limbeck.signals import Batch, Signals, TeacherSource
from limbeck.train.feed import Array, Feed
from limbeck.train.guard import describe_fault
from limbeck.train.optim import optimizer_of, schedule_of
from limbeck.train.plan import TrainSpec
from limbeck.train.ranks import Ranks, to_device
from limbeck.train.steps import Learner, Part
from limbeck.train.words import fit_words

Piece = tuple[Batch, Signals | None, Array]  # a micro-batch, the teacher's answers, the rows of the table


class Updater:
    """Moves the weights of a learner, one step at a time.

    After `step` its `parts` are the sums and counts of the last micro-batch, and `fault` says what was wrong where
    the loss was not finite; then nothing was moved.
    """

    def __init__(
        self,
        learner: Learner,
        source: TeacherSource | None,
        feed: Feed,
        spec: TrainSpec,
        steps: int,
        ranks: Ranks,
        device: torch.device,
    ) -> None:
        self.learner, self.source, self.feed, self.spec, self.steps = learner, source, feed, spec, steps
        self.ranks, self.device = ranks, device
        self.optimizer = optimizer_of(learner, spec)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.rate = schedule_of(spec, steps)
        self.model: nn.Module = learner
        if ranks.several:
            self.model = nn.parallel.DistributedDataParallel(learner, find_unused_parameters=True)
        self.terms = list(learner.objective)
        self._weights = [term.weight_at(0.0) for term in self.terms]
        self._moving = any(isinstance(term.weight, Ramp) for term in self.terms)
        bind = None if learner.on_policy or not learner.teaches else getattr(source, "bound_to", None)
        self.bound = None if bind is None else bind(feed.table.keys, feed.views)
        self.parts: Sequence[Part] = ()
        self.fault = ""
        self._scalars: dict[float, Tensor] = {}

    def step(self, step: int) -> float:
        """One optimiser step over all its micro-batches; the loss over all of it, NaN where there is a fault."""
        pieces = self.pieces(step)
        if self._moving:
            self._weights = [term.weight_at(step / self.steps) for term in self.terms]
        counts = self.counted(pieces) if len(pieces) > 1 else None
        value, last = 0.0, len(pieces) - 1
        for number, (batch, teacher, rows) in enumerate(pieces):
            if not self.ranks.several:
                parts: Sequence[Part] = self.learner.forward(batch, teacher)
                part = self.backward(parts, counts)
            else:
                with nullcontext() if number == last else self.model.no_sync():  # type: ignore[operator]
                    parts = self.model(batch, teacher)
                    part = self.backward(parts, counts)
            if not isfinite(part):
                return self.failed(step, parts, batch, teacher, rows)
            value += part
        if self.spec.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.trained, self.spec.clip, foreach=True)
            if not isfinite(norm.item()):
                return self.failed(step, parts, *pieces[-1])
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.forget()
        self.parts = parts
        return value

    def backward(self, parts: Sequence[Part], counts: Sequence[float] | None) -> float:
        """Differentiate the weighted mean of one micro-batch; its value over all ranks.

        Weight over count enters as the gradient of each sum, so that no graph is built for the arithmetic of the
        loss. Nothing is differentiated where the value is not finite.
        """
        factors, value = self.over_ranks(parts, counts) if self.ranks.several else self.here(parts, counts)
        if isfinite(value):
            roots = [total for total, _ in parts]
            grads = [self.scalar(factor, total) for factor, total in zip(factors, roots, strict=True)]
            kept = [n for n, total in enumerate(roots) if total.requires_grad]
            torch.autograd.backward([roots[n] for n in kept], [grads[n] for n in kept])
        return value

    def scalar(self, value: float, like: Tensor) -> Tensor:
        """A factor as a tensor; most steps have the factors of the step before."""
        kept = self._scalars.get(value)
        if kept is None or kept.dtype != like.dtype or kept.device != like.device:
            if len(self._scalars) > 64:
                self._scalars.clear()
            kept = self._scalars[value] = torch.tensor(value, dtype=like.dtype, device=like.device)
        return kept

    def forget(self) -> None:
        """Drop all gradients (as optimizer.zero_grad, without its bookkeeping)."""
        for parameter in self.trained:
            parameter.grad = None

    def failed(self, step: int, parts: Sequence[Part], batch: Batch, teacher: Signals | None, rows: Array) -> float:
        """Drop the gradients of a step and say what was wrong with it."""
        self.forget()
        self.parts = ()
        self.fault = describe_fault(self.learner, step, parts, batch, teacher, rows)
        return nan

    def pieces(self, step: int) -> list[Piece]:
        """This rank's micro-batches of a step with the teacher's answers and the table rows."""
        parts = self.spec.accumulate * self.ranks.size
        found = []
        for micro in range(self.spec.accumulate):
            part = micro * self.ranks.size + self.ranks.rank
            rows, epochs = self.feed.rows_of(step, part, parts)
            views = epochs % self.feed.views if self.feed.views else None
            batch = self.feed.take(rows, views)
            if self.bound is not None:
                teacher = self.bound.at(rows, views)
            else:
                batch, teacher = self.learner.prepare(batch, self.source)
            if teacher is not None and self.device.type != "cpu":
                teacher = to_device(teacher, self.device)
            if self.learner.by_word:
                batch, teacher = fit_words(batch, teacher, self.learner.masks(batch))
            found.append((batch, teacher, rows))
        return found

    def counted(self, pieces: Sequence[Piece]) -> list[float]:
        """The count of every term over all micro-batches and ranks, before the student has run."""
        totals = [
            float(sum(float(term.objective.count(teacher, batch)) for batch, teacher, _ in pieces))
            for term in self.terms
        ]
        return self.ranks.sum(torch.tensor(totals, dtype=torch.float64)).tolist() if self.ranks.several else totals

    def here(self, parts: Sequence[Part], counts: Sequence[float] | None) -> tuple[list[float], float]:
        """Weight over count of every term, and the weighted mean."""
        factors, value = [], 0.0
        for number, (total, count) in enumerate(parts):
            over = counts[number] if counts is not None else count.item()
            factor = self._weights[number] / over if over > 0 else 0.0
            factors.append(factor)
            value += total.item() * factor
        return factors, value

    def over_ranks(self, parts: Sequence[Part], counts: Sequence[float] | None) -> tuple[list[float], float]:
        """As `here`, with sums and counts over all ranks; DDP averages gradients, hence the factor `size`."""
        size = self.ranks.size
        whole = [size if term.objective.batchwise else 1 for term in self.terms]  # these saw all rows already
        mine = [[total.item() / w, count.item() / w] for (total, count), w in zip(parts, whole, strict=True)]
        sums = self.ranks.sum(torch.tensor(mine, dtype=torch.float64, device=self.device)).tolist()
        factors, value = [], 0.0
        for number, (total, count) in enumerate(sums):
            over = counts[number] if counts is not None else count
            factor = self._weights[number] / over if over > 0 else 0.0
            factors.append(factor * size / whole[number])
            value += total * factor
        return factors, value
