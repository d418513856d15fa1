"""What a graph says of the pixels of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MASKS = "segmentation"
_PIXELS = 1 << 20  # of the images that are answered at once


def at_once(heads: Mapping[str, Mapping[str, Any]], inputs: Sequence[Mapping[str, Any]], batch: int) -> int:
    """Rows of a batch: fewer where every pixel of large images is answered."""
    if not any(facts["kind"] == MASKS for facts in heads.values()):
        return batch
    return min(batch, max(1, _PIXELS // int(np.prod(inputs[0]["shape"][:2]))))


def by_pixel(logits: Array) -> Array:
    """Logits [N, P, C] of logits [N, C, H, W]."""
    rows, classes = logits.shape[:2]
    return np.asarray(logits.reshape(rows, classes, -1).transpose(0, 2, 1))


def in_values(task: Any, ids: Array) -> Array:
    """Masks [N, H, W] in the numbers of the training masks, of class ids."""
    values = np.asarray(task.values)
    small = values.min(initial=0) >= 0 and values.max(initial=0) <= np.iinfo(np.uint8).max
    return np.asarray(values.astype(np.uint8 if small else np.int32)[ids])
