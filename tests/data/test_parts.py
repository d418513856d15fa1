"""Rows of several parts: mappings, columns of tables, what is missing, and every way to get them wrong."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import limbeck as lb
from limbeck.core.parts import Parts, flattened
from limbeck.data.keys import row_keys
from limbeck.data.sources import read

N = 40


def draw(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "title": [f"{rng.choice(['red', 'blue', 'old'])} thing number {i}" for i in range(N)],
        "numbers": pd.DataFrame({"a": rng.normal(size=N), "b": rng.choice(["x", "y"], N)}),
        "picture": rng.integers(0, 255, (N, 6, 6), dtype=np.uint8),
        "signal": rng.normal(size=(N, 3)).astype(np.float32),
    }


def labels(seed=1):
    return np.random.default_rng(seed).integers(0, 2, N)


def data_of(parts, **more):
    return lb.Data(train=(parts, labels()), task="classification", test_fraction=0.3, **more)


def test_parts_are_a_mapping_of_columns():
    parts = Parts(draw(), {"title": "text"})
    assert len(parts) == N and list(parts) == ["title", "numbers", "picture", "signal"]
    few = Parts({"a": np.arange(N), "f": draw()["numbers"]})
    taken = few[np.array([3, 1])]
    assert taken["a"].tolist() == [3, 1] and list(taken["f"].index) == [0, 1]
    assert len(few[:5]) == 5 and few.plain().keys() == {"a", "f"}
    with pytest.raises(lb.ConfigError, match="expected a part named a or f, got 'aa'"):
        few["aa"]


def test_nested_mappings_get_dotted_names():
    assert list(flattened({"a": {"b": 1, "c": {"d": 2}}, "e": 3})) == ["a.b", "a.c.d", "e"]
    with pytest.raises(lb.ConfigError, match=r"distinct names of parts, got 'a\.b' twice"):
        flattened({"a": {"b": 1}, "a.b": 2})
    parts = draw()
    data = data_of({"words": {"title": parts["title"]}, "numbers": parts["numbers"]})
    assert data.train.inputs.names == ("words.title", "numbers")


def test_each_part_is_of_its_kind():
    data = data_of(draw())
    assert data.train.kind == "parts"
    assert data.train.inputs.kinds == {"title": "text", "numbers": "table", "picture": "image", "signal": "array"}
    assert {n: p.spec["kind"] for n, p in data.preprocess.parts.items()} == data.train.inputs.kinds
    assert data.preprocess.parts["picture"].shape == (1, 6, 6)
    assert len(data.train) + len(data.validation) + len(data.test) == N


def test_keys_do_not_depend_on_the_order_of_parts_and_tell_every_part():
    one, other = data_of(draw()), data_of(dict(reversed(draw().items())))
    assert np.array_equal(np.sort(one.train.keys, 0), np.sort(other.train.keys, 0))
    changed = draw()
    changed["picture"][0] += 1
    base = Parts(draw() | {"title": pd.DataFrame({"title": draw()["title"]})}, one.train.inputs.kinds)
    moved = Parts(changed | {"title": base["title"]}, one.train.inputs.kinds)
    same = (row_keys("parts", base) == row_keys("parts", moved)).all(axis=1)
    assert not same[0] and same[1:].all()


def table_of_parts(tmp_path):
    parts = draw()
    for i, pixels in enumerate(parts["picture"]):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    files = [f"{i}.png" for i in range(N)]
    return parts["numbers"].assign(title=parts["title"], file=files, label=labels()), parts


def test_columns_of_a_table_make_parts_files_of_images_beside_it(tmp_path):
    frame, parts = table_of_parts(tmp_path)
    frame.to_csv(tmp_path / "train.csv", index=False)
    columns = lb.Columns(inputs={"text": ["title"], "table": ["a", "b"], "image": ["file"]}, target="label")
    data = lb.Data(train=tmp_path / "train.csv", columns=columns, test_fraction=0.3)
    assert data.train.inputs.kinds == {"text": "text", "table": "table", "image": "image"}
    row = int(data.train.inputs["text"]["title"][0].rsplit(" ", 1)[1])
    assert np.array_equal(data.train.inputs["image"][0], parts["picture"][row])


def test_missing_texts_are_empty_and_missing_pictures_are_black_and_both_are_said(tmp_path):
    frame, _ = table_of_parts(tmp_path)
    frame.loc[3, "title"], frame.loc[4, "file"] = None, None
    frame.to_csv(tmp_path / "train.csv", index=False)
    columns = lb.Columns(inputs={"text": ["title"], "image": ["file"]}, target="label")
    data = lb.Data(train=tmp_path / "train.csv", columns=columns, test_fraction=0.3)
    said = [finding.measured for finding in data.findings if finding.code == "LB111"]
    assert "1 missing texts in 'title' of train count as empty" in said
    assert "1 missing entries in 'file' of train count as zeros" in said
    images = np.concatenate([data.train.inputs["image"], data.validation.inputs["image"], data.test.inputs["image"]])
    texts = [
        *data.train.inputs["text"]["title"],
        *data.validation.inputs["text"]["title"],
        *data.test.inputs["text"].title,
    ]
    assert (images == 0).all(axis=(1, 2)).sum() == 1 and texts.count("") == 1


def test_a_list_of_pictures_with_a_hole():
    pictures = [None if i == 2 else np.full((4, 4), i, np.uint8) for i in range(N)]
    data = data_of({"picture": pictures, "signal": draw()["signal"]})
    assert data.train.inputs.kinds["picture"] == "image"


def test_numbers_of_splits_agree_part_by_part():
    train, test = draw(), draw(3)
    test["numbers"] = test["numbers"][["b", "a"]]
    data = lb.Data(train=(train, labels()), unlabeled=draw(5), test=(test, labels(2)))
    assert list(data.test.inputs["numbers"].columns) == ["a", "b"] and data.unlabeled.kind == "parts"


def test_views_are_of_parts():
    data = data_of(draw(), view={"title": "drop(0.5)", "picture": "noise(0.2)"}, views=3)
    assert data.view.describe() == "title: drop(0.5), picture: noise(0.2)"
    rows = data.train.take(np.arange(5))
    seen = data.view(rows.inputs, rows.keys, np.ones(5, int))
    assert not np.array_equal(seen["picture"], rows.inputs["picture"])
    assert np.array_equal(seen["signal"], rows.inputs["signal"])
    again = data.view(rows.inputs, rows.keys, np.ones(5, int))
    assert np.array_equal(seen["picture"], again["picture"]) and seen["title"].equals(again["title"])


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("drop(0.1)", "expected a view for each part that has one, got 'drop"),
        ({"titel": "drop(0.1)"}, "did you mean 'title'"),
        ({"picture": "drop(0.1)"}, "part 'picture': expected a view of image rows"),
    ],
)
def test_views_that_are_refused(view, said):
    with pytest.raises(lb.ConfigError, match=said.replace("(", r"\(")):
        data_of(draw(), view=view)


def refused(parts, said, **more):
    with pytest.raises(lb.ConfigError) as error:
        data_of(parts, **more)
    assert said in f"{error.value}"
    return str(error.value)


def test_parts_of_different_lengths():
    refused(draw() | {"signal": np.zeros((3, 2))}, "expected parts of one length, got 40 in 'title'")


def test_a_part_whose_kind_cannot_be_seen():
    refused(draw() | {"odd": [{"x"} for _ in range(N)]}, "part 'odd': expected a text, a number, an array or an image")
    refused(draw() | {"odd": object()}, "part 'odd': expected texts, a frame, an array or images in train, got object")
    refused(draw() | {"odd": [None] * N}, "part 'odd': expected something in train, all 40 entries are missing")
    refused(draw() | {"odd": [np.zeros(i % 3 + 1) for i in range(N)]}, "part 'odd': expected rows of one shape")
    refused({}, "expected parts of the rows of train, got none")


def test_a_constant_part_is_named():
    refused(draw() | {"numbers": pd.DataFrame({"a": np.ones(N)})}, "part 'numbers': expected columns that vary")


def test_test_rows_that_lack_a_part():
    short = {name: part for name, part in draw().items() if name != "signal"}
    renamed = {"titel" if name == "title" else name: part for name, part in draw().items()}
    with pytest.raises(lb.ConfigError, match=r"expected the same parts in test as in train \(title, .*missing: signal"):
        lb.Data(train=(draw(), labels()), test=(short, labels()))
    with pytest.raises(lb.ConfigError, match="did you mean 'title'"):
        lb.Data(train=(draw(), labels()), test=(renamed, labels()))
    with pytest.raises(lb.ConfigError, match=r"expected rows of parts .* in test, as in train, got rows of kind array"):
        lb.Data(train=(draw(), labels()), test=(draw()["signal"], labels()))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"text": ["title"], "table": ["a", "title"]}, "'title' is in 'text' and in 'table'"),
        ({"text": ["titel"], "table": ["a"]}, "did you mean 'title'"),
        ({"text": ["title"], "table": []}, "expected columns for the part 'table', got none"),
        ({"text": ["title"], "table": ["label"]}, "'label' is the target and in columns.inputs"),
    ],
)
def test_columns_of_parts_that_are_refused(inputs, said, tmp_path):
    frame, _ = table_of_parts(tmp_path)
    with pytest.raises(lb.ConfigError) as error:
        lb.Data(train=frame, columns=lb.Columns(inputs=inputs, target="label"), test_fraction=0.3)
    assert said in str(error.value)


def test_a_recipe_says_the_same_of_its_columns():
    recipe = lb.Recipe.from_text(
        "data: {builtin: digits, columns: {inputs: {text: title, table: [a, b]}, target: y}}\n"
        'teacher: parts\nstudent: parts(text="bag_of_words(dim=4)")\n'
    )
    assert recipe.data.columns.inputs == {"text": "title", "table": ("a", "b")}
    with pytest.raises(lb.ConfigError, match="expected the network of the part 'text' as text, got 3"):
        lb.Recipe.from_text("data: digits\nteacher: parts\nstudent: parts(text=3)\n")


def test_a_table_of_parts_without_labels_is_read_as_parts(tmp_path):
    frame, _ = table_of_parts(tmp_path)
    frame.drop(columns="label").to_csv(tmp_path / "more.csv", index=False)
    columns = lb.Columns(inputs={"text": ("title",), "image": ("file",)})
    raw = read(tmp_path / "more.csv", columns, "unlabeled")
    assert raw.kind == "parts" and raw.inputs.kinds == {"text": "text", "image": "image"}
