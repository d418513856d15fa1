"""Augmentation as a pure function of (seed, row key, view): teacher and student see the same view, no pixel is stored.

View 0 is the row itself. A text such as "shift(2) + flip" composes built-in views: for images shift, flip, flip_ud,
rot90, crop, noise and cutout; for arrays and tables noise and swap; for texts drop and replace, which change words; for
clips noise (its SNR in dB), gain (dB), shift (ms), and time_mask and freq_mask (shares of a clip and of its band). A
callable (row, generator) -> row of the user's own gets a generator that is seeded by the same counter, and its replay
is verified on a sample before anything is labelled.

A view keeps the dtype and the shape of its rows: whole numbers move by whole steps, true and false and the categories
of a table keep valid values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.core.specs import fingerprint as hash_of
from limbeck.data.augment import MOVING, STEPS, Frozen, spread_of, widened
from limbeck.data.counter import row_words
from limbeck.data.own_view import OwnView, verify_replay
from limbeck.data.ragged import is_ragged
from limbeck.data.rows import Array, Rows, row_shape, take_inputs

_PARTNERS = 20_000  # rows from which swap draws its partners, kept as they were when the view was made
_STEP = re.compile(r"(?P<name>\w+)\s*(\((?P<strength>[^()]*)\))?")


class View(Protocol):
    """Augments raw rows."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides its result."""
        ...

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Rows [B, ...] with keys [B, 2] under views [B]."""
        ...

    def describe(self) -> str:
        """The view in words."""
        ...


@dataclass(frozen=True)
class Step:
    """One built-in augmentation with its strength."""

    name: str
    strength: float

    def __str__(self) -> str:
        return f"{self.name}({self.strength:g})"


_DEFAULTS: dict[str, dict[str, float]] = {
    "image": {"shift": 2, "flip": 0.5, "flip_ud": 0.5, "rot90": 0.75, "crop": 0.8, "noise": 0.05, "cutout": 0.3},
    "array": {"noise": 0.1, "swap": 0.1},
    "table": {"noise": 0.1, "swap": 0.1},
    "text": {"drop": 0.1, "replace": 0.1},
    "audio": {"noise": 20, "gain": 6, "shift": 50, "time_mask": 0.1, "freq_mask": 0.1},
}
_FREE = ("shift", "noise", "gain")  # strengths that are no shares


class Views:
    """Built-in augmentations one after the other."""

    def __init__(self, steps: tuple[Step, ...], kind: str, seed: int, train: Rows) -> None:
        if steps and kind == "array" and is_ragged(train.inputs):
            raise ConfigError(
                f"expected no built-in augmentation of series of different lengths, got {', '.join(map(str, steps))}",
                "leave view out, or give a function of your own",
            )
        self.steps, self.kind, self.seed = steps, kind, seed
        names = {step.name for step in steps}
        count = min(len(train), _PARTNERS) if names & {"swap", "replace"} else 0
        self._frozen = Frozen(
            kind,
            take_inputs(train.inputs, np.arange(count)) if count else None,
            spread_of(train.inputs) if "noise" in names and kind not in ("image", "audio") else {},
            train.rate,
        )
        self._partner_keys = train.keys[:count]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of steps, seed and the frozen partners and spreads."""
        spread = [[str(name), value] for name, value in self._frozen.spread.items()]
        return hash_of([[str(step) for step in self.steps], self.kind, self.seed, self._partner_keys.tolist(), spread])

    def moved(self, masks: Array, keys: Array, views: Array, fill: int) -> Array:
        """Masks [B, H, W] of integers moved as the images with these keys; `fill` where nothing was before."""
        changed = np.flatnonzero(np.asarray(views) > 0)
        if not len(changed):
            return masks
        part = masks[changed] - fill  # steps fill with 0
        for channel, step in enumerate(self.steps):
            if step.name in MOVING:
                words = row_words(self.seed, keys[changed], np.asarray(views)[changed], channel)
                part = STEPS["image"][step.name](self._frozen, part, words, step.strength)
        return np.asarray(put_back(masks, part + fill, changed))

    def describe(self) -> str:
        """The text that makes it."""
        return " + ".join(str(step) for step in self.steps)

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Augment; rows under view 0 stay as they are."""
        views = np.asarray(views)
        inputs = widened(inputs, self._frozen.partners)
        changed = np.flatnonzero(views > 0)
        if not len(changed):
            return inputs
        part: Any = take_inputs(inputs, changed)
        for channel, step in enumerate(self.steps):
            words = row_words(self.seed, keys[changed], views[changed], channel)
            part = STEPS[self.kind][step.name](self._frozen, part, words, step.strength)
        return part if len(changed) == len(inputs) else put_back(inputs, part, changed)


def put_back(inputs: Any, part: Any, changed: Array) -> Any:
    """Rows [B] in which those at `changed` are replaced, in the same dtype; a table comes back with a fresh index."""
    if isinstance(inputs, pd.DataFrame):
        # where each row of the result stands in the rows followed by what replaces some of them
        place = np.arange(len(inputs))
        place[changed] = len(inputs) + np.arange(len(changed))
        return pd.concat([inputs, part], ignore_index=True).take(place).reset_index(drop=True)
    whole = np.array(inputs)
    whole[changed] = part
    return whole


def view_of(given: Any, kind: str, seed: int, train: Rows) -> View | None:
    """A view from a text, a callable or a View.

    Raises ConfigError for unknown names and for callables that do not repeat.
    """
    if kind == "parts":
        from limbeck.data.part_views import part_views

        return part_views(given, seed, train)
    if given is None:
        return None
    if isinstance(given, str):
        steps = parse(given, kind)
        if kind == "text":
            _refuse_words(train)
        if kind == "image":
            _refuse_far(steps, train)
            _refuse_turns(steps, train)
        return Views(steps, kind, seed, train)
    if isinstance(given, Views | OwnView) or (hasattr(given, "fingerprint") and callable(given)):
        made: View = given
        return made
    if not callable(given):
        raise ConfigError(
            f"expected a view as text or as a function (row, generator) -> row, got {type(given).__name__}",
            "for example view='shift(2) + flip'",
        )
    if any(values.dtype == np.int16 for values in train.targets.values()):  # masks: nothing else is kept so
        raise ConfigError(
            "expected a built-in view for images with masks, got a function, which would leave the masks where they "
            "are",
            "for example view='flip + rot90 + shift(4)', which moves both",
        )
    own = OwnView(given, seed)
    verify_replay(own, train)
    return own


def parse(text: str, kind: str) -> tuple[Step, ...]:
    """Steps of a text such as "shift(2) + flip"; parsed, never evaluated."""
    known = _DEFAULTS[kind]
    steps = []
    for part in (piece.strip() for piece in text.split("+")):
        found = _STEP.fullmatch(part)
        name = found["name"] if found else part
        if name not in known:
            raise ConfigError(
                f"expected a view of {kind} rows, got '{name}'", suggest(name, known) or f"known: {', '.join(known)}"
            )
        try:
            strength = float(found["strength"]) if found and (found["strength"] or "").strip() else known[name]
        except ValueError as e:
            raise ConfigError(f"expected one number in {part}", f"for example {name}({known[name]:g})") from e
        most = np.inf if name in _FREE else 1
        if not 0 <= strength <= most or (name == "shift" and strength % 1 != 0) or np.isinf(strength):
            wanted = "a whole number" if name == "shift" else "a number" if most > 1 else "a share from 0 to 1"
            raise ConfigError(f"expected {wanted} in {part}, not below 0", f"for example {name}({known[name]:g})")
        steps.append(Step(name, strength))
    return tuple(steps)


def _refuse_words(train: Rows) -> None:
    """Raise ConfigError for rows of words, whose labels would stand at other words."""
    from limbeck.data.words import is_words

    if is_words(train.inputs):
        raise ConfigError(
            "expected rows of texts for a view that leaves out or replaces words, got rows of words with a label each",
            "leave view out, or give a function (row, generator) -> row that keeps the number of words",
        )


def _refuse_far(steps: tuple[Step, ...], train: Rows) -> None:
    """Raise ConfigError for shifts that move the whole image out."""
    side = min(row_shape(train.inputs)[:2])
    far = next((step for step in steps if step.name == "shift" and step.strength >= side), None)
    if far is not None:
        raise ConfigError(f"expected a shift below the {side} pixels of an image, got {far}", "for example shift(2)")


def _refuse_turns(steps: tuple[Step, ...], train: Rows) -> None:
    """Raise ConfigError for quarter turns of images that are not square, which would have another shape."""
    height, width = row_shape(train.inputs)[:2]
    if height != width and any(step.name == "rot90" for step in steps):
        raise ConfigError(
            f"expected square images for the view rot90, got {height}x{width}",
            "give image_size=(side, side), or use flip and flip_ud",
        )
