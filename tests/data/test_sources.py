import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from limbeck.core.errors import ConfigError
from limbeck.data.sources import NamedColumns, guess_columns, read

X = np.arange(12, dtype=np.float64).reshape(4, 3)
Y = np.array(["a", "b", "a", "b"], dtype=object)


def table():
    return pd.DataFrame(
        {"n": [1.0, 2, 3, 4], "c": ["u", "v", "u", "v"], "who": ["p", "p", "q", "q"], "w": [1.0, 2, 1, 2],
         "row": ["r0", "r1", "r2", "r3"], "junk": [0, 0, 0, 0], "label": Y}
    )  # fmt: skip


NAMED = NamedColumns(target="label", id="row", group="who", weight="w", drop=("junk",))


class Listed:
    """What torch's DataLoader takes: items by number."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def image(folder, name, colour=0, size=(5, 4), mode="RGB"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if mode == "L" else (colour,) * 3).save(path)


# ------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("x", [X, X.tolist(), torch.tensor(X), X.astype(np.float32), X.astype(int)])
@pytest.mark.parametrize("y", [Y, Y.tolist(), pd.Series(Y), pd.Series(Y).astype("category"), pd.Index(Y)])
def test_arrays_lists_and_tensors_with_labels_and_ids(x, y):
    raw = read((x, y, ["r0", "r1", "r2", "r3"]), None, "train")
    assert raw.kind == "array" and raw.ids.tolist() == ["r0", "r1", "r2", "r3"]
    np.testing.assert_array_equal(raw.inputs, X)
    assert list(raw.labels["main"]) == list(Y)


def test_what_is_an_image_and_what_is_an_array():
    shapes = {(4, 6, 6): "image", (4, 6, 6, 3): "image", (4, 3): "array"}
    for shape, kind in shapes.items():
        assert read((np.zeros(shape, np.uint8),), None, "train").kind == kind
    assert read((np.zeros((4, 6, 6, 3), np.float32),), None, "train").kind == "image"
    assert read((np.zeros((4, 6, 6), np.float32),), None, "train").kind == "array"
    assert read((np.zeros((4, 3, 6, 6), np.float32),), None, "train").kind == "array"


def test_half_precision_and_missing_numbers_are_numbers():
    assert read(torch.tensor(X, dtype=torch.bfloat16), None, "unlabeled").inputs.dtype == np.float32
    holes = read([[1, None], [2.5, 3]], None, "unlabeled").inputs
    np.testing.assert_array_equal(holes, [[1, np.nan], [2.5, 3]])


def test_a_missing_text_label_stays_missing():
    raw = read((X, ["a", float("nan"), None, "b"]), None, "train")
    assert [v if isinstance(v, str) else None for v in raw.labels["main"]] == ["a", None, None, "b"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (([[1, 2], [[3]]], [0, 1]), "rows of one shape in train, got several\n\nresize or pad them"),
        ((np.array([["a"], ["b"]]), [0, 1]), "numbers in the inputs of train, got <U1\n\ngive text and mixed types as"),
        ((np.arange(3), [0, 1, 0]), r"one row per example, got shape \(3,\)\n\nfor one feature: X\[:, None\]"),
        ((X, Y[:3]), "one entry a row in train, got 4 rows and 3 labels of 'main'\n\nX, y and whatever"),
        ((X, Y, [1]), "one entry a row in train, got 4 rows and 1 ids"),
        ((X, {"p": Y, "q": Y[:2]}), "got 4 rows and 2 labels of 'q'"),
        ((X, Y, None, None), r"train as \(X,\), \(X, y\) or \(X, y, ids\), got a tuple of 4"),
        ((np.where(X > 9, np.inf, X), Y), "finite inputs in train, got infinity .* in 1 rows, the first at 3"),
        ((X * 1e300, Y), "finite inputs in train, got infinity .* in 4 rows"),
        ((np.full((4, 2, 2), np.nan), Y), "no NaN in the inputs of train, got some in 4 rows, the first at 0"),
        ((X, 3), "one label per row, got the single value 3\n\ngive a list"),
        ((X, np.zeros((4, 2, 2))), r"labels \[N\] or \[N, L\], got shape \(4, 2, 2\)"),
        ((X, pd.date_range("2024", periods=4)), "labels as text or numbers, got dates\n\nturn them into numbers"),
        (7, "train as arrays, a frame, a data set or a path, got int\n\nfor example train=\\(X, y\\)"),
        ({"train": table(), "test": table()}, "one split for train, got a mapping of several \\(train, test\\)"),
        ({"a": [1, 2], "y": [1]}, "columns of one length in train, got:"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(given, text):
    with pytest.raises(ConfigError, match=text):
        read(given, None, "train")


def test_sparse_inputs_are_refused_with_the_way_out():
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(X)
    for given in ((sparse, Y), sparse):
        with pytest.raises(ConfigError, match=r"dense inputs of train, got a sparse matrix \(4, 3\)\n\ngive X.toarray"):
            read(given, None, "train")


# ------------------------------------------------------------------------------------------ tables


def test_named_columns_say_what_is_what():
    raw = read(table(), NAMED, "train")
    assert raw.kind == "table" and list(raw.inputs) == ["n", "c"]
    assert list(raw.labels["main"]) == list(Y) and raw.ids.tolist() == ["r0", "r1", "r2", "r3"]
    assert raw.groups.tolist() == ["p", "p", "q", "q"] and raw.weight.tolist() == [1, 2, 1, 2]
    few = read(table(), NamedColumns(inputs=("c",), target="label"), "train")
    assert list(few.inputs) == ["c"]


def test_two_tasks_and_several_columns_of_one():
    raw = read(table(), NamedColumns(target={"kind": "label", "size": ("n", "w")}), "train")
    assert raw.labels["size"].tolist() == [[1, 1], [2, 2], [3, 1], [4, 2]]
    assert raw.label_columns == {"kind": ("label",), "size": ("n", "w")} and list(raw.labels["kind"]) == list(Y)


def test_outside_train_ids_groups_weights_and_dropped_columns_may_be_missing():
    bare = table()[["n", "c", "label"]]
    for split in ("validation", "test", "unlabeled"):
        raw = read(bare, NAMED, split)
        assert list(raw.inputs) == ["n", "c"] and raw.ids is raw.groups is raw.weight is None
    with pytest.raises(ConfigError, match="columns 'row', 'who', 'w', 'junk' in train, not found"):
        read(bare, NAMED, "train")


@pytest.mark.parametrize("there", [True, False])
def test_labels_of_unlabelled_rows_are_not_read(there):
    frame = table() if there else table().drop(columns="label")
    raw = read(frame, NAMED, "unlabeled")
    assert raw.labels == {} and list(raw.inputs) == ["n", "c"]


def test_one_of_two_labels_in_the_unlabelled_file_is_left_out_too():
    two = NamedColumns(target={"a": "label", "b": "w"}, inputs=())
    assert list(read(table()[["n", "w"]], two, "unlabeled").inputs) == ["n"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (NamedColumns(target="lable"), "column 'lable' in train, not found\n\ndid you mean 'label'\\?"),
        (NamedColumns(target="label", id="rwo", weight="weight"), "columns 'rwo', 'weight' in train.*\n\nfor 'rwo'"),
        (NamedColumns(inputs=("n", "label"), target="label"), "'label' is the target and in columns.inputs\n\ntake it"),
        (NamedColumns(target="label", drop=("label",)), "'label' is the target and in columns.drop"),
        (NamedColumns(target="label", drop=("n", "c", "who", "w", "row", "junk")), "input columns in train, every"),
    ],
)  # fmt: skip
def test_columns_that_are_refused(columns, text):
    with pytest.raises(ConfigError, match=text):
        read(table(), columns, "train")


def test_repeated_names_and_infinite_numbers_are_refused():
    twice = pd.concat([table(), table()[["n"]]], axis=1)
    with pytest.raises(ConfigError, match="distinct column names, got 'n' twice\n\nrename"):
        read(twice, NAMED, "train")
    with pytest.raises(ConfigError, match=r"finite numbers in column 'n' of test, got infinity .* in 4 rows"):
        read(table().assign(n=-np.inf), NAMED, "test")
    with pytest.raises(ConfigError, match=r"expected numbers in column 'n', got '1000.*' in row 0"):
        read(table().assign(n=[10**400, 1, 1, 1]), NAMED, "train")
    with pytest.raises(ConfigError, match="numbers or text in column 'n', got a dict\n\nleave the column out"):
        read(table().assign(n=[{"a": 1}] * 4), NAMED, "train")


def test_without_named_columns_the_target_and_the_id_are_guessed_and_said():
    raw = read(table().rename(columns={"row": "id"}), None, "train")
    assert raw.columns == NamedColumns(target="label", id="id") and "label" not in raw.inputs and "id" not in raw.inputs
    assert raw.notes == ("columns were not named: target: label (by its name); id: id (by its name, every value once)",)
    last = read(table()[["n", "c"]], None, "train")
    assert last.columns.target == "c" and "the last column" in last.notes[0]
    assert guess_columns(pd.DataFrame({"id": [1, 1], "Class": [0, 1]}))[0] == NamedColumns(target="Class")


def test_a_mapping_of_columns_is_a_table():
    raw = read({"n": [1, 2], "label": ["a", "b"]}, None, "train")
    assert raw.kind == "table" and list(raw.inputs) == ["n"]


def test_dates_become_days_and_it_is_said():
    frame = pd.DataFrame({"d": pd.to_datetime(["1970-01-02", None]), "y": [0, 1]})
    raw = read(frame, NamedColumns(target="y"), "train")
    np.testing.assert_array_equal(raw.inputs["d"], [1, np.nan])
    assert raw.notes == ("dates in d became days since 1970",)


# ------------------------------------------------------------------------------------------ data sets


def test_torch_data_sets_of_pairs_inputs_and_mappings():
    pairs = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor([0, 1, 0, 1]))
    raw = read(pairs, None, "train")
    np.testing.assert_array_equal(raw.inputs, X)
    assert raw.kind == "array" and list(raw.labels["main"]) == [0, 1, 0, 1]
    assert read(Listed(list(X)), None, "unlabeled").labels == {}
    assert read(pairs, None, "unlabeled").labels == {}
    records = Listed([{"id": i, "x": X[i], "label": Y[i]} for i in range(4)])
    raw = read(records, None, "train")
    np.testing.assert_array_equal(raw.inputs, X)
    assert list(raw.labels["main"]) == list(Y)


def test_torch_labels_may_be_vectors_or_several_tasks():
    many = Listed([(torch.zeros(2), torch.tensor([1.0, 0.0, 1.0])) for _ in range(3)])
    assert read(many, None, "train").labels["main"].tolist() == [[1, 0, 1]] * 3
    tasks = Listed([(X[i], {"kind": Y[i], "size": float(i)}) for i in range(4)])
    raw = read(tasks, None, "train")
    assert list(raw.labels["kind"]) == list(Y) and list(raw.labels["size"]) == [0, 1, 2, 3]


def test_records_of_numbers_and_text_are_a_table_with_named_columns():
    records = Listed(table().to_dict("records"))
    raw = read(records, NAMED, "train")
    assert raw.kind == "table" and list(raw.inputs) == ["n", "c"] and raw.weight.tolist() == [1, 2, 1, 2]
    assert raw.inputs["n"].dtype == np.float64


def test_images_of_a_torch_data_set_are_stacked_and_resized():
    pictures = Listed([(Image.new("RGB", (5, 4)), 0), (Image.new("L", (5, 4)), 1)])
    raw = read(pictures, None, "train")
    assert raw.kind == "image" and raw.inputs.shape == (2, 4, 5, 3)
    sizes = Listed([(Image.new("L", (5, 4)), 0), (Image.new("L", (6, 4)), 1)])
    assert read(sizes, None, "train", size=(3, 2)).inputs.shape == (2, 3, 2)
    with pytest.raises(ConfigError, match=r"images of one size in train, got 4x5 and 4x6\n\ngive lb.Data\(image_size"):
        read(sizes, None, "train")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "rows in train, the data set is empty"),
        ([(1, 2, 3)], r"items \(x, y\) or x in the data set of train, got 3 parts\n\ngive items as mappings"),
        ([(np.zeros(2), 0), (np.zeros(3), 1)], r"rows of one shape in train, got \(2,\) and \(3,\)"),
        ([{"x": 1, "y": 2}, {"x": 1}], "items with x, y in train, got x in row 1\n\ngive every item the same names"),
    ],
)
def test_data_sets_that_are_refused(items, text):
    with pytest.raises(ConfigError, match=text):
        read(Listed(items), None, "train")


def hub(rows=4, **features):
    columns = {"n": [float(i) for i in range(rows)], "label": [1, 0, -1, 1][:rows]}
    given = {"n": datasets.Value("float64"), "label": datasets.ClassLabel(names=["yes", "no"]), **features}
    return columns, datasets.Features(given)


def test_hugging_face_classes_keep_their_names_and_their_order_and_minus_one_is_missing():
    columns, features = hub()
    raw = read(datasets.Dataset.from_dict(columns, features=features), None, "train")
    assert list(raw.labels["main"]) == ["no", "yes", None, "no"] and raw.classes == {"main": ("yes", "no")}
    assert raw.kind == "table" and list(raw.inputs) == ["n"]
    torchy = datasets.Dataset.from_dict(columns, features=features).with_format("torch")
    assert list(read(torchy, None, "train").labels["main"]) == ["no", "yes", None, "no"]


def test_hugging_face_images_become_arrays():
    columns, features = hub(3, image=datasets.Image())
    columns["image"] = [Image.new("L", (5, 4), i) for i in range(3)]
    given = datasets.Dataset.from_dict(columns, features=features)
    raw = read(given, None, "train")
    assert raw.kind == "image" and raw.inputs.shape == (3, 4, 5) and raw.inputs[:, 0, 0].tolist() == [0, 1, 2]
    assert list(raw.labels["main"]) == ["no", "yes", None]
    assert read(given, NamedColumns(target="n"), "train").labels["main"].tolist() == [0, 1, 2]
    assert read(given, None, "train", size=(2, 2)).inputs.shape == (3, 2, 2)
    assert read(given.remove_columns(["label"]), raw.columns, "unlabeled").inputs.shape == (3, 4, 5)


def test_hugging_face_images_that_are_refused():
    columns, features = hub(2, image=datasets.Image())
    sizes = {**columns, "image": [Image.new("L", (5, 4)), Image.new("L", (5, 5))]}
    with pytest.raises(ConfigError, match="images of one size in train, got 4x5 and 5x5"):
        read(datasets.Dataset.from_dict(sizes, features=features), None, "train")
    gone = {**columns, "image": [Image.new("L", (5, 4)), None]}
    with pytest.raises(ConfigError, match="an image in row 1 of train, got none\n\nleave the row out"):
        read(datasets.Dataset.from_dict(gone, features=features), None, "train")


def test_a_stream_of_the_hub_gives_the_rows_of_the_data_set():
    columns, features = hub()
    given = datasets.Dataset.from_dict(columns, features=features)
    streamed, held = read(given.to_iterable_dataset(), None, "train"), read(given, None, "train")
    np.testing.assert_array_equal(streamed.inputs.whole(), held.inputs)
    assert list(streamed.labels["main"]) == list(held.labels["main"])


def test_empty_sets_and_several_splits_are_refused():
    columns, features = hub()
    given = datasets.Dataset.from_dict(columns, features=features)
    with pytest.raises(ConfigError, match="rows in train, the data set is empty"):
        read(given.select([]), None, "train")
    with pytest.raises(
        ConfigError, match=r"one split for train, got a mapping of several \(train, test\)\n\ngive each"
    ):
        read(datasets.DatasetDict(train=given, test=given), None, "train")


# ------------------------------------------------------------------------------------------ folders of images


def test_class_folders_name_the_classes_and_files_name_the_rows(tmp_path):
    for name in ("cat/1.png", "cat/old/2.PNG", "dog/3.jpg", "dog/.hidden.png"):
        image(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no image")
    raw = read(tmp_path, None, "train")
    assert raw.kind == "image" and raw.inputs.shape == (3, 4, 5, 3)
    assert list(raw.labels["main"]) == ["cat", "cat", "dog"] and raw.ids.tolist() == [
        "cat/1.png", "cat/old/2.PNG", "dog/3.jpg",
    ]  # fmt: skip
    assert read(tmp_path, None, "unlabeled").labels == {}


def test_a_flat_folder_has_no_labels(tmp_path):
    image(tmp_path, "1.png", mode="L")
    raw = read(str(tmp_path), None, "unlabeled")
    assert raw.labels == {} and raw.inputs.shape == (1, 4, 5)


def test_grey_among_coloured_images_becomes_coloured(tmp_path):
    image(tmp_path, "a/1.png", 7, mode="L")
    image(tmp_path, "b/2.png", 9)
    assert read(tmp_path, None, "train").inputs[:, 0, 0].tolist() == [[7, 7, 7], [9, 9, 9]]


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected images in .*, there are none\n\nknown endings: .png"):
        read(tmp_path, None, "train")
    image(tmp_path, "a/1.png")
    image(tmp_path, "b/2.png", size=(6, 4))
    with pytest.raises(ConfigError, match=r"images of one size in .*, got 4x5 and 4x6\n\ngive lb.Data\(image_size="):
        read(tmp_path, None, "train")
    assert read(tmp_path, None, "train", size=(8, 9)).inputs.shape == (2, 8, 9, 3)
    (tmp_path / "b" / "3.png").write_bytes(b"\x89PNG no")
    with pytest.raises(ConfigError, match=r"an image at .*3.png, got: .*\n\nremove or replace it"):
        read(tmp_path, None, "train")


def test_a_cut_image_and_an_image_outside_its_class_are_refused(tmp_path):
    image(tmp_path, "a/1.png", size=(64, 64))
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"an image at .*2.png, got: "):
        read(tmp_path, None, "train")
    (tmp_path / "a" / "2.png").unlink()
    image(tmp_path, "stray.png", size=(64, 64))
    with pytest.raises(ConfigError, match=r"in a folder named as its class, got stray.png in .* itself\n\nmove it"):
        read(tmp_path, None, "train")
