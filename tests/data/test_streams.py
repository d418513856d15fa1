"""Streams as splits: what they may be given as, what is refused in words, and spooling that is killed or changed."""

import io
import os
import tarfile

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import limbeck as lb
from limbeck.core import files
from limbeck.core.errors import ConfigError, LimbeckError, StoreDamaged, StoreMismatch
from limbeck.data import rows as rows_module
from limbeck.data.keys import found_in, row_keys
from limbeck.data.mixing import WindowOrder, WindowReader, order_of_rows
from limbeck.data.ondisk import DiskArray, DiskTable, OnDisk
from limbeck.data.order import Order
from limbeck.data.preprocess import Preprocess
from limbeck.data.rows import Rows
from limbeck.data.sources import NamedColumns, read
from limbeck.data.statistics import medians
from limbeck.data.streams import spool
from limbeck.data.streams.shards import shards_of
from limbeck.data.views import view_of

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 5)).astype(np.float32)
Y = DRAW.integers(0, 3, 60)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "limbeck" / "streams"


def npy(value):
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def png(value):
    buffer = io.BytesIO()
    Image.fromarray(value).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def numbered(rows, first=0, labels=None):
    found = {}
    for place, row in enumerate(rows):
        found[f"{first + place:06d}.npy"] = npy(row)
        if labels is not None:
            found[f"{first + place:06d}.cls"] = str(labels[place]).encode()
    return found


def shards(folder, parts=3):
    folder.mkdir(exist_ok=True)
    each = len(X) // parts
    return [
        tar(folder / f"s-{n}.tar", numbered(X[n * each : (n + 1) * each], n * each, Y[n * each : (n + 1) * each]))
        for n in range(parts)
    ]


def opened(given, split="train", columns=None):
    raw = read(given, columns, split)
    assert isinstance(raw.inputs, OnDisk)
    return raw


# ------------------------------------------------------------------------------------------ what a stream may be


def test_tar_shards_are_rows_with_their_classes(tmp_path):
    shards(tmp_path / "in")
    for given in (str(tmp_path / "in" / "s-{0..2}.tar"), tmp_path / "in", str(tmp_path / "in" / "*.tar")):
        raw = opened(given)
        assert isinstance(raw.inputs, DiskArray) and raw.kind == "array"
        assert raw.inputs.shape == (60, 5) and raw.inputs.dtype == np.float32
        np.testing.assert_array_equal(raw.inputs.whole(), X)
        np.testing.assert_array_equal(raw.labels["main"], Y)
        np.testing.assert_array_equal(raw.inputs.own_keys, row_keys("array", X))


def test_tar_shards_of_images_and_json(tmp_path):
    pixels = DRAW.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    gray = DRAW.integers(0, 256, (6, 5), dtype=np.uint8)
    members = {}
    for row in range(4):
        members |= {f"a/{row}.png": png(pixels[row]), f"a/{row}.json": b'{"label": "cat", "source": "x"}'}
    members |= {"a/4.png": png(gray), "a/4.json": b'{"label": "dog", "source": "y"}', "a/4.xml": b"<no/>"}
    raw = opened(tar(tmp_path / "one.tar", members))
    assert raw.kind == "image" and raw.inputs.shape == (5, 6, 5, 3)
    np.testing.assert_array_equal(raw.inputs[:4], pixels)
    np.testing.assert_array_equal(raw.inputs[4], np.repeat(gray[..., None], 3, axis=2))
    assert raw.labels["main"].tolist() == ["cat"] * 4 + ["dog"]


