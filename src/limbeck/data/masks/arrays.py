"""Masks given as arrays: [N, H, W] of whole numbers, or a list of [H, W] with None where a row has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError

Array = np.ndarray[Any, Any]


def as_masks(raw: Any) -> Array | None:
    """Masks as objects [N], each an array [H, W] or None; None where labels are no masks."""
    if isinstance(raw, np.ndarray) and raw.ndim == 3 and raw.dtype.kind in "biu":
        return objects(list(raw))
    if not isinstance(raw, list | tuple) and not (isinstance(raw, np.ndarray) and raw.dtype == object):
        return None
    if isinstance(raw, np.ndarray) and raw.ndim != 1:
        return None
    first = next((each for each in raw if each is not None), None)
    if getattr(first, "ndim", 0) != 2 or not hasattr(first, "dtype"):
        return None
    return objects([None if each is None else np.asarray(each) for each in raw])


def are_masks(labels: Any) -> bool:
    """Whether raw labels, as `as_labels` gives them, are masks."""
    if not isinstance(labels, np.ndarray) or labels.dtype != object or labels.ndim != 1:
        return False
    first = next((each for each in labels if each is not None), None)
    return isinstance(first, np.ndarray) and first.ndim == 2


def refuse_pairs(kind: str, inputs: Any, masks: Any, split: str, head: str) -> None:
    """Refuse a task of masks on rows that are no images, and masks of another size; raises ConfigError."""
    if kind != "image" or not are_masks(masks):
        got = f"rows of kind {kind}" if kind != "image" else "labels that are no masks"
        raise ConfigError(
            f"expected images with masks for the task '{head}', got {got} in {split}",
            "give lb.Data(train=(images, masks)) with masks [N, H, W], a folder of images/ and masks/, or a table with "
            "a column of each",
        )
    size = tuple(inputs.shape[1:3])
    for row, mask in enumerate(masks):
        if mask is not None and mask.shape != size:
            raise ConfigError(
                f"expected a mask of the size of its image, {size[0]}x{size[1]}, got "
                f"{'x'.join(map(str, mask.shape))} in row {row} of {split}",
                "every pixel of an image needs one of its mask; images are [N, H, W] or, with their channels last, "
                "[N, H, W, C]",
            )


def refuse_other(kind: str, head: str) -> None:
    """Refuse masks for a task that is about something else; raises ConfigError."""
    if kind != "segmentation" and ":" not in kind:
        raise ConfigError(
            f"expected the task of '{head}' to be segmentation, since its labels are masks, got {kind}",
            "say task='segmentation', or give one label for each image",
        )


def image_kind(kind: str, inputs: Any, labels: Mapping[str, Any]) -> str:
    """The kind of rows beside masks: arrays [N, H, W] and [N, H, W, C] are images, whatever their dtype."""
    masked = any(are_masks(each) for each in labels.values())
    return "image" if masked and kind == "array" and np.ndim(inputs) in (3, 4) else kind


def objects(values: list[Any]) -> Array:
    """Values of any kind, one a row."""
    out = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        out[place] = value
    return out
