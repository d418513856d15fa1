"""Pictures with masks: the task, the sources it is read from, and what is refused."""

import io

import numpy as np
import pandas as pd
import pytest
from e2e_masks import circles, folder_of
from PIL import Image

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.data.infer import build_task
from limbeck.data.masks.pictures import mask_of, nearest
from limbeck.data.masks.segmentation import Segmentation
from limbeck.data.tasks import task_from_spec


def codes(data):
    return {finding.code for finding in data.findings}


def png(picture):
    held = io.BytesIO()
    Image.fromarray(picture).save(held, format="PNG")
    return held.getvalue()


# ------------------------------------------------------------------------------------------ the task


def test_numbers_of_masks_become_classes_and_255_is_no_label():
    mask = np.array([[0, 3], [7, 255]], dtype=np.uint8)
    task = build_task("segmentation", [mask], None)
    ids, known = task.encode([mask, None, np.full((2, 2), 255, dtype=np.uint8)])
    assert task.names == ("0", "3", "7") and task.values == (0, 3, 7)
    assert ids.tolist() == [[0, 1, 2, -1], [-1] * 4, [-1] * 4]
    assert known.tolist() == [True, False, False]
    assert task_from_spec(task.spec) == task


def test_masks_of_0_and_255_alone_are_two_classes():
    task = build_task("segmentation", [np.array([[0, 255]], dtype=np.uint8)], ("ground", "cell"))
    assert task.values == (0, 255) and task.encode([np.array([[255, 0]], dtype=np.uint8)])[0].tolist() == [[1, 0]]


def test_below_zero_is_no_label_and_the_ignored_number_can_be_said():
    task = build_task("segmentation(ignore=9)", [np.array([[0, 1]])], ("a", "b"))
    assert task.encode([np.array([[1, 9], [-1, 0]])])[0].tolist() == [[1, -1, -1, 0]]


def test_numbered_objects_are_one_class():
    mask = np.array([[0, 1], [2, 40000]], dtype=np.uint16)
    task = build_task("segmentation(instances=true)", [mask], ("ground", "nucleus"))
    assert task.names == ("ground", "nucleus") and task.encode([mask])[0].tolist() == [[0, 1, 1, 1]]
    assert build_task("segmentation(instances=True)", [mask], None).names == ("background", "object")
    assert task_from_spec(task.spec) == task


def test_a_number_outside_of_the_classes_is_refused():
    task = Segmentation(("a", "b"))
    with pytest.raises(ConfigError, match=r"values 0 \(a\), 1 \(b\), got 5 at 2 pixels of the mask in row 1"):
        task.encode([np.array([[0, 1]]), np.array([[5, 5]])])


def test_more_numbers_than_classes_can_be_name_the_setting_for_objects():
    mask = np.arange(400).reshape(20, 20)
    with pytest.raises(ConfigError, match=r"at most 255 classes, got 399 different[\s\S]*instances=True"):
        build_task("segmentation", [mask], None).encode([mask])


def test_masks_of_fractions_are_refused():
    with pytest.raises(ConfigError, match="expected a mask of whole numbers"):
        build_task("segmentation", [np.zeros((2, 2))], None)


# ------------------------------------------------------------------------------------------ arrays


def test_arrays_with_masks_are_segmentation_and_rows_without_a_mask_are_unlabelled():
    images, masks = circles(20)
    given = [None if row < 5 else mask for row, mask in enumerate(masks)]
    data = Data(train=(images, given), test=circles(8, seed=1))
    assert isinstance(data.tasks["main"], Segmentation) and codes(data) >= {"LB110", "LB117"}
    assert int(data.train.label_mask["main"].sum()) + len(data.validation) == 15
    assert data.train.targets["main"].shape == (17, 256)


def test_float_images_beside_masks_are_images():
    images, masks = circles(20)
    data = Data(train=(images / 255.0, masks), unlabeled=images[:4] / 254.0, test=(images / 253.0, masks))
    assert data.train.kind == "image" == data.unlabeled.kind and data.preprocess.shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x, m: (x, m[:, :8]), "mask of the size of its image, 16x16, got 8x16 in row 0 of train"),
        (lambda x, m: (x, np.full_like(m, -1, dtype=np.int64)), "expected at least 2 classes|labels of 'main', all"),
        (lambda x, m: (x.reshape(len(x), -1), m), "expected images with masks for the task 'main'"),
    ],
)
def test_masks_that_do_not_fit_are_refused(given, said):
    images, masks = circles(12)
    with pytest.raises(ConfigError, match=said):
        Data(train=given(images, masks), test=given(images, masks), task="segmentation")


def test_ignored_masks_alone_are_refused():
    images, masks = circles(12)
    with pytest.raises(ConfigError, match="expected labels of 'main', all 12 are missing"):
        Data(train=(images, np.full_like(masks, 255)), test=(images, masks), task="segmentation", classes=["a", "b"])


def test_masks_of_another_task_are_refused():
    images, masks = circles(12)
    with pytest.raises(ConfigError, match="task of 'main' to be segmentation, since its labels are masks, got classif"):
        Data(train=(images, masks), task="classification")


