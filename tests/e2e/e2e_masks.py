"""Small pictures of circles with their masks, as arrays and as files."""

from pathlib import Path

import numpy as np
from PIL import Image


def circles(rows: int, seed: int = 0, side: int = 16, noise: float = 15.0):
    """Images uint8 [N, H, W] and masks uint8 [N, H, W] of 0 and 1."""
    draw = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side]
    masks = np.zeros((rows, side, side), dtype=np.uint8)
    for mask in masks:
        for _ in range(draw.integers(1, 3)):
            centre, radius = draw.uniform(2, side - 2, 2), draw.uniform(2, side / 4)
            mask[(down - centre[0]) ** 2 + (right - centre[1]) ** 2 < radius**2] = 1
    images = np.clip(70 + 90.0 * masks + draw.normal(0, noise, masks.shape), 0, 255).astype(np.uint8)
    return images, masks


def folder_of(path: Path, images, masks, *, scale: int = 1) -> Path:
    """images/ and masks/ with PNG files of the same names; masks may be fewer."""
    for name, pictures in (("images", images), ("masks", masks * scale)):
        (path / name).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(path / name / f"{number:03}.png")
    return path
