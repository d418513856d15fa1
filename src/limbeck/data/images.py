"""Images from folders and data sets as one array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.raw import Raw
from limbeck.data.rows import Array
from limbeck.signals import MAIN

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def of_folder(path: Path, split: str, size: tuple[int, int] | None) -> Raw:
    """Images in class folders, or flat without labels; raises ConfigError naming the file that does not fit."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES and not p.name.startswith("."))
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
    inputs = stack((_open(file, size) for file in files), str(path))
    labels = {} if flat or split == "unlabeled" else {MAIN: np.array([parts[0] for parts in inside], dtype=object)}
    return Raw("image", inputs, labels, ids=np.array(["/".join(parts) for parts in inside]))


def _open(file: Path, size: tuple[int, int] | None) -> Array:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return pixels_of(image, size)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise ConfigError(f"expected an image at {file}, got: {e}", "remove or replace it") from e


def pixels_of(image: Any, size: tuple[int, int] | None) -> Array:
    """A PIL image as uint8 [H, W] where it is grey, else [H, W, 3], resized to (height, width) where asked."""
    plain = image.convert("L" if image.mode in ("1", "L") else "RGB")
    return np.asarray(plain if size is None else plain.resize((size[1], size[0])))


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
