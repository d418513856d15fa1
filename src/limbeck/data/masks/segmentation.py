"""Segmentation: one class for every pixel of an image.

    task          targets                                       answers            on disk
    Segmentation  int16 [N, P] class ids, -1 where a pixel has  logits [B, P, C]   logits of each image's pixels
                  no label; P = H·W, row by row

Networks give [B, C, H, W]; behind them its pixels are positions. What is judged, and kept in predictions, is the
class that each pixel was decided for, uint8 [N, P], at the size at which images were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.labels import check_names, is_missing, listed
from limbeck.data.masks.measures import measures_of
from limbeck.data.rows import Array, Rows
from limbeck.data.task import Measure, TaskKind

NO_LABEL, IGNORED = -1, 255
BINARY = (0, 255)  # how pictures of two tones are saved
MOST = 255  # classes, so that decisions fit a byte
_BACKGROUND = ("background", "object")
_MANY = 10  # objects in one image


@dataclass(frozen=True)
class Segmentation(TaskKind):
    """One of C classes for every pixel; `values` are the numbers by which masks name them, in the order of `classes`.

    Pixels of `ignore`, or below 0, have no label: they are no part of the loss on labels and of the metrics. Masks in
    which 0 and 255 are all there is are masks of two classes. `instances` reads masks that number their objects from 1:
    0 is the first class, everything else the second.
    """

    classes: tuple[str, ...]
    values: tuple[int, ...] = ()
    ignore: int = IGNORED
    instances: bool = False
    kind: ClassVar[str] = "segmentation"
    metrics: ClassVar[tuple[str, ...]] = ("mean_iou", "dice", "pixel_accuracy")
    hard: ClassVar[str] = "CE"
    objective: ClassVar[str] = "0.5 * CE + 0.5 * KD(temperature=1)"
    losses: ClassVar[tuple[str, ...]] = ("classification",)
    judged_as: ClassVar[str] = "segmentation"
    decided: ClassVar[bool] = True
    positions: ClassVar[bool] = True
    meaning: ClassVar[str] = "classes"
    options: ClassVar[tuple[str, ...]] = ("ignore", "instances")

    def __post_init__(self) -> None:
        if self.instances:
            told = len(self.classes) == 2 and self.classes != tuple(map(str, self.values))
            names = self.classes if told else _BACKGROUND
            object.__setattr__(self, "classes", names)
            object.__setattr__(self, "values", (0, 1))
        elif not self.values:
            object.__setattr__(self, "values", tuple(range(len(self.classes))))
        if not isinstance(self.ignore, int) or isinstance(self.ignore, bool):
            raise ConfigError(f"expected a whole number to ignore, got {self.ignore!r}", "for example ignore=255")
        if not isinstance(self.instances, bool):
            raise ConfigError(f"expected instances to be True or False, got {self.instances!r}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def size(self) -> int:
        """Width of the output, C."""
        return len(self.classes)

    @classmethod
    def of(cls, raw: Any, names: Sequence[str] | None, columns: Sequence[str]) -> Self:
        """The task over the classes given, or over the numbers that the training masks hold."""
        found = values_of(raw)
        if names is not None:
            return cls(tuple(names), BINARY if len(names) == 2 and found == BINARY else ())
        if found == BINARY:
            return cls(_BACKGROUND, BINARY)
        kept = tuple(value for value in found if value >= 0 and value != IGNORED)
        return cls(tuple(str(value) for value in kept), kept)

    def with_settings(self, settings: Mapping[str, Any], raw: Any, names: Sequence[str] | None) -> Self:
        """As asked; a number that is to be ignored is no class, though the masks hold it."""
        made = replace(self, **settings)
        if made.instances or made.ignore not in made.values:
            return made
        kept = tuple(value for value in values_of(raw) if value >= 0 and value not in (made.ignore, IGNORED))
        if names is None:
            return replace(made, classes=tuple(map(str, kept)), values=kept)
        if len(kept) != len(names):
            kept = tuple(value for value in range(len(names) + 1) if value != made.ignore)
        return replace(made, values=kept)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        task = cls(tuple(spec["classes"]), tuple(spec["values"]), int(spec["ignore"]))
        object.__setattr__(task, "instances", bool(spec["instances"]))
        return task

    def to_spec(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "classes": list(self.classes), "values": list(self.values), "ignore": self.ignore,
            "instances": self.instances,
        }  # fmt: skip

    def encode(self, raw: Any) -> tuple[Array, Array]:
        """Class ids int16 [N, P] and mask bool [N] of the rows with a mask; raises ConfigError for other numbers."""
        self._refuse_many()
        sizes = {np.shape(mask) for mask in raw if not no_mask(mask)}
        if len(sizes) != 1:
            what = " and ".join("x".join(map(str, size)) for size in sorted(sizes)[:2]) or "none"
            raise ConfigError(f"expected masks of one size, got {what}", "give image_size=(height, width)")
        ids = np.full((len(raw), int(np.prod(sizes.pop()))), NO_LABEL, dtype=np.int16)
        known = np.zeros(len(raw), dtype=bool)
        for row, mask in enumerate(raw):
            if not no_mask(mask):
                ids[row] = self._ids(np.asarray(mask).reshape(-1).astype(np.int64), row)
                known[row] = bool((ids[row] != NO_LABEL).any())
        return ids, known

    def _refuse_many(self) -> None:
        if len(self.classes) > MOST:
            raise ConfigError(
                f"expected masks of at most {MOST} classes, got {len(self.classes)} different numbers",
                "masks that number their objects are read with task: segmentation(instances=True)",
            )
        check_names(self.classes, "classes", at_least=2)

    def _ids(self, mask: Array, row: int) -> Array:
        """Class ids int16 [P] of one mask."""
        free = mask < 0
        if self.instances:
            return np.where(free, NO_LABEL, mask > 0).astype(np.int16)
        free |= (mask == self.ignore) & (self.ignore not in self.values)
        order = np.argsort(self.values)
        sorted_values = np.asarray(self.values)[order]
        place = np.searchsorted(sorted_values, mask).clip(0, len(order) - 1)
        strange = ~free & (sorted_values[place] != mask)
        if strange.any():
            found = np.unique(mask[strange])
            names = [f"{value} ({name})" for name, value in zip(self.classes, self.values, strict=True)]
            raise ConfigError(
                f"expected masks of the values {listed(names)}, got {int(found[0])} at {int(strange.sum())} pixels of "
                f"the mask in row {row}",
                f"name all classes in order with classes=[...]; pixels without a label are {self.ignore} or -1 "
                "(segmentation(ignore=...)); masks that number their objects: segmentation(instances=True)",
            )
        return np.where(free, NO_LABEL, order[place]).astype(np.int16)

    def unlabelled(self, rows: int) -> Array:
        """Ids int16 [N, 1] of no label."""
        return np.full((rows, 1), NO_LABEL, dtype=np.int16)

    def predict(self, answers: Any) -> Array:
        """Class ids uint8 [N, P] of the logits [P, C] of the pixels of each image."""
        rows = [np.asarray(logits).argmax(axis=-1).astype(np.uint8) for logits in answers]
        return np.stack(rows) if rows else np.empty((0, 0), dtype=np.uint8)

    def judged(self, answers: Array, rows: Rows, more: Array | None = None) -> Array:
        """Class ids uint8 [N, P]."""
        return self.predict(answers)

    def decisions(self, answers: Array) -> Array:
        """What a teacher decided, as targets int16 [N, P]."""
        return self.predict(answers).astype(np.int16)

    def measures(self) -> Mapping[str, Measure]:
        return measures_of(self.classes)

    def trivial(self, y_train: Array, rows: int) -> Array:
        """The most frequent class at every pixel."""
        counts = np.bincount(y_train[y_train >= 0].ravel(), minlength=self.size)
        return np.full((rows, y_train.shape[1]), counts.argmax(), dtype=np.uint8)


def no_mask(mask: Any) -> bool:
    """Whether a row has no mask."""
    return not isinstance(mask, np.ndarray) and is_missing(mask)


def looks_numbered(raw: Any) -> bool:
    """Whether masks number their objects: each holds 1 to its own count, many of them somewhere."""
    counts = []
    for mask in raw:
        if no_mask(mask):
            continue
        found = np.unique(mask)
        found = found[found > 0]
        if len(found) and int(found[-1]) != len(found):
            return False
        counts.append(len(found))
    return len(set(counts)) > 1 and max(counts) >= _MANY


def values_of(raw: Any) -> tuple[int, ...]:
    """The distinct numbers of masks, in order; raises ConfigError for what is no mask."""
    found: set[int] = set()
    for row, mask in enumerate(raw):
        if no_mask(mask):
            continue
        values = np.asarray(mask)
        if values.ndim != 2 or values.dtype.kind not in "biu":
            raise ConfigError(
                f"expected a mask of whole numbers [height, width] in row {row}, got {values.dtype} "
                f"{list(values.shape)}",
                "give one class id for each pixel",
            )
        found.update(np.unique(values).astype(np.int64).tolist())
    if not found:
        raise ConfigError("expected masks for the training rows, got none", "name the column of masks as the target")
    return tuple(sorted(found))