def frame_of(rows=60):
    frame = pd.DataFrame(X[:rows].astype(np.float64), columns=list("abcde"))
    frame["colour"] = np.where(frame["a"] > 0, "red", "blue")
    frame["count"] = np.arange(rows)
    frame.loc[3, "b"] = np.nan
    frame.loc[4, "colour"] = None
    frame["label"] = np.where(frame["c"] > 0, "yes", "no")
    return frame


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl"])
def test_shards_of_tables_have_the_keys_of_the_table(tmp_path, ending):
    frame = frame_of()
    (tmp_path / "in").mkdir()
    for shard in range(3):
        part, path = frame[20 * shard : 20 * shard + 20], tmp_path / "in" / f"{shard}.{ending}"
        if ending == "parquet":
            part.to_parquet(path)
        elif ending == "jsonl":
            part.to_json(path, orient="records", lines=True)
        else:
            part.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    raw = opened(tmp_path / "in")
    held = read(frame, None, "train")
    assert isinstance(raw.inputs, DiskTable)
    keys = row_keys("table", raw.inputs.whole())
    np.testing.assert_array_equal(raw.inputs.own_keys, keys)
    if ending == "parquet":  # text loses the last bits of a number
        np.testing.assert_array_equal(keys, row_keys("table", held.inputs))
    assert raw.labels["main"].tolist() == frame["label"].tolist()


def test_iterables_give_rows_or_batches():
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return ((torch.from_numpy(x), int(y)) for x, y in zip(X, Y, strict=True))

    hub = datasets.Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()}).to_iterable_dataset()
    ways = {
        "function of rows": lambda: zip(X, Y, strict=True),
        "generator of batches": ((X[i : i + 7], Y[i : i + 7]) for i in range(0, 60, 7)),
        "function of tables": lambda: (frame_of()[["a", "b", "label"]][i : i + 11] for i in range(0, 60, 11)),
        "mappings": lambda: ({"x": x, "label": int(y)} for x, y in zip(X, Y, strict=True)),
        "torch": Endless(),
        "mappings of columns": lb.Stream(lambda: ({"x": list(X[i : i + 9]), "label": Y[i : i + 9]}
                                                  for i in range(0, 60, 9)), batches=True),
    }  # fmt: skip
    for name, given in ways.items():
        raw = opened(given)
        assert len(raw.inputs) == 60, name
        if name != "function of tables":
            np.testing.assert_array_equal(raw.inputs.whole(), X)
            np.testing.assert_array_equal(raw.labels["main"], Y)
    raw = opened(hub)
    np.testing.assert_allclose(raw.inputs.whole(), X)
    assert raw.labels["main"].tolist() == Y.tolist()


def test_the_temporary_folder_of_an_iterable_goes_with_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(spool.tempfile, "tempdir", str(tmp_path))
    raw = opened(lambda: iter(X))
    part = raw.inputs.pick(np.arange(5))
    assert len(list(tmp_path.glob("limbeck-stream-*"))) == 1
    del raw
    assert len(part.whole()) == 5
    del part
    assert not list(tmp_path.glob("limbeck-stream-*"))


def test_names_of_shards(tmp_path):
    for name in ("t-098.tar", "t-099.tar", "t-100.tar", "other.csv"):
        (tmp_path / name).touch()
    found = shards_of(str(tmp_path / "t-{098..100}.tar"), "train")
    assert [shard.path.name for shard in found] == ["t-098.tar", "t-099.tar", "t-100.tar"]
    with pytest.raises(ConfigError, match=r"expected 5 shards of train, 2 are not there, the first is .*t-096.tar"):
        shards_of(str(tmp_path / "t-{096..100}.tar"), "train")
    with pytest.raises(ConfigError, match="there are none"):
        shards_of(str(tmp_path / "u-*.tar"), "train")
    with pytest.raises(ConfigError, match=r"a range that goes up, got \{9..1\}"):
        shards_of("t-{9..1}.tar", "train")
    with pytest.raises(ConfigError, match=r"of one kind, got \.csv and \.tar"):
        shards_of([tmp_path / "other.csv", tmp_path / "t-098.tar"], "train")


# ------------------------------------------------------------------------------------------ what is refused


