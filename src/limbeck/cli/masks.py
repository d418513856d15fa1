"""What a student of masks answers to a file: one PNG for each image."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError


def answers_masks(student: Any) -> str | None:
    """The head of a student that answers masks; None for others."""
    heads = [head for head, facts in student.heads.items() if facts["kind"] == "segmentation"]
    return heads[0] if heads else None


def write_masks(student: Any, head: str, data: Path, run: Path, out: Path | None) -> list[str]:
    """Write DIR/NAME.png for each image of a folder or table, at the size of the image, and give the names.

    A mask holds the numbers of the training masks, with a palette to look at it by. Raises ConfigError without a
    folder to write into.
    """
    from limbeck.cli.tables import asked_columns
    from limbeck.core.files import write_bytes
    from limbeck.data.masks.pictures import nearest
    from limbeck.data.masks.sources import pictures_in

    if out is None or out.suffix:
        raise ConfigError(
            f"expected a folder for the masks of {data.name}, got {'none' if out is None else out}",
            "add --out DIR: one PNG is written for each image",
        )
    height, width, *channels = student.inputs[0]["shape"]  # of the images that it was trained on
    images, ids, sizes = pictures_in(data, asked_columns(run), (height, width))
    if channels == [3] and images.ndim == 3:  # grey beside a student of colours
        images = images[..., None].repeat(3, axis=3)
    written = []
    for start in range(0, len(images), _PART):
        part = slice(start, start + _PART)
        for mask, name, shape in zip(student.predict(images[part], head), ids[part], sizes[part], strict=True):
            file = out / f"{name}.png"
            write_bytes(file, _png(mask if mask.shape == shape else nearest(mask, shape)))
            written.append(str(file))
    return written


_PART = 256  # images at a time


def _png(mask: Any) -> bytes:
    from PIL import Image

    image = Image.fromarray(mask.astype("uint8" if mask.dtype == "uint8" else "uint16"))
    if mask.dtype == "uint8":
        image = image.convert("L")
        image.putpalette(_palette())
    held = io.BytesIO()
    image.save(held, format="PNG")
    return held.getvalue()


def _palette() -> list[int]:
    """Black for 0, and colours far from each other for the numbers behind it."""
    colours = [(0.0, 0.0, 0.0), *(colorsys.hsv_to_rgb(n * 0.618 % 1, 0.7, 1.0) for n in range(255))]
    return [round(255 * part) for colour in colours for part in colour]
