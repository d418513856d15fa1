"""The plan of a training: every setting of the loop with its default, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from limbeck.core.errors import Problem
from limbeck.core.runtime import Choice
from limbeck.core.specs import at_least, refuse

_AUTO_EPOCHS = 40
_AUTO_LEAST, _AUTO_MOST = 2_000, 20_000
_POINTS = 20  # validations and log points of a run

FINE_TUNING_RATE = 1e-4  # of models of transformers: 2e-3 would undo what they know
_LEARNING_RATES = {"adamw": 2e-3, "adam": 2e-3, "radam": 2e-3, "sgd": 0.05}


@dataclass(frozen=True)
class TrainSpec:
    """How every arm of a run is trained; the same for the student and its control.

    steps             optimiser steps; "auto": 40 passes over the labelled rows, at least 2,000 and at most 20,000
    epochs            passes over the labelled rows instead of steps
    batch_size        labelled rows of one optimiser step, over all micro-batches and ranks
    unlabeled_batch   unlabelled rows added to each step of an arm that sees them; None: as many as labelled ones
    optimizer         adamw, adam, sgd or radam
    learning_rate     highest learning rate; "auto": 2e-3 (sgd: 0.05), 1e-4 for a pretrained model of transformers
    weight_decay      decoupled decay of adamw, L2 of the others; on weight matrices only, not on biases and norms
    momentum          of sgd
    schedule          cosine, linear, step (a tenth after 50 % and 75 %), onecycle or constant
    warmup            fraction of the steps in which the learning rate rises (onecycle: at least 0.3)
    accumulate        number of micro-batches that a step is cut into: less memory, the same result
    clip              highest norm of the gradient; None: no clipping
    precision         fp32 or bf16 (autocast in the forward pass, weights stay fp32)
    patience          validations without a better score before a teacher's training stops early; None: never.
                      Student and control always take the same steps, and each keeps its best state
    validate_every    steps between validations; "auto": 20 in a run; the last step is always validated
    checkpoint_every  steps between checkpoints; "auto": every 30 seconds
    skip_at_most      steps with a loss that is not finite that are skipped before training stops with an error
    device            auto, cpu, cuda, cuda:1, ...
    """

    shorthand: ClassVar[str] = "steps"

    steps: int | Literal["auto"] = "auto"
    epochs: float | None = None
    batch_size: int = 128
    unlabeled_batch: int | None = None
    optimizer: Literal["adamw", "adam", "sgd", "radam"] = "adamw"
    learning_rate: float | Literal["auto"] = "auto"
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: Literal["cosine", "linear", "step", "onecycle", "constant"] = "cosine"
    warmup: float = 0.05
    accumulate: int = 1
    clip: float | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    patience: int | None = None
    validate_every: int | Literal["auto"] = "auto"
    checkpoint_every: int | Literal["auto"] = "auto"
    skip_at_most: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        whole = ("steps", "batch_size", "accumulate", "patience", "validate_every", "checkpoint_every")
        at_least(problems, self, 1, *whole)
        at_least(problems, self, 0, "unlabeled_batch", "weight_decay", "momentum", "warmup", "skip_at_most")
        at_least(problems, self, 0, "epochs", "learning_rate", "clip", above=True)
        for name in ("learning_rate", "weight_decay", "clip", "epochs"):
            value = getattr(self, name)
            if isinstance(value, float) and math.isinf(value):
                problems.append(Problem(name, f"expected a finite number, got {value!r}"))
        if self.steps != "auto" and self.epochs is not None:
            problems.append(Problem("epochs", "expected steps or epochs, got both", "leave one of them out"))
        for name in ("momentum", "warmup"):
            if getattr(self, name) >= 1:
                problems.append(Problem(name, f"expected a number below 1, got {getattr(self, name)!r}"))
        if self.accumulate > self.batch_size >= 1:
            what = f"expected at most batch_size ({self.batch_size}) micro-batches, got {self.accumulate}"
            problems.append(Problem("accumulate", what, "a micro-batch needs at least one row"))
        problems += [
            Problem(name, f"expected one of {', '.join(known)}, got {getattr(self, name)!r}")
            for name, known in _CHOICES.items()
            if getattr(self, name) not in known
        ]
        refuse(problems, "the training plan")

    def total_steps(self, labelled_rows: int) -> Choice:
        """Number of optimiser steps for so many labelled rows, with the reason."""
        if isinstance(self.steps, int):
            return Choice(self.steps, "asked for")
        per_epoch = max(labelled_rows, 1) / self.batch_size
        if self.epochs is not None:
            return Choice(max(math.ceil(self.epochs * per_epoch), 1), f"{self.epochs:g} passes over the labelled rows")
        wanted = math.ceil(_AUTO_EPOCHS * per_epoch)
        steps = min(max(wanted, _AUTO_LEAST), _AUTO_MOST)
        if steps == wanted:
            return Choice(steps, f"{_AUTO_EPOCHS} passes over {labelled_rows} labelled rows")
        word = "at least" if steps > wanted else "at most"
        return Choice(steps, f"{_AUTO_EPOCHS} passes would be {wanted} steps; {word} {steps}")

    def rate(self) -> float:
        """The highest learning rate."""
        if self.learning_rate == "auto":
            return _LEARNING_RATES[self.optimizer]
        return float(self.learning_rate)

    def moments(self, steps: int) -> int:
        """Steps between two validations."""
        return self.validate_every if isinstance(self.validate_every, int) else max(steps // _POINTS, 1)

    def log_every(self, steps: int) -> int:
        """Steps between two points of the history."""
        return max(steps // _POINTS, 1)


_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adamw", "adam", "sgd", "radam"),
    "schedule": ("cosine", "linear", "step", "onecycle", "constant"),
    "precision": ("fp32", "bf16"),
}