def test_damaged_shards_are_named_with_their_member(tmp_path):
    members = numbered(X[:4])
    broken = tar(tmp_path / "a.tar", members | {"000002.npy": members["000002.npy"][:-3]})
    with pytest.raises(ConfigError, match=r"expected an array in 000002.npy of .*a.tar, got: "):
        opened(broken, "unlabeled")
    image = tar(tmp_path / "b.tar", {"1.png": png(np.zeros((4, 4), np.uint8)), "2.png": b"no image"})
    with pytest.raises(ConfigError, match=r"expected an image in 2.png of .*b.tar, got: "):
        opened(image, "unlabeled")
    whole = tar(tmp_path / "c.tar", members).read_bytes()
    for cut, message in ((1536, "last 1024 bytes are not the zeros"), (3000, "last 1024 bytes are not the zeros")):
        (tmp_path / "c.tar").write_bytes(whole[:cut])
        with pytest.raises(ConfigError, match=rf"expected a whole tar at .*c.tar, its {message}"):
            opened(tmp_path / "c.tar", "unlabeled")
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as file:
        for name, data in numbered(X).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    data = (tmp_path / "d.tar.gz").read_bytes()
    (tmp_path / "d.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigError, match=r"a whole tar at .*d.tar.gz, it cannot be read behind 0000\d\d.npy"):
        opened(tmp_path / "d.tar.gz", "unlabeled")
    objects = tar(tmp_path / "e.tar", {"1.npy": npy(X[0]), "2.npy": b"\x93NUMPY"})
    with pytest.raises(ConfigError, match=r"an array in 2.npy of .*e.tar"):
        opened(objects, "unlabeled")
    (tmp_path / "f.parquet").write_bytes(b"PAR1no")
    with pytest.raises(ConfigError, match=r"a table that can be read at .*f.parquet"):
        opened(lb.Stream([tmp_path / "f.parquet"]), "unlabeled")


def test_rows_of_another_shape_or_dtype_are_named(tmp_path):
    path = tar(tmp_path / "a.tar", numbered([X[0], X[1], X[2, :4]]))
    with pytest.raises(ConfigError, match=r"'npy' of shape \(4,\) in row 000002 of .*a.tar behind rows of \(5,\)"):
        opened(path, "unlabeled")
    first, second = tar(tmp_path / "b.tar", numbered(X[:2])), tar(tmp_path / "c.tar", numbered(X[:2, :3], 2))
    with pytest.raises(
        ConfigError, match=r"one shape in unlabeled, got 'npy' of shape \(3,\) in row 000002 of .*c.tar"
    ):
        opened(lb.Stream([first, second]), "unlabeled")
    with pytest.raises(ConfigError, match=r"expected rows of unlabeled as uint8, as those before, got float32"):
        opened(lambda: iter([np.ones((4, 3), np.uint8), X[:4, :3]]), "unlabeled")
    with pytest.raises(ConfigError, match=r"row 2: expected .*|infinity"):
        opened(lambda: iter([X[0], X[1], np.array([1, 2, np.inf, 0, 0], np.float32)]), "unlabeled")


def test_columns_that_change_and_texts_are_refused():
    first = pd.DataFrame({"a": [1.0], "b": [2.0]})
    many = [f"row {n}" for n in range(70_000)]
    cases = {
        "the columns a, b in unlabeled, as in the rows before, got a, c": [
            first,
            pd.DataFrame({"a": [1.0], "c": [2.0]}),
        ],
        r"numbers up to 2\^53 in column 'b'": [pd.DataFrame({"a": [1.0], "b": [2**60 + 1]})],
        "numbers in column 'b', got 'red'": [first, pd.DataFrame({"a": [1.0], "b": ["red"]})],
        "categories in column 'b' .*, got more than 65,536": [pd.DataFrame({"a": 1.0, "b": many, "c": 2.0})],
        "rows of numbers, categories, images or texts .*, got lists of words": [
            pd.DataFrame({"t": [["a", "b"], ["c"]]})
        ],
        "the stream gave none": [],
    }
    for message, tables in cases.items():
        with pytest.raises(LimbeckError, match=message):
            opened(lambda tables=tables: iter(tables), "unlabeled", NamedColumns())


def test_a_stream_beside_other_columns_or_a_fitted_estimator_is_refused(tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(rows_module, "HELD", 64)
    frame = frame_of()
    with pytest.raises(ConfigError, match="the same input columns in unlabeled as in train, missing: e"):
        lb.Data(train=frame, unlabeled=lambda: iter([frame.drop(columns=["label", "e"])]))
    data = lb.Data(train=lambda: iter([(X, Y)]), test=(X[:9] + 9, Y[:9]))
    with pytest.raises(
        ConfigError, match=r"a teacher that is trained in batches .* LogisticRegression is fitted on all"
    ):
        lb.teach(LogisticRegression(), data, out=tmp_path / "run")


# ------------------------------------------------------------------------------------------ killed and changed


class Killed(BaseException):
    pass


def test_spooling_goes_on_where_it_was_killed(tmp_path, cache, monkeypatch):
    """At every commit: inside it, and behind it."""
    paths = shards(tmp_path / "in")
    whole = opened(lb.Stream(paths, cache=tmp_path / "whole"))
    commit, calls = files.commit, []

    def killed_at(number, behind):
        def killing(path, write, *, append=False):
            calls.append(path)
            if len(calls) == number and not behind:
                (path.parent / f".{path.name}.1-1.tmp").write_bytes(b"half")
                raise Killed
            commit(path, write, append=append)
            if len(calls) == number:
                raise Killed

        return killing

    for behind in (False, True):
        for number in range(1, 15):  # the first line, three files and a line for each shard, the last line
            stream = lb.Stream(paths, cache=tmp_path / f"{behind}-{number}")
            calls.clear()
            monkeypatch.setattr(files, "commit", killed_at(number, behind))
            with pytest.raises(Killed):
                opened(stream)
            monkeypatch.setattr(files, "commit", commit)
            raw = opened(stream)
            np.testing.assert_array_equal(raw.inputs.whole(), whole.inputs.whole())
            np.testing.assert_array_equal(raw.labels["main"], whole.labels["main"])
            np.testing.assert_array_equal(raw.inputs.keys, whole.inputs.keys)
            assert not list((tmp_path / f"{behind}-{number}").rglob("*.tmp"))


def test_a_finished_folder_is_read_and_not_the_shards(tmp_path, monkeypatch):
    shards(tmp_path / "in")
    opened(tmp_path / "in")
    monkeypatch.setattr(spool.Batches, "of_shard", None)
    np.testing.assert_array_equal(opened(tmp_path / "in").inputs.whole(), X)


def test_shards_that_changed_are_refused(tmp_path):
    paths = shards(tmp_path / "in")
    opened(tmp_path / "in")
    os.utime(paths[1])  # touched, and the same
    opened(tmp_path / "in")
    data = bytearray(paths[1].read_bytes())
    data[700] ^= 1
    paths[1].write_bytes(data)
    with pytest.raises(StoreMismatch, match=r"the shard .*s-1.tar as it was when it was read .* it has changed"):
        opened(tmp_path / "in")


def test_an_iterable_that_gives_other_rows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "PART_BYTES", 200)

    def stream(x, y=Y, **more):
        return lb.Stream(lambda: ((x[i : i + 10], y[i : i + 10]) for i in range(0, len(x), 10)), tmp_path / "c", **more)

    first = opened(stream(X))
    np.testing.assert_array_equal(opened(stream(X)).inputs.whole(), first.inputs.whole())
    other = X.copy()
    other[37, 2] += 1
    with pytest.raises(StoreMismatch, match="it gives another row at 7 of part 3"):
        opened(stream(other))
    with pytest.raises(StoreMismatch, match="it gives other labels in part 2"):
        opened(stream(X, np.where(np.arange(60) == 25, (Y + 1) % 3, Y)))
    with pytest.raises(StoreMismatch, match="it gives fewer than 6 parts"):
        opened(stream(X[:50]))
    with pytest.raises(StoreMismatch, match="it gives more than 60 rows"):
        opened(stream(np.concatenate([X, X]), np.concatenate([Y, Y])))
    opened(stream(X, version="one"))
    np.testing.assert_array_equal(opened(stream(other, version="one")).inputs.whole(), X)  # as its version says


def test_an_iterable_that_was_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "PART_BYTES", 200)

    def until(last):
        for i in range(0, 60, 10):
            if i == last:
                raise Killed
            yield X[i : i + 10], Y[i : i + 10]

    with pytest.raises(Killed):
        opened(lb.Stream(lambda: until(30), tmp_path / "c"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("part-*")}
    assert len(before) == 9
    raw = opened(lb.Stream(lambda: until(-1), tmp_path / "c"))
    np.testing.assert_array_equal(raw.inputs.whole(), X)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_damaged_rows_on_disk_are_noticed(tmp_path, cache):
    shards(tmp_path / "in")
    opened(tmp_path / "in")
    (path,) = cache.glob("*/part-000001.rows")
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    raw = opened(tmp_path / "in")
    raw.inputs.rows([0])
    with pytest.raises(StoreDamaged, match=r"part-000001.rows to hold 20 rows .* not those that were written"):
        raw.inputs.rows([25])
    (path,) = cache.glob("*/part-000002.keys")
    path.write_bytes(b"")
    with pytest.raises(StoreDamaged, match=r"part-000002.keys as it was written"):
        opened(tmp_path / "in")


# ------------------------------------------------------------------------------------------ rows on disk


def test_rows_on_disk_are_taken_as_rows_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "HELD", 60)
    shards(tmp_path / "in")
    raw = opened(tmp_path / "in")
    keys = row_keys("array", X)
    disk, held = Rows("array", raw.inputs, keys), Rows("array", X, keys)
    for at in (DRAW.permutation(60), DRAW.integers(0, 60, 90), np.arange(60) % 3 == 0, np.arange(1), np.arange(0)):
        one, other = disk.take(at), held.take(at)
        assert isinstance(one.inputs, OnDisk) == (len(other) > 3)
        inputs = one.inputs.whole() if isinstance(one.inputs, OnDisk) else one.inputs
        np.testing.assert_array_equal(inputs, other.inputs)
        np.testing.assert_array_equal(one.keys, other.keys)
    both = Rows.concat([held.take(np.arange(7)), disk.take(np.arange(60)[::-1]), disk])
    np.testing.assert_array_equal(both.inputs.whole(), np.concatenate([X[:7], X[::-1], X]))
    np.testing.assert_array_equal(both.inputs[np.array([5, 80, 6])], np.stack([X[5], X[13], X[6]]))
    wide = raw.inputs.astype({"": np.float64})
    assert wide.dtype == np.float64 and wide.own_keys is None
    np.testing.assert_array_equal(row_keys("array", wide), keys)