def test_an_own_view_cannot_move_masks():
    images, masks = circles(12)
    with pytest.raises(ConfigError, match="built-in view for images with masks, got a function"):
        Data(train=(images, masks), test=circles(4, 1), view=lambda row, _: row[::-1])


def test_quarter_turns_need_squares():
    images, masks = circles(12)
    with pytest.raises(ConfigError, match="square images for the view rot90, got 16x8"):
        Data(train=(images[:, :, :8], masks[:, :, :8]), test_fraction=0.2, view="rot90")


# ------------------------------------------------------------------------------------------ folders and tables


def test_a_folder_of_images_and_masks(tmp_path):
    images, masks = circles(12)
    folder_of(tmp_path / "train", images, masks[:9], scale=255)
    folder_of(tmp_path / "test", *circles(4, 1), scale=255)
    data = Data(train=tmp_path / "train", test=tmp_path / "test", classes=["ground", "cell"])
    task = data.tasks["main"]
    assert task.values == (0, 255) and "LB129" in codes(data)
    every = lb_rows(data)
    row = every.index("003")
    assert np.array_equal(data_inputs(data)[row], images[3])
    assert np.array_equal(data_targets(data)[row].reshape(16, 16), masks[3])
    assert int(data.train.label_mask["main"].sum()) + len(data.validation) == 9


def lb_rows(data):
    return [str(name) for part in (data.train, data.validation) for name in part.ids]


def data_inputs(data):
    return np.concatenate([data.train.inputs, data.validation.inputs])


def data_targets(data):
    return np.concatenate([data.train.targets["main"], data.validation.targets["main"]])


def test_masks_without_an_image_are_refused(tmp_path):
    images, masks = circles(4)
    folder_of(tmp_path, images[:2], masks)
    with pytest.raises(ConfigError, match=r"an image for every mask of train, got none for 2 of 4 masks: 002.png, 003"):
        Data(train=tmp_path)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    images, masks = circles(4)
    folder_of(tmp_path, images, masks)
    Image.fromarray(masks[1][:8]).save(tmp_path / "masks" / "001.png")
    with pytest.raises(
        ConfigError, match=r"001.png of train: expected a mask of the size of its image, 16x16, got 8x1"
    ):
        Data(train=tmp_path)


