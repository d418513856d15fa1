"""Images from folders and data sets as one array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.data.raw import Raw
from limbeck.data.rows import Array
from limbeck.signals import MAIN

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_DEEP = ("I", "F")  # modes of more than 8 bits begin so
_TOP = 65535  # of 16 bits
DEEP_NOTE = "images of 16 bits were scaled to 8 (divided by 257)"
CMYK_NOTE = "images in CMYK were converted to RGB"


def of_folder(path: Path, split: str, size: tuple[int, int] | None) -> Raw:
    """Images in class folders, or flat without labels; raises ConfigError naming the file that does not fit."""
    files = image_files(path)
    if not files:
        raise ConfigError(f"expected images in {path}, there are none", f"known endings: {', '.join(IMAGES)}")
    inside = [file.relative_to(path).parts for file in files]
    loose = [parts[0] for parts in inside if len(parts) == 1]
    flat = len(loose) == len(files)
    if loose and not flat and split != "unlabeled":
        raise ConfigError(
            f"expected every image of {split} in a folder named as its class, got {loose[0]} in {path} itself",
            "move it into the folder of its class, or out of the data",
        )
    notes: list[str] = []
    inputs = stack((opened(file, size, notes) for file in files), str(path))
    labels = {} if flat or split == "unlabeled" else {MAIN: np.array([parts[0] for parts in inside], dtype=object)}
    ids = np.array(["/".join(parts) for parts in inside])
    return Raw("image", inputs, labels, ids=ids, notes=tuple(dict.fromkeys(notes)))


def image_files(path: Path) -> list[Path]:
    """The files of images below a folder, in order; hidden ones are left out."""
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES and not p.name.startswith("."))


@contextmanager
def decoding(what: str, where: str) -> Iterator[None]:
    """Say of whatever goes wrong with a file of an image what it was to be and where; raises ConfigError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except LimbeckError as e:
        raise ConfigError(f"{where}: {e.what}", e.todo) from e
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise ConfigError(f"expected {what} at {where}, got: {e}", "remove or replace it") from e


def opened(file: Path, size: tuple[int, int] | None, notes: list[str]) -> Array:
    """The pixels of a file, and notes of what was changed; raises ConfigError naming it."""
    from PIL import Image

    with decoding("an image", str(file)), Image.open(file) as image:
        return pixels_of(image, size, notes)


def pixels_of(image: Any, size: tuple[int, int] | None, notes: list[str] | None = None) -> Array:
    """A PIL image as uint8 [H, W] where it is grey, else [H, W, 3], resized to (height, width) where asked.

    16 bits are scaled to 8, nothing is clipped; raises ConfigError for more bits.
    """
    if image.mode.startswith(_DEEP):
        image = _shallow(image)
        _say(notes, DEEP_NOTE)
    elif image.mode == "CMYK":
        _say(notes, CMYK_NOTE)
    plain = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    return np.asarray(plain if size is None else plain.resize((size[1], size[0])))


def _shallow(image: Any) -> Any:
    """A grey image of 16 bits as one of 8."""
    from PIL import Image

    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu"
    if low < 0 or high > _TOP or not whole:
        raise ConfigError(
            f"expected an image of 8 or 16 bits, got {values.dtype} pixels from {low:g} to {high:g}",
            "save it with 8 or 16 bits, or give float arrays: lb.Data(train=(X, y))",
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _say(notes: list[str] | None, note: str) -> None:
    if notes is not None:
        notes.append(note)


def stack(pixels: Iterable[Array], where: str) -> Array:
    """Images as one array; grey ones become coloured beside coloured ones.

    Raises ConfigError for several sizes.
    """
    images = list(pixels)
    if len({p.ndim for p in images}) > 1:
        images = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in images]
    shapes = {p.shape for p in images}
    if len(shapes) > 1:
        first, other = sorted(shapes)[:2]
        raise ConfigError(
            f"expected images of one size in {where}, got {first[0]}x{first[1]} and {other[0]}x{other[1]}",
            "give lb.Data(image_size=(height, width)) to resize them",
        )
    return np.stack(images)