def test_wide_floats_become_float32_where_another_split_has_them(tmp_path):
    wide = DRAW.normal(size=(60, 5))
    (tmp_path / "in").mkdir()
    tar(tmp_path / "in" / "0.tar", numbered(wide))
    one = lb.Data(train=(X, Y), unlabeled=tmp_path / "in", test=(X[:9] + 9, Y[:9]))
    other = lb.Data(train=(X, Y), unlabeled=wide, test=(X[:9] + 9, Y[:9]))
    assert one.fingerprint == other.fingerprint and one.preprocess == other.preprocess


def test_fitting_on_disk_gives_the_numbers_of_fitting_in_memory(tmp_path):
    frame = frame_of().drop(columns="label")
    raw = opened(lambda: iter([frame[:25], frame[25:]]), "unlabeled", NamedColumns())
    held = read(frame, NamedColumns(), "unlabeled")
    fitted = [Preprocess.fit(Rows("table", r.inputs, np.zeros((60, 2), np.uint64))) for r in (raw, held)]
    assert fitted[0].spec == fitted[1].spec
    pixels = DRAW.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    for given in (pixels, pixels.astype(np.float32), np.where(X > 1, np.nan, X)):
        raw, held = opened(lambda given=given: iter([given]), "unlabeled"), read(given, None, "unlabeled")
        fitted = [Preprocess.fit(Rows(r.kind, r.inputs, np.zeros((60, 2), np.uint64))) for r in (raw, held)]
        assert fitted[0].spec == fitted[1].spec


