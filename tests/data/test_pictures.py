"""Files of images that are not plain: 16 bits, CMYK, cut short."""

import numpy as np
import pytest
from PIL import Image

from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.data.images import DEEP_NOTE, of_folder, pixels_of
from limbeck.data.parts import parts_of


def class_folders(path, pictures):
    for name in ("a", "b"):
        (path / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            picture.save(path / name / f"{number}.tif")
    return path


def test_16_bits_are_scaled_and_not_clipped(tmp_path):
    deep = np.array([[0, 257, 300], [32896, 65535, 65000]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    notes = []
    with Image.open(tmp_path / "deep.png") as image:
        found = pixels_of(image, None, notes)
    assert found.tolist() == [[0, 1, 1], [128, 255, 253]] and len(notes) == 1


def test_a_folder_of_16_bit_images_is_told_of(tmp_path):
    draw = np.random.default_rng(0)
    pictures = [Image.fromarray(draw.integers(0, 65535, (8, 8)).astype(np.uint16)) for _ in range(8)]
    data = Data(train=class_folders(tmp_path, pictures), test_fraction=0.2)
    said = [finding.measured for finding in data.findings if finding.code == "LB127"]
    assert said == ["images of 16 bits were scaled to 8 (divided by 257)"]


def test_cmyk_becomes_rgb_and_is_told_of(tmp_path):
    pictures = [Image.new("CMYK", (8, 8), (shade, 0, 0, 0)) for shade in range(8)]
    raw = of_folder(class_folders(tmp_path, pictures), "train", None)
    assert raw.inputs.shape == (16, 8, 8, 3) and raw.notes == ("images in CMYK were converted to RGB",)


def test_pixels_beyond_16_bits_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((8, 8), 70000, dtype=np.int32)).save(tmp_path / "a" / "0.tif")
    with pytest.raises(ConfigError, match=r"0.tif: expected an image of 8 or 16 bits, got int32 pixels from 70000"):
        of_folder(tmp_path, "train", None)
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "a" / "0.tif")
    with pytest.raises(ConfigError, match="expected an image of 8 or 16 bits, got float32"):
        of_folder(tmp_path, "train", None)


def test_a_truncated_image_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "0.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ConfigError, match=r"expected an image at .*0.png, got: .*truncated"):
        of_folder(tmp_path, "train", None)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected images in .*, there are none"):
        of_folder(tmp_path, "train", None)


def test_arrays_of_another_size_than_asked_are_refused():
    images, labels = np.zeros((12, 8, 8), dtype=np.uint8), np.arange(12) % 2
    with pytest.raises(ConfigError, match="expected images of 4x4, got arrays of 8x8"):
        Data(train=(images, labels), image_size=(4, 4))


def test_pictures_among_the_parts_of_a_row_are_read_alike(tmp_path):
    for number in range(4):
        Image.fromarray(np.full((6, 6), 257 * number, dtype=np.uint16)).save(tmp_path / f"{number}.tif")
    parts, notes = parts_of({"image": [f"{number}.tif" for number in range(4)]}, "train", tmp_path)
    assert parts["image"][:, 0, 0].tolist() == [0, 1, 2, 3] and notes == [DEEP_NOTE]
    (tmp_path / "1.tif").write_bytes(b"II*\0broken")
    with pytest.raises(ConfigError, match=r"part 'image': expected an image at .*1\.tif"):
        parts_of({"image": ["0.tif", "1.tif"]}, "train", tmp_path)