def test_a_truncated_mask_and_colours_are_refused(tmp_path):
    images, masks = circles(4)
    folder_of(tmp_path, images, masks)
    whole = (tmp_path / "masks" / "002.png").read_bytes()
    (tmp_path / "masks" / "002.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"expected a mask at .*002.png of train, got: .*truncated"):
        Data(train=tmp_path)
    coloured = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(coloured).save(tmp_path / "masks" / "002.png")
    with pytest.raises(ConfigError, match=r"mask of one number a pixel, got colours \(RGB\)"):
        Data(train=tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match=r"expected images in .*images, there are none"):
        Data(train=tmp_path)


def test_sizes_that_differ_need_image_size_and_are_said(tmp_path):
    images, masks = circles(12)
    folder_of(tmp_path, images, masks)
    large = np.kron(masks[0], np.ones((2, 2), dtype=np.uint8))
    Image.fromarray(large).save(tmp_path / "masks" / "000.png")
    Image.fromarray(large * 99).save(tmp_path / "images" / "000.png")
    with pytest.raises(ConfigError, match=r"images of one size in train, got 16x16 and 32x32[\s\S]*image_size"):
        Data(train=tmp_path)
    data = Data(train=tmp_path, test=circles(4, 1), image_size=(16, 16))
    said = next(finding for finding in data.findings if finding.code == "LB126")
    assert "resized to 16x16 (they were 16x16 to 32x32)" in said.measured
    row = lb_rows(data).index("000")
    assert np.array_equal(data_targets(data)[row].reshape(16, 16), masks[0])


def test_tables_hold_pictures_as_bytes_and_paths(tmp_path):
    images, masks = circles(12)
    cells = {
        "name": [f"r{row}" for row in range(12)],
        "image": [{"bytes": png(image), "path": None} for image in images],
        "mask": [None if row == 2 else png(mask) for row, mask in enumerate(masks)],
        "objects": range(12),
    }
    frame = pd.DataFrame(cells)
    frame.to_parquet(tmp_path / "rows.parquet")
    named = lb.Columns(inputs=("image",), target="mask", id="name")
    for given in (frame, tmp_path / "rows.parquet"):
        data = Data(train=given, columns=named, test=circles(4, 1))
        assert data.train.kind == "image" and set(lb_rows(data)) == set(cells["name"])
        assert int((~data.train.label_mask["main"]).sum()) == 1
    for row, (image, mask) in enumerate(zip(images, masks, strict=True)):
        (tmp_path / f"{row}.png").write_bytes(png(image))
        (tmp_path / f"{row}_mask.png").write_bytes(png(mask))
    paths = pd.DataFrame({"picture": [f"{r}.png" for r in range(12)], "mask": [f"{r}_mask.png" for r in range(12)]})
    paths.to_csv(tmp_path / "rows.csv", index=False)
    data = Data(train=tmp_path / "rows.csv", test=circles(4, 1))
    assert data.train.kind == "image" and data.train.targets["main"].shape[1] == 256


def test_a_table_row_without_an_image_is_refused():
    images, masks = circles(4)
    frame = pd.DataFrame({"image": [*map(png, images[:3]), None], "mask": list(map(png, masks))})
    with pytest.raises(ConfigError, match="an image in every row of column 'image' of train, got none in row 3"):
        Data(train=frame)


def test_data_sets_of_images_and_masks():
    datasets = pytest.importorskip("datasets")
    images, masks = circles(12)
    columns = {"image": list(map(Image.fromarray, images)), "mask": list(map(Image.fromarray, masks))}
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    given = datasets.Dataset.from_dict(columns, features=features)
    data = Data(train=given, test=circles(4, 1))
    assert isinstance(data.tasks["main"], Segmentation)
    assert np.array_equal(np.sort(data_targets(data).sum(axis=1)), np.sort(masks.reshape(12, -1).sum(axis=1)))


# ------------------------------------------------------------------------------------------ masks as pictures


def test_palette_one_bit_and_16_bit_masks_are_read_as_numbers():
    ids = np.array([[0, 1], [2, 1]], dtype=np.uint8)
    palette = Image.fromarray(ids, mode="P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    assert mask_of(palette, None).tolist() == ids.tolist()
    assert mask_of(Image.fromarray(ids > 0).convert("1"), None).tolist() == [[0, 1], [1, 1]]
    assert mask_of(Image.fromarray(ids.astype(np.uint16) * 300), None).max() == 600
    assert mask_of(Image.fromarray(np.repeat(ids[..., None], 3, axis=2)), None).tolist() == ids.tolist()


def test_resizing_a_mask_makes_no_new_numbers():
    ids = np.array([[0, 9], [4, 9]])
    assert nearest(ids, (4, 4)).tolist() == [[0, 0, 9, 9], [0, 0, 9, 9], [4, 4, 9, 9], [4, 4, 9, 9]]
    assert nearest(np.kron(ids, np.ones((3, 3), dtype=int)), (2, 2)).tolist() == ids.tolist()


def test_rare_and_empty_classes_are_said():
    images, masks = circles(20)
    masks = masks.astype(np.int64)
    masks[0, 0, 0] = 2
    data = Data(train=(images, masks), test=circles(8, 1), validation=circles(8, 2), classes=["a", "b", "c", "d"])
    found = {finding.code: finding.measured for finding in data.findings}
    assert "of 'main': c, each less than 0.1 %" in found["LB128"] and "LB103" in found


def test_npz_files_and_torch_data_sets_hold_masks_too(tmp_path):
    images, masks = circles(12)
    np.savez(tmp_path / "rows.npz", image=images, mask=masks)
    data = Data(train=tmp_path / "rows.npz", test=circles(4, 1))
    assert isinstance(data.tasks["main"], Segmentation) and data.train.kind == "image"
    pairs = list(zip(images, masks, strict=True))
    assert isinstance(Data(train=pairs_of(pairs), test=circles(4, 1)).tasks["main"], Segmentation)


class pairs_of:
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, row):
        return self.pairs[row]


def test_channels_first_are_told_where_they_belong():
    images, masks = circles(12)
    with pytest.raises(ConfigError, match=r"16x16, got|got 16x16 in row 0[\s\S]*channels last"):
        Data(train=(np.repeat(images[:, None] / 255.0, 3, axis=1), masks), test_fraction=0.2)


def test_weights_and_slices_of_a_table_with_masks_are_kept():
    images, masks = circles(12)
    frame = pd.DataFrame({
        "image": list(map(Image.fromarray, images)), "mask": list(map(Image.fromarray, masks)),
        "w": np.arange(1.0, 13.0), "site": ["left", "right"] * 6,
    })  # fmt: skip
    named = lb.Columns(inputs=("image",), target="mask", weight="w", slices=("site",))
    data = Data(train=frame, test=frame.iloc[::-1].head(4).reset_index(drop=True), columns=named)
    weight = data.train.weight
    assert weight is not None and weight.max() > 2 * weight.min()
    assert set(data.test.slices["site"]) == {"left", "right"}


@pytest.mark.parametrize(("ignored", "classes"), [(0, ("1", "2")), (2, ("0", "1")), (7, ("0", "1", "2"))])
def test_an_ignored_number_that_the_masks_hold_is_no_class(ignored, classes):
    masks = [np.array([[0, 1, 2], [2, 1, 0]])]
    task = build_task(f"segmentation(ignore={ignored})", masks, None)
    assert task.classes == classes
    assert (task.encode(masks)[0] >= 0).sum() == 2 * len(classes)
    named = build_task("segmentation(ignore=0)", masks, ("cell", "rim"))
    assert named.values == (1, 2) and (named.encode(masks)[0] == [[-1, 0, 1, 1, 0, -1]]).all()
    assert type(named).from_spec(named.to_spec()) == named
