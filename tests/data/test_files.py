import numpy as np
import pandas as pd
import pytest

from limbeck.core.errors import ConfigError
from limbeck.data.data import Data
from limbeck.data.files import read_separated, read_table
from limbeck.data.sources import NamedColumns, read

FRAME = pd.DataFrame({"n": [1.5, 2.5, None], "c": ["u", "v", "u"], "y": ["a", "b", "a"]})
TARGET = NamedColumns(target="y")


def written(frame, path):
    writers = {
        ".csv": lambda: frame.to_csv(path, index=False), ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True), ".parquet": lambda: frame.to_parquet(path),
    }  # fmt: skip
    writers[path.suffix.lower()]()
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".CSV"])
def test_every_table_file_gives_the_same_rows(tmp_path, ending):
    raw = read(written(FRAME, tmp_path / f"t{ending}"), TARGET, "train")
    np.testing.assert_array_equal(raw.inputs["n"], FRAME["n"])
    assert raw.inputs["c"].tolist() == ["u", "v", "u"] and list(raw.labels["main"]) == ["a", "b", "a"]


def test_json_keeps_text_that_looks_like_a_number_or_a_date(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"code": "007", "date": "2024-01-01", "n": 3}\n{"code": "8", "date": "x", "n": null}\n')
    frame = read_table(path)
    assert frame["code"].tolist() == ["007", "8"] and frame["date"].tolist() == ["2024-01-01", "x"]
    assert frame["n"][0] == 3 and pd.isna(frame["n"][1])


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_words_for_missing_are_words_in_text_and_missing_among_numbers(tmp_path, ending, separator):
    path = tmp_path / f"t{ending}"
    lines = ["n,flag,c,only,code,y", "1,True,NA,None,007,None", "NA,NA,,None,x,a", "nan,False,null,None,NA,n/a"]
    path.write_text("\n".join(lines).replace(",", separator))
    frame = read_table(path)
    np.testing.assert_array_equal(frame["n"], [1, np.nan, np.nan])
    assert frame["flag"][0] is True and pd.isna(frame["flag"][1]) and frame["flag"][2] is False
    assert frame["c"][0] == "NA" and pd.isna(frame["c"][1]) and frame["c"][2] == "null"
    assert frame["only"].tolist() == ["None"] * 3 and frame["code"].tolist() == ["007", "x", "NA"]
    assert frame["y"].tolist() == ["None", "a", "n/a"]


def test_columns_read_as_text_stay_as_they_stand(tmp_path):
    (tmp_path / "t.csv").write_text("id,p\n007,0.5\nNA,null\n")
    frame = read_separated(tmp_path / "t.csv", texts=("id", "key"))
    assert frame["id"].tolist() == ["007", "NA"] and frame["p"][0] == 0.5 and np.isnan(frame["p"][1])


def test_a_split_that_says_only_na_in_a_column_of_numbers_is_missing_there(tmp_path):
    (tmp_path / "train.csv").write_text("n,m,y\n" + "".join(f"{i},{i},{'ab'[i % 2]}\n" for i in range(20)))
    (tmp_path / "test.csv").write_text("n,m,y\n90,NA,a\n91,NA,b\n")
    data = Data(train=tmp_path / "train.csv", test=tmp_path / "test.csv", columns=TARGET)
    assert data.test.inputs["m"].dtype.kind == "f" and data.test.inputs["m"].isna().all()
    alone = read_table(tmp_path / "test.csv")[["n", "m"]]
    np.testing.assert_array_equal(data.preprocess.encode(alone), data.preprocess.encode(data.test.inputs))


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_lists_are_inputs_and_labels(tmp_path, ending):
    frame = pd.DataFrame({"x": [[1.0, 2], [3.0, 4], [5.0, 6]], "y": [["a"], ["a", "b"], []]})
    raw = read(written(frame, tmp_path / f"t{ending}"), TARGET, "train")
    assert raw.kind == "array" and raw.inputs.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [list(v) for v in raw.labels["main"]] == [["a"], ["a", "b"], []]
    ragged = frame.assign(x=[[1.0], [1.0, 2], [1.0]])
    series = read(written(ragged, tmp_path / f"r{ending}"), TARGET, "train")
    assert series.kind == "array" and [row.tolist() for row in series.inputs] == [[1], [1, 2], [1]]
    other = frame.assign(x=[[[1.0], [2.0]], [[1.0, 2.0]], [[1.0], [2.0]]])
    with pytest.raises(ConfigError, match=r"rows of one shape in train, got \(1, 2\) and \(2, 1\)"):
        read(written(other, tmp_path / f"o{ending}"), TARGET, "train")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.csv", b"", "a table that can be read at .*, got: No columns .*\n\nit may be empty, cut short, or"),
        ("t.jsonl", b"{\"n\": 1}\n{", "a table that can be read at .*, got: line 2: Expecting"),
        ("t.jsonl", b"not json", "a table that can be read at .*, got: line 1: Expecting value"),
        ("t.jsonl", b"[1, 2]", "got: line 1: a list where an object is expected"),
        ("t.parquet", b"", "a table that can be read at"),
        ("t.parquet", b"PAR1 no", "a table that can be read at"),
        ("t.csv", b"n,y\n1,a\n1,2,3,4\n", "a table that can be read at .*, got: Error tokenizing data"),
        ("t.csv", b"n,y\n\xff\xfe\xfa,a\n", "a table that can be read at .*, got: 'utf-8'"),
        ("t.csv", b"n,y\n1,a,x\n2,b,x\n", "2 fields in every row of .*, as in its header, got 3\n\nput text with"),
        ("t.csv", b"n,n,y\n1,2,a\n", "distinct column names in .*, got 'n' twice\n\nrename"),
        ("t.csv", b"n;y\n1;a\n", "columns separated by ',' in .*, its header reads 'n;y'\n\nsave it with commas"),
        ("t.txt", b"n", "a table ending in .csv, .tsv, .parquet, .jsonl, got t.txt\n\nor .npz, or a folder"),
        ("t.npz", b"", "an NPZ file at .*\n\nit may be empty or cut short"),
        ("t.npz", b"PK\x03\x04 no", "an NPZ file at"),
    ],
)  # fmt: skip
def test_broken_files_are_refused_in_one_message(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=text) as caught:
        read(path, TARGET, "train")
    assert caught.value.todo


