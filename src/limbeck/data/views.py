"""Augmentation as a pure function of (seed, row key, view): teacher and student see the same view, no pixel is stored.

View 0 is the row itself. A text such as "shift(2) + flip" composes built-in views: for images shift, flip, crop,
noise and cutout; for arrays and tables noise and swap. A callable (row, generator) -> row of the user's own gets a
generator that is seeded by the same counter, and its replay is verified on a sample before anything is labelled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.core.specs import fingerprint as hash_of
from limbeck.data.counter import row_words, uniforms
from limbeck.data.frames import is_numeric
from limbeck.data.rows import Array, Inputs, Rows, take_inputs

_SAMPLE = 16
_PARTNERS = 20_000  # rows from which swap draws its partners, kept as they were when the view was made


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
    "image": {"shift": 2, "flip": 0.5, "crop": 0.8, "noise": 0.05, "cutout": 0.3},
    "array": {"noise": 0.1, "swap": 0.1},
    "table": {"noise": 0.1, "swap": 0.1},
}


class Views:
    """Built-in augmentations one after the other."""

    def __init__(self, steps: tuple[Step, ...], kind: str, seed: int, train: Rows) -> None:
        self.steps, self.kind, self.seed = steps, kind, seed
        self._partners: Inputs | None = None
        self._scale: Any = None
        names = {step.name for step in steps}
        if "swap" in names:
            self._partners = take_inputs(train.inputs, np.arange(min(len(train), _PARTNERS)))
        if "noise" in names and kind != "image":
            self._scale = _spread(train.inputs)
        self._partner_keys = train.keys[:_PARTNERS] if self._partners is not None else train.keys[:0]

    @property
    def fingerprint(self) -> str:
        """A hash of steps, seed and the frozen partners."""
        scale = None if self._scale is None else np.asarray(list(dict(self._scale).values())).tolist()
        return hash_of([[str(step) for step in self.steps], self.kind, self.seed, self._partner_keys.tolist(), scale])

    def describe(self) -> str:
        """The text that makes it."""
        return " + ".join(str(step) for step in self.steps)

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Augment; rows under view 0 stay as they are."""
        views = np.asarray(views)
        changed = np.flatnonzero(views > 0)
        if not len(changed):
            return inputs
        part: Any = take_inputs(inputs, changed)
        for channel, step in enumerate(self.steps):
            words = row_words(self.seed, keys[changed], views[changed], channel)
            part = _STEPS[step.name](self, part, words, step.strength)
        if isinstance(inputs, pd.DataFrame):
            frame: pd.DataFrame = inputs.reset_index(drop=True).astype({n: part[n].dtype for n in inputs.columns})
            frame.iloc[changed] = part
            return frame
        whole = np.array(inputs, dtype=part.dtype if inputs.dtype != np.uint8 else inputs.dtype)
        whole[changed] = part
        return whole


def _spread(inputs: Inputs) -> dict[Any, float]:
    if isinstance(inputs, pd.DataFrame):
        return {n: float(inputs[n].std() or 0.0) for n in inputs.columns if is_numeric(inputs[n])}
    flat = np.nanstd(np.asarray(inputs, dtype=np.float64), axis=0)
    return dict(enumerate(flat.reshape(-1).tolist()))


def _normal(words: Array, count: int) -> Array:
    u = uniforms(words, 2 * count)
    return np.asarray(np.sqrt(-2 * np.log1p(-u[:, :count])) * np.cos(2 * np.pi * u[:, count:]))


def _shift(_: Views, images: Array, words: Array, most: float) -> Array:
    size = int(most)
    moves = np.floor(uniforms(words, 2) * (2 * size + 1)).astype(int) - size
    out = np.zeros_like(images)
    height, width = images.shape[1:3]
    for i, (down, right) in enumerate(moves):
        rows, cols = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        from_rows, from_cols = (
            slice(max(-down, 0), height + min(-down, 0)),
            slice(max(-right, 0), width + min(-right, 0)),
        )
        out[i, rows, cols] = images[i, from_rows, from_cols]
    return out


def _flip(_: Views, images: Array, words: Array, chance: float) -> Array:
    out = images.copy()
    flipped = uniforms(words, 1)[:, 0] < chance
    out[flipped] = images[flipped][:, :, ::-1]
    return out


def _crop(_: Views, images: Array, words: Array, least: float) -> Array:
    u = uniforms(words, 3)
    out = np.empty_like(images)
    height, width = images.shape[1:3]
    for i, (a, b, c) in enumerate(u):
        side = least + (1 - least) * a
        rows, cols = max(1, round(side * height)), max(1, round(side * width))
        top, left = int(b * (height - rows + 1)), int(c * (width - cols + 1))
        y = top + (np.arange(height) * rows) // height
        x = left + (np.arange(width) * cols) // width
        out[i] = images[i][y][:, x]
    return out


def _cutout(_: Views, images: Array, words: Array, share: float) -> Array:
    out = images.copy()
    height, width = images.shape[1:3]
    rows, cols = max(1, round(share * height)), max(1, round(share * width))
    for i, (a, b) in enumerate(uniforms(words, 2)):
        top, left = int(a * (height - rows + 1)), int(b * (width - cols + 1))
        out[i, top : top + rows, left : left + cols] = 0
    return out


