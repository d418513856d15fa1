"""One optimiser step: micro-batches, the division by the global count, clipping, and losses that are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

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
        self.parts: Sequence[Part] = ()
        self.fault = ""

    def step(self, step: int) -> float:
        """One optimiser step over all its micro-batches; the loss over all of it, NaN where there is a fault."""
        pieces = self.pieces(step)
        if self._moving:
            self._weights = [term.weight_at(step / self.steps) for term in self.terms]
        weights = self._weights
        counts = self.counted(pieces) if len(pieces) > 1 else None
        value = 0.0
        for number, (batch, teacher, rows) in enumerate(pieces):
            last = number == len(pieces) - 1
            with nullcontext() if last or not self.ranks.several else self.model.no_sync():  # type: ignore[operator]
                parts: Sequence[Part] = self.model(batch, teacher)
                loss, part = self.combined(parts, weights, counts)
                value += part
                if not math.isfinite(part):
                    return self.failed(step, parts, batch, teacher, rows)
                loss.backward()  # type: ignore[no-untyped-call]
        if self.spec.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.trained, self.spec.clip, foreach=True)
            if not math.isfinite(float(norm)):
                return self.failed(step, parts, *pieces[-1])
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.parts = parts
        return value

    def failed(self, step: int, parts: Sequence[Part], batch: Batch, teacher: Signals | None, rows: Array) -> float:
        """Drop the gradients of a step and say what was wrong with it."""
        self.optimizer.zero_grad(set_to_none=True)
        self.parts = ()
        self.fault = describe_fault(self.learner, step, parts, batch, teacher, rows)
        return math.nan

    def pieces(self, step: int) -> list[Piece]:
        """This rank's micro-batches of a step with the teacher's answers and the table rows."""
        parts = self.spec.accumulate * self.ranks.size
        found = []
        for micro in range(self.spec.accumulate):
            part = micro * self.ranks.size + self.ranks.rank
            rows, epochs = self.feed.rows_of(step, part, parts)
            batch = self.feed.take(rows, epochs % self.feed.views if self.feed.views else None)
            batch, teacher = self.learner.prepare(batch, self.source)
            if teacher is not None and self.device.type != "cpu":
                teacher = to_device(teacher, self.device)
            found.append((batch, teacher, rows))
        return found

    def counted(self, pieces: Sequence[Piece]) -> list[float]:
        """The count of every term over all micro-batches and ranks, before the student has run."""
        totals = [
            float(sum(float(term.objective.count(teacher, batch)) for batch, teacher, _ in pieces))
            for term in self.terms
        ]
        return self.ranks.sum(torch.tensor(totals, dtype=torch.float64)).tolist() if self.ranks.several else totals

    def combined(
        self, parts: Sequence[Part], weights: Sequence[float], counts: Sequence[float] | None
    ) -> tuple[Tensor, float]:
        """The loss to differentiate on this rank and its value over all ranks."""
        if self.ranks.several:
            return self.over_ranks(parts, weights, counts)
        loss: Tensor | None = None
        for number, ((total, count), weight) in enumerate(zip(parts, weights, strict=True)):
            over = counts[number] if counts is not None else float(count)
            share = total * (weight / over if over > 0 else 0.0)
            loss = share if loss is None else loss + share
        assert loss is not None
        return loss, loss.item()

    def over_ranks(
        self, parts: Sequence[Part], weights: Sequence[float], counts: Sequence[float] | None
    ) -> tuple[Tensor, float]:
        """As `combined`, with counts over all ranks; DDP averages gradients, hence the factor `size`."""
        whole = [term.objective.batchwise for term in self.terms]  # these see the rows of all ranks already
        size = self.ranks.size
        mine = torch.tensor(
            [[float(total.detach()) / (size if w else 1), float(count) / (size if w else 1)]
             for (total, count), w in zip(parts, whole, strict=True)],
            dtype=torch.float64, device=self.device,
        )  # fmt: skip
        sums = self.ranks.sum(mine).tolist()
        loss, value = torch.zeros((), device=self.device), 0.0
        for number, ((total, _), weight) in enumerate(zip(parts, weights, strict=True)):
            over = counts[number] if counts is not None else sums[number][1]
            factor = weight / over if over > 0 else 0.0
            loss = loss + total * (factor if whole[number] else factor * size)
            value += sums[number][0] * factor
        return loss, value