@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_a_cut_file_is_refused(tmp_path, ending):
    path = tmp_path / f"t{ending}"
    if ending == ".npz":
        np.savez(path, x=np.zeros((50, 50)), y=np.zeros(50))
    else:
        written(FRAME, path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigError, match=r"expected (a table that can be read|an NPZ file) at .*\n\nit may be empty"):
        read(path, TARGET, "train")


def test_a_missing_file_names_its_neighbour(tmp_path):
    written(FRAME, tmp_path / "train.csv")
    with pytest.raises(ConfigError, match=r"train at .*, there is no such file\n\ndid you mean 'train.csv'"):
        read(tmp_path / "trian.csv", TARGET, "train")
    with pytest.raises(ConfigError, match="there is no such file\n\ncheck the path"):
        read(tmp_path / "nowhere" / "x.csv", TARGET, "train")


# ------------------------------------------------------------------------------------------ NPZ


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "t.npz", **arrays)
    return tmp_path / "t.npz"


X = np.arange(8.0).reshape(4, 2)


def test_npz_by_its_usual_names(tmp_path):
    raw = read(npz(tmp_path, X=X, y=[0, 1, 0, 1]), None, "train")
    assert raw.inputs.tolist() == X.tolist() and raw.labels["main"].tolist() == [0, 1, 0, 1]
    assert read(npz(tmp_path, X=X, y=[0, 1, 0, 1]), None, "unlabeled").labels == {}
    assert read(npz(tmp_path, x=X), NamedColumns(target="y"), "unlabeled").labels == {}


def test_npz_honours_ids_groups_weights_and_several_targets(tmp_path):
    path = npz(tmp_path, feats=X, a=[0, 1, 0, 1], b=[1, 1, 0, 0], row=[5, 6, 7, 8], who=[1, 1, 2, 2], w=[1.0, 2, 3, 4])
    columns = NamedColumns(inputs=("feats",), target=("a", "b"), id="row", group="who", weight="w")
    raw = read(path, columns, "train")
    assert raw.labels["main"].tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]
    assert (
        raw.ids.tolist() == [5, 6, 7, 8] and raw.groups.tolist() == [1, 1, 2, 2] and raw.weight.tolist() == [1, 2, 3, 4]
    )
    two = read(path, NamedColumns(inputs=("a", "b"), target="w"), "train")
    assert two.inputs.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]


def test_npz_that_is_refused(tmp_path):
    path = npz(tmp_path, x=X, y=[0, 1, 0, 1])
    for columns, text in [
        (NamedColumns(target="yy"), "column 'yy' in .*t.npz, not found"),
        (NamedColumns(target="y", weight="w"), "column 'w' in .*t.npz, not found\n\n.*columns there: x, y"),
        (NamedColumns(inputs=("x", "y"), target="y"), "as columns of one length, got 'x' of shape"),
    ]:
        with pytest.raises(ConfigError, match=text):
            read(path, columns, "train")
    with pytest.raises(ConfigError, match=r"column 'x' in .*, not found"):
        read(npz(tmp_path, what=X), None, "train")
    with pytest.raises(ConfigError, match="got 4 rows and 3 labels of 'main'"):
        read(npz(tmp_path, x=X, y=[0, 1, 0]), None, "train")


class Trap:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_objects_in_an_npz_are_never_unpickled(tmp_path):
    trap = np.empty(4, dtype=object)
    trap[:] = [Trap(tmp_path / "sprung")] * 4
    with pytest.raises(ConfigError, match=r"plain arrays in .*, got: .*\n\nsave numbers or text, not objects"):
        read(npz(tmp_path, x=X, y=trap), None, "train")
    assert not (tmp_path / "sprung").exists()