def test_medians_are_exact():
    for rows in (1, 2, 7, 500, 501):
        values = (DRAW.normal(size=(rows, 3)) * [1, 1e-30, 1e8]).astype(np.float32)
        values[: rows // 3, 1] = np.nan
        values[:, 2] = np.round(values[:, 2], -8)
        found = medians(
            lambda some, values=values: (values[i : i + 64, some] for i in range(0, len(values), 64)), [0, 1, 2]
        )
        wanted = np.nanmedian(values, axis=0)
        np.testing.assert_array_equal([found[n] for n in range(3)], wanted)


def test_orders_of_windows_are_permutations_that_can_be_entered_anywhere():
    order = WindowOrder(1003, 5, 10, 7)
    for epoch in range(2):
        whole = order.indices(epoch, 0, 5000)
        assert sorted(whole) == list(range(1003))
        for position in (0, 69, 70, 71, 500, 1000):
            np.testing.assert_array_equal(
                WindowOrder(1003, 5, 10, 7).indices(epoch, position, 90), whole[position : position + 90]
            )
        starts = order._layout(epoch)[1]
        for first, stop in zip(starts, [*starts[1:], 1003], strict=True):
            assert len(np.unique(whole[first:stop] // 10)) <= 7
    assert not np.array_equal(order.indices(0, 0, 1003), order.indices(1, 0, 1003))
    np.testing.assert_array_equal(
        order_of_rows(500, 3, 100).indices(0, 0, 500), Order(500, 3, chunk=500).indices(0, 0, 500)
    )
    assert isinstance(order_of_rows(10**6, 3, 100), WindowOrder)


def test_batches_are_read_through_the_chunks_of_a_window(tmp_path, monkeypatch):
    from limbeck.data import mixing

    monkeypatch.setattr(mixing, "CHUNK", 100)
    monkeypatch.setattr(mixing, "WINDOW", 300)
    shards(tmp_path / "in")
    reader = WindowReader(opened(tmp_path / "in").inputs, (13,))
    assert reader.chunk == 5
    order = mixing.order_of_rows(47, 1, 20)
    for start in range(0, 47, 8):
        index = np.concatenate([order.indices(0, start, 8) + 13, [start % 13]])
        np.testing.assert_array_equal(reader.rows(index), X[index])
        assert len(reader._held) <= reader.most < 12
    np.testing.assert_array_equal(reader.rows(np.arange(60)[::-1]), X[::-1])


def test_keys_found_among_others():
    keys = DRAW.integers(0, 4, (50, 2)).astype(np.uint64)
    others = DRAW.integers(0, 4, (9, 2)).astype(np.uint64)
    for some, more in ((keys, others), (others, keys), (keys[:0], others), (keys, others[:0])):
        wanted = [tuple(key) in set(map(tuple, more)) for key in some]
        np.testing.assert_array_equal(found_in(some, more), np.array(wanted, dtype=bool))
    distinct = np.stack([np.arange(40), np.arange(40) % 5], axis=1).astype(np.uint64)
    twice = np.concatenate([distinct[3:9], distinct[3:9]])
    for some, more in ((distinct, twice), (twice, distinct), (distinct[:2], distinct), (twice, distinct[5:])):
        wanted = [tuple(key) in set(map(tuple, more)) for key in some]
        np.testing.assert_array_equal(found_in(some, more), np.array(wanted, dtype=bool))


def test_only_the_reader_that_read_last_holds_chunks(tmp_path):
    shards(tmp_path / "in")
    inputs = opened(tmp_path / "in").inputs
    one, other = WindowReader(inputs), WindowReader(inputs)
    one.rows(np.arange(5))
    assert one._held
    other.rows(np.arange(5))
    assert other._held and not one._held


def test_a_test_that_is_a_stream_is_read_whole(tmp_path, monkeypatch):
    from limbeck.data.streams import findings

    monkeypatch.setattr(rows_module, "HELD", 64)
    given = {"train": (X, Y), "validation": lambda: iter([(X[:20] + 5, Y[:20])])}
    data = lb.Data(**given, test=lambda: iter([(X[:30] + 9, Y[:30])]))
    assert isinstance(data.test.inputs, np.ndarray) and isinstance(data.validation.inputs, OnDisk)
    assert [f.data["split"] for f in data.findings if f.code == "LB133"] == ["validation", "test"]
    monkeypatch.setattr(findings, "_TEST_BYTES", 500)
    with pytest.raises(
        ConfigError, match=r"test rows that fit in memory .*\n\ngive fewer of them: the test is read whole"
    ):
        lb.Data(**given, test=lambda: iter([(X[:30] + 9, Y[:30])]))


def test_views_of_rows_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "HELD", 64)
    one = lb.Data(train=lambda: iter([(X, Y)]), test=(X[:9] + 9, Y[:9]), view="noise(0.1) + swap(0.2)", views=2)
    other = lb.Data(train=(X, Y), test=(X[:9] + 9, Y[:9]), view="noise(0.1) + swap(0.2)", views=2)
    assert one.fingerprint == other.fingerprint
    own = lb.Data(train=lambda: iter([(X, Y)]), test=(X[:9] + 9, Y[:9]), view=lambda row, draw: row + draw.normal())
    at, views = np.arange(4), np.ones(4, dtype=np.int64)
    assert own.view(own.train.inputs.rows(at), own.train.keys[at], views).shape == (4, 5)


def test_shards_whose_labels_are_of_another_type_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    for number, labels in enumerate(([0, 1], ["a", "b"])):
        frame = pd.DataFrame({"x": np.arange(20.0), "label": labels * 10})
        frame.to_csv(tmp_path / f"s-{number}.csv", index=False)
    for _ in range(2):  # nothing of the second shard was kept
        with pytest.raises(
            ConfigError, match=r"'main' of train as in the rows before \(int64\), got .*string in .*s-1"
        ):
            lb.Data(train=str(tmp_path / "s-{0..1}.csv"))


def test_grey_images_behind_a_kill_become_coloured(tmp_path, monkeypatch):
    for number, first in enumerate(((8, 8, 3), (8, 8))):
        shapes = [first, *[(8, 8, 3)] * 19]
        members = {f"{n:03d}.png": png(np.full(shape, n, dtype=np.uint8)) for n, shape in enumerate(shapes)}
        tar(tmp_path / f"t-{number}.tar", members)
    pattern, written = str(tmp_path / "t-{0..1}.tar"), spool.Spool._written

    def killed(self, number, shard, batches):
        if number == 1:
            raise Killed
        return written(self, number, shard, batches)

    monkeypatch.setattr(spool.Spool, "_written", killed)
    with pytest.raises(Killed):
        opened(lb.Stream(pattern, cache=tmp_path / "kept"), "unlabeled")
    monkeypatch.setattr(spool.Spool, "_written", written)
    assert len(opened(lb.Stream(pattern, cache=tmp_path / "kept"), "unlabeled").inputs) == 40


def test_a_stream_that_fails_leaves_no_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = [np.zeros(4, np.float32)] * 50 + [np.zeros(5, np.float32)]
    with pytest.raises(ConfigError, match="rows of one shape"):
        lb.Data(train=lb.Stream(iter(given)), task="classification")
    assert not list(tmp_path.glob("limbeck-stream-*"))


def test_a_view_of_images_does_not_read_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images = [(np.full((6, 6, 3), n, dtype=np.uint8), n % 2) for n in range(40)]
    data = lb.Data(train=lb.Stream(images))

    def whole(self, *args, **more):
        raise AssertionError("all rows are read at once")

    monkeypatch.setattr(DiskArray, "__array__", whole, raising=False)
    assert view_of("flip", "image", 0, data.train) is not None
