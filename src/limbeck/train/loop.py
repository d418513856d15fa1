"""The one loop: distilled arm and control, one process and many, cut batches and whole ones.

    for step in range(steps):
        batches of the step -> the teacher's answers -> sums and counts -> backward -> one optimiser step

A loss is divided by the count over everything that belongs to the step, so that micro-batches and ranks change
nothing. Schedules and orders are functions of the step; what else a training consists of stands in a checkpoint,
and a training that goes on from one ends with the same weights, bit for bit, as one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.core.errors import LimbeckError
from limbeck.core.runtime import choose_device, choose_precision, derive_seed, seeded
from limbeck.core.specs import to_plain
from limbeck.models.fingerprint import object_hash, state_hash
from limbeck.signals import TeacherSource
from limbeck.train import checkpoint
from limbeck.train.feed import Feed
from limbeck.train.guard import diverged, refuse_shared, teacher_modules, weights_finite
from limbeck.train.plan import TrainSpec
from limbeck.train.ranks import Ranks
from limbeck.train.state import State, copied, pack, unpack
from limbeck.train.steps import Learner, check_plan, check_source
from limbeck.train.update import Updater

Validate: TypeAlias = Callable[[nn.Module], float]  # a score, higher is better; the module is in eval mode
Events: TypeAlias = Callable[[str, float, int], None]  # name, value, step
Say: TypeAlias = Callable[[str], None]

_PROGRESS_SECONDS = 0.2
_CHECKPOINT_SECONDS = 30.0  # where the plan gives no number of steps
# settings that may change between a kill and the resumption without changing the result
_FREE = ("checkpoint_every", "skip_at_most")


@dataclass(frozen=True)
class Progress:
    """Where a training stands; `seconds_left` is None until there is something to judge by."""

    step: int
    steps: int
    loss: float
    score: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Fitted:
    """A finished training; the learner holds the best state.

    `history` has one entry for each logged step: step, loss (mean since the last entry), learning_rate, one entry
    for each term, and score where it was validated. `seconds` counts all pieces of an interrupted training.
    """

    best_state: dict[str, Tensor]
    history: list[dict[str, float]]
    steps: int
    planned: int
    seconds: float
    best_step: int
    best_score: float | None
    skipped: int = 0
    resumed_at: int | None = None

    @property
    def stopped_early(self) -> bool:
        """Whether patience ended the training."""
        return self.steps < self.planned

    @property
    def late_gain(self) -> float | None:
        """How far the best validation score of the last fifth lies above the best one before; None without scores."""
        scores = [(entry["step"], entry["score"]) for entry in self.history if "score" in entry]
        late = [score for step, score in scores if step > 0.8 * self.steps]
        before = [score for step, score in scores if step <= 0.8 * self.steps]
        return max(late) - max(before) if late and before else None


def fit(
    learner: Learner,
    source: TeacherSource | None,
    feed: Feed,
    spec: TrainSpec,
    *,
    validate: Validate | None = None,
    folder: Path | str | None = None,
    seed: int = 0,
    steps: int | None = None,
    identity: Mapping[str, str] | None = None,
    events: Events | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Say | None = None,
) -> Fitted:
    """Train a learner and leave it with its best state (by `validate`; without it, its last).

    `source` answers for the teacher; None for a control. `steps` overrides the plan, so that two arms can share a
    number. With `folder` checkpoints are written there and a training that stands there goes on; `identity` names
    what it must not differ in, beside plan, seed, objective, data and student. `say` gets sentences for people.

    Raises ConfigError, MissingSignal (before the first step), StoreMismatch (a checkpoint of another training),
    LimbeckError (a loss that stays not finite; a teacher that was changed).
    """
    ranks = Ranks.current()
    check_source(learner.objective, source)
    check_plan(learner.objective, spec.accumulate, ranks, [stream.size for stream in feed.streams])
    watched = teacher_modules(source)
    refuse_shared(learner, watched)
    before = [state_hash(module) for module in watched]
    total = steps if steps is not None else int(spec.total_steps(feed.labelled).value)
    talk = say if say is not None and ranks.first else (lambda _text: None)
    with seeded(derive_seed("train", seed, ranks.rank)):
        run = _Run(learner, source, feed, spec, total, ranks, validate, events, progress, talk)
        run.files(Path(folder) if folder is not None else None, seed, dict(identity or {}))
        fitted = run.run()
    if [state_hash(module) for module in watched] != before:
        raise LimbeckError(
            "expected the teacher to be the same after the training, its weights or buffers have changed",
            "do not train the teacher, or modules that it shares, while a student learns from it",
        )
    return fitted


class _Run:
    """One training in progress."""

    def __init__(
        self,
        learner: Learner,
        source: TeacherSource | None,
        feed: Feed,
        spec: TrainSpec,
        steps: int,
        ranks: Ranks,
        validate: Validate | None,
        events: Events | None,
        progress: Callable[[Progress], None] | None,
        say: Say,
    ) -> None:
        self.device = torch.device(choose_device(spec.device).value)
        self.learner = learner.to(self.device)
        self.learner.precision = choose_precision(spec.precision, str(self.device)).value
        self.deployed = learner.deployed()
        if self.device.type != "cpu":
            feed = feed.to(self.device)
        self.feed, self.spec, self.steps, self.ranks = feed, spec, steps, ranks
        self.validate, self.events, self.progress, self.say = validate, events, progress, say
        self.update = Updater(learner, source, feed, spec, steps, ranks, self.device)
        self.state = State()
        self.best: dict[str, Tensor] | None = None
        self.folder: Path | None = None
        self.identity: dict[str, Any] = {}
        self.resumed_at: int | None = None

    # ------------------------------------------------------------------------------------- the way through

    def run(self) -> Fitted:
        """Train to the end, from a checkpoint where there is one."""
        self.resume()
        state, steps = self.state, self.steps
        log_every, validate_every = self.spec.log_every(steps), self.spec.moments(steps)
        started = shown = time.monotonic()
        self.saved, self.earlier, self.started, first = started, state.seconds, started, state.step
        self.learner.train()
        while state.step < steps and not state.stopped:
            self.step()
            state.step += 1
            now = time.monotonic()
            validating = state.step % validate_every == 0 or state.step == steps
            if validating:
                self.validated()
            elif state.step % log_every == 0:
                self.log(None)
            if self.progress is not None and (now - shown > _PROGRESS_SECONDS or state.step == steps):
                shown = now
                self.show((now - started) / (state.step - first))
            if self.folder is not None and self.due(now, validating):
                self.save()
        state.seconds = self.earlier + time.monotonic() - started
        return self.finished()

    def step(self) -> None:
        """One step; one whose loss is not finite is left out, too many of them end the training."""
        state, update = self.state, self.update
        value = update.step(state.step)
        if value == value:  # not NaN
            state.loss_sum += value
            state.loss_count += 1
            return
        state.skipped += 1
        if state.skipped > self.spec.skip_at_most or not weights_finite(self.learner):
            raise diverged(update.fault, state.skipped, self.learner, self.learner.precision)
        self.say(f"{update.fault}; the step was skipped")
        self.emit("skipped", float(state.skipped))

    # --------------------------------------------------------------------------------- validation and talk

    def validated(self) -> None:
        """Score the student on validation data, keep the best state, and see whether patience has run out."""
        state, score = self.state, None
        if self.validate is not None:
            self.deployed.eval()
            with torch.no_grad():
                score = float(self.validate(self.deployed))
            self.learner.train()  # a student that stayed in eval mode would go on without dropout and with frozen norms
            if self.ranks.several:  # every rank decides alike
                score = float(self.ranks.gather(torch.tensor([score], dtype=torch.float64))[0])
            score = score if math.isfinite(score) else None
            better = score is not None and (state.best_score is None or score > state.best_score)
            state.waited = 0 if better else state.waited + 1
            # of equal scores the later one: small validation sets tie often, and the rate has come down since
            if better or (score is not None and score == state.best_score):
                state.best_score, state.best_step = score, state.step
                self.best = copied(self.learner)
            if self.spec.patience is not None and state.waited >= self.spec.patience:
                state.stopped = True
        self.log(score)

    def log(self, score: float | None) -> None:
        """Add a point to the history and to the events."""
        state = self.state
        entry: dict[str, float] = {"step": state.step}
        if state.loss_count:
            entry["loss"] = state.loss_sum / state.loss_count
        for label, (total, count) in zip(self.learner.labels, self.update.parts, strict=False):
            over = float(count)
            entry[label] = float(total.detach()) / over if over > 0 else 0.0
        entry["learning_rate"] = self.update.rate(state.step - 1)
        if score is not None:
            entry["score"] = score
        state.loss_sum, state.loss_count = 0.0, 0
        state.history.append(entry)
        for name, value in entry.items():
            if name != "step":
                self.emit(name, value)

    def emit(self, name: str, value: float) -> None:
        if self.events is not None and self.ranks.first:
            self.events(name, value, self.state.step)

    def show(self, seconds_a_step: float) -> None:
        state = self.state
        loss = state.loss_sum / state.loss_count if state.loss_count else state.history[-1].get("loss", math.nan)
        left = seconds_a_step * (self.steps - state.step)
        if self.progress is not None and self.ranks.first:
            self.progress(Progress(state.step, self.steps, loss, state.best_score, left))

    def finished(self) -> Fitted:
        """Put the best state into the learner and say what came out."""
        state = self.state
        if self.best is not None:
            self.learner.load_state_dict(self.best)
        elif not weights_finite(self.learner):
            raise diverged("the training ended with weights that are not finite", state.skipped, self.learner, "fp32")
        self.learner.eval()
        best = self.best if self.best is not None else copied(self.learner)
        best_step = state.best_step if state.best_step >= 0 else state.step
        return Fitted(
            best, state.history, state.step, self.steps, state.seconds, best_step, state.best_score, state.skipped,
            self.resumed_at,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------ checkpoints

    def files(self, folder: Path | None, seed: int, identity: Mapping[str, str]) -> None:
        """Say where checkpoints go and what they belong to."""
        self.folder = folder
        if folder is None:
            return
        plan = {name: value for name, value in to_plain(self.spec).items() if name not in _FREE}
        self.identity = {
            **identity,
            "plan": object_hash(plan),
            "seed": seed,
            "steps": self.steps,
            "objective": object_hash(
                [(repr(t.weight), t.objective.name, fields_of(t.objective)) for t in self.update.terms]
            ),
            "data": self.feed.fingerprint,
            "student": state_hash(self.learner),
            "ranks": self.ranks.size,
            "device": self.device.type,
        }

    def due(self, now: float, validating: bool) -> bool:
        """Whether a checkpoint is due; clocks of ranks differ, so there the first one decides, at validations."""
        state, every = self.state, self.spec.checkpoint_every
        if state.step == self.steps or state.stopped:
            return True
        if isinstance(every, int):
            return state.step % every == 0
        late = now - self.saved > _CHECKPOINT_SECONDS
        if self.ranks.several:
            return validating and bool(self.ranks.gather(torch.tensor([int(late)]))[0])
        return late

    def save(self) -> None:
        """Write a checkpoint of everything."""
        assert self.folder is not None
        self.state.seconds = self.earlier + time.monotonic() - self.started
        snapshot = pack(self.state, self.learner, self.best, self.update.optimizer, self.ranks)
        if self.ranks.first:
            checkpoint.write(self.folder, snapshot, self.identity)
        self.ranks.wait()
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole."""
        if self.folder is None:
            return
        found = checkpoint.newest(self.folder, self.identity, self.say)
        self.ranks.wait()
        if found is not None:
            self.state, self.best = unpack(found, self.learner, self.update.optimizer, self.ranks)
            self.resumed_at = found.step
            self.say(f"training goes on at step {found.step} of {self.steps}")


def fields_of(value: Any) -> dict[str, Any]:
    """The settings of an objective by name."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
