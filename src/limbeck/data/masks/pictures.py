"""Masks as files and cells hold them: palette, grey, 16-bit or 1-bit pictures, resized without new values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.images import IMAGES, decoding, pixels_of
from limbeck.data.labels import is_missing
from limbeck.data.rows import Array

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"II*\0", b"MM\0*")
RESIZED = "images were resized to"


def mask_of(image: Any, size: tuple[int, int] | None) -> Array:
    """A PIL image as a mask of whole numbers [H, W]: ids of its palette, or its grey values; 0 and 1 of 1 bit.

    Resized to (height, width) by nearest pixels. Raises ConfigError for colours.
    """
    if image.mode == "1":
        values = np.asarray(image).astype(np.uint8)
    elif image.mode in ("P", "L") or image.mode.startswith("I"):
        values = np.asarray(image)
    elif image.mode in ("LA", "PA"):
        values = np.asarray(image)[..., 0]
    else:
        channels = np.asarray(image.convert("RGB"))
        values = channels[..., 0]
        if (channels != values[..., None]).any():
            raise ConfigError(
                f"expected a mask of one number a pixel, got colours ({image.mode})",
                "save it as a grey or palette PNG of class ids",
            )
    if values.dtype.kind not in "iu":
        raise ConfigError(f"expected a mask of whole numbers, got {values.dtype}", "save it as a grey PNG of class ids")
    return values if size is None else nearest(values, size)


def nearest(values: Array, size: tuple[int, int]) -> Array:
    """Values [H, W] at another (height, width), each that of the nearest pixel."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip(size, values.shape, strict=True)
    )
    return np.asarray(values[rows][:, columns])


def is_picture(cell: Any) -> bool:
    """Whether a cell of a table holds a picture: encoded bytes, a mapping of these, or the path of a file."""
    if isinstance(cell, Mapping):
        return set(cell) <= {"bytes", "path"} and bool(cell) and is_picture(cell.get("bytes") or cell.get("path"))
    if isinstance(cell, bytes):
        return cell.startswith(_MAGIC) or (cell.startswith(b"RIFF") and cell[8:12] == b"WEBP")
    if isinstance(cell, str):
        return cell.lower().endswith(IMAGES)
    return hasattr(cell, "convert") and hasattr(cell, "mode")


def holds_pictures(column: Any) -> bool:
    """Whether the first cell of a column that holds anything holds a picture."""
    return next((is_picture(cell) for cell in column if not is_missing(cell)), False)


class Reader:
    """Reads the pictures of one split; `where` is the folder to which paths are relative."""

    def __init__(self, split: str, where: Path, size: tuple[int, int] | None) -> None:
        self.split, self.where, self.size = split, where, size
        self.notes: list[str] = []
        self.sizes: set[tuple[int, int]] = set()
        self.last = (0, 0)  # of the image that was read last

    def pair(self, image: Any, mask: Any, row: str) -> tuple[Array, Array | None]:
        """Pixels and mask (None where there is none) of one row; raises ConfigError where their sizes differ."""
        with decoding("an image", f"{row} of {self.split}"), self._open(image) as opened:
            shape = (opened.height, opened.width)
            self.last = shape
            self.sizes.add(shape)
            pixels = pixels_of(opened, self.size, self.notes)
        if is_missing(mask):
            return pixels, None
        with decoding("a mask", f"{row} of {self.split}"), self._open(mask) as opened:
            if (opened.height, opened.width) != shape:
                raise ConfigError(
                    f"expected a mask of the size of its image, {shape[0]}x{shape[1]}, got "
                    f"{opened.height}x{opened.width}",
                    "every pixel of an image needs one of its mask: check which belongs to which",
                )
            return pixels, mask_of(opened, self.size)

    def _open(self, cell: Any) -> Any:
        from PIL import Image

        if hasattr(cell, "convert"):
            return cell.copy()
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, bytes):
            return Image.open(io.BytesIO(cell))
        return Image.open(self.where / str(cell))

    def said(self) -> tuple[str, ...]:
        """Notes of what was changed."""
        notes = list(dict.fromkeys(self.notes))
        if self.size is not None and self.sizes - {self.size}:
            small, large = min(self.sizes), max(self.sizes)
            was = f"{small[0]}x{small[1]}" + (f" to {large[0]}x{large[1]}" if small != large else "")
            notes.append(
                f"{self.split}: {RESIZED} {self.size[0]}x{self.size[1]} (they were {was}), "
                "masks by their nearest pixels; what is judged are masks of that size"
            )
        return tuple(notes)