def _noise(view: Views, inputs: Any, words: Array, strength: float) -> Any:
    if view.kind == "image":
        span = 255.0 if inputs.dtype == np.uint8 else 1.0
        noisy = inputs + strength * span * _normal(words, int(np.prod(inputs.shape[1:]))).reshape(inputs.shape)
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8) if span == 255.0 else noisy.astype(inputs.dtype)
    if isinstance(inputs, pd.DataFrame):
        out = inputs.copy()
        draws = _normal(words, max(len(view._scale), 1))
        for place, (name, spread) in enumerate(view._scale.items()):
            out[name] = out[name].astype(np.float64) + strength * spread * draws[:, place]
        return out
    spread = np.asarray(list(view._scale.values())).reshape(inputs.shape[1:])
    draws = _normal(words, int(np.prod(inputs.shape[1:]))).reshape(inputs.shape)
    return (inputs + strength * spread * draws).astype(np.float32)


def _swap(view: Views, inputs: Any, words: Array, chance: float) -> Any:
    columns = inputs.shape[1]
    u = uniforms(words, columns + 1)
    assert view._partners is not None
    partner = np.minimum((u[:, -1] * len(view._partners)).astype(np.int64), len(view._partners) - 1)
    swapped = u[:, :columns] < chance
    others = take_inputs(view._partners, partner)
    if not isinstance(inputs, pd.DataFrame):
        return np.where(swapped, others, inputs)
    out = inputs.copy()
    for place, name in enumerate(inputs.columns):
        out[name] = inputs[name].where(~swapped[:, place], others[name])
    return out


_STEPS: Mapping[str, Callable[[Views, Any, Array, float], Any]] = {
    "shift": _shift, "flip": _flip, "crop": _crop, "cutout": _cutout, "noise": _noise, "swap": _swap,
}  # fmt: skip


class OwnView:
    """A user's augmentation: (row, numpy Generator) -> row of the same shape."""

    def __init__(self, function: Callable[[Any, np.random.Generator], Any], seed: int) -> None:
        self.function, self.seed = function, seed

    @property
    def fingerprint(self) -> str:
        """A hash of the function's code, constants and closure, and the seed."""
        return hash_of([_code_of(self.function), self.seed])

    def describe(self) -> str:
        """Its name."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def __call__(self, inputs: Any, keys: Array, views: Array) -> Any:
        """Augment row by row; rows under view 0 stay as they are."""
        words = row_words(self.seed, keys, np.asarray(views), 0)
        table = isinstance(inputs, pd.DataFrame)
        rows = [inputs.iloc[i] if table else np.array(inputs[i]) for i in range(len(inputs))]
        made = [
            self.function(row, np.random.Generator(np.random.Philox(key=int(word)))) if view > 0 else row
            for row, word, view in zip(rows, words, views, strict=True)
        ]
        return pd.DataFrame(made).reset_index(drop=True)[list(inputs.columns)] if table else np.stack(made)


def _code_of(function: Any) -> list[str]:
    code = getattr(function, "__code__", None)
    if code is None:
        return [repr(sorted(vars(function).items())) if hasattr(function, "__dict__") else repr(type(function))]
    cells = [repr(cell.cell_contents) for cell in function.__closure__ or ()]
    return [
        code.co_code.hex(),
        repr([c for c in code.co_consts if not hasattr(c, "co_code")]),
        repr(code.co_names),
        *cells,
    ]


def view_of(given: Any, kind: str, seed: int, train: Rows) -> View | None:
    """A view from a text, a callable or a View.

    Raises ConfigError for unknown names and for callables that do not repeat.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return Views(parse(given, kind), kind, seed, train)
    if isinstance(given, Views | OwnView) or (hasattr(given, "fingerprint") and callable(given)):
        made: View = given
        return made
    if not callable(given):
        raise ConfigError(
            f"expected a view as text or as a function (row, generator) -> row, got {type(given).__name__}",
            "for example view='shift(2) + flip'",
        )
    own = OwnView(given, seed)
    verify_replay(own, train)
    return own


def parse(text: str, kind: str) -> tuple[Step, ...]:
    """Steps of a text such as "shift(2) + flip"; parsed, never evaluated."""
    known = _DEFAULTS[kind]
    steps = []
    for part in (piece.strip() for piece in text.split("+")):
        name, _, rest = part.partition("(")
        name = name.strip()
        if name not in known:
            raise ConfigError(
                f"expected a view of {kind} rows, got '{name}'", suggest(name, known) or f"known: {', '.join(known)}"
            )
        try:
            strength = float(ast.literal_eval(rest.rstrip(")").strip())) if rest else known[name]
        except (ValueError, SyntaxError, TypeError) as e:
            raise ConfigError(f"expected one number in {part}", f"for example {name}({known[name]:g})") from e
        steps.append(Step(name, strength))
    return tuple(steps)


def verify_replay(view: View, rows: Rows) -> None:
    """Refuse a callable that gives another row the second time; raises ConfigError naming the row."""
    count = min(len(rows), _SAMPLE)
    part = rows.take(np.arange(count))
    views = np.ones(count, dtype=np.int64)
    first = view(part.inputs, part.keys, views)
    order = np.arange(count)[::-1]
    second = view(take_inputs(part.inputs, order), part.keys[order], views)
    for i in range(count):
        j = count - 1 - i
        same = first.iloc[i].equals(second.iloc[j]) if isinstance(first, pd.DataFrame) else _equal(first[i], second[j])
        if not same:
            raise ConfigError(
                f"expected the view {view.describe()} to give the same row from the same generator, row {i} differs",
                "draw from the generator that it is given only, and keep no state between calls",
            )


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"))
