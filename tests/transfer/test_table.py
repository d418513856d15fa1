import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.data.rows import Rows
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.signals import Batch, Needs
from limbeck.transfer.table import PredictionTable

CLASSES = Classification(("ant", "bee", "cat"))
LABELS = MultiLabel(("round", "red"))
PRICE = Regression(("price",), (300_000.0,), (100_000.0,))
MAIN = {"main": CLASSES}


def batch_of(rows):
    return Batch(keys=rows.keys)


def probabilities(rows):
    values = np.random.default_rng(3).dirichlet([1.0, 1.0, 1.0], len(rows))
    return pd.DataFrame(values, columns=["ant", "bee", "cat"]).assign(id=rows.ids)


def test_a_table_is_matched_by_id_and_its_columns_by_name(kit):
    rows = kit.rows(40, ids=True)
    frame = probabilities(rows)
    mixed = frame.sample(frac=1, random_state=0)[["cat", "id", "bee", "ant"]]
    for table in (frame, mixed):
        source = PredictionTable(table, rows, {"main": CLASSES})
        got = source.answer(batch_of(rows.take([3, 30, 3]))).outputs["main"]
        expected = torch.from_numpy(frame[["ant", "bee", "cat"]].to_numpy()[[3, 30, 3]]).log().float()
        torch.testing.assert_close(got, expected)
        assert source.have() == Needs(outputs=("main",))
    assert PredictionTable(frame, rows, {"main": CLASSES}).fingerprint == source.fingerprint
    frame.loc[5, ["ant", "bee"]] = frame.loc[5, ["bee", "ant"]].tolist()
    assert PredictionTable(frame, rows, {"main": CLASSES}).fingerprint != source.fingerprint


def test_ids_as_text_match_ids_as_numbers(tmp_path, kit):
    rows = kit.rows(10, ids=True)
    frame = probabilities(rows)
    for name, write in (("t.csv", frame.to_csv), ("t.parquet", frame.to_parquet)):
        write(tmp_path / name, index=False)
        PredictionTable(tmp_path / name, rows, {"main": CLASSES})
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    PredictionTable(tmp_path / "t.jsonl", rows, {"main": CLASSES})
    PredictionTable(frame.assign(id=frame["id"].astype(str)), rows, {"main": CLASSES})
    with pytest.raises(ConfigError, match=r"as a file .csv, .parquet, .jsonl, .npz, got .*t\.xls, which is not there"):
        PredictionTable(tmp_path / "t.xls", rows, {"main": CLASSES})


def test_keys_match_too(kit):
    from limbeck.data.keys import key_hex

    rows = kit.rows(10, ids=True)
    frame = probabilities(rows).drop(columns="id").assign(key=key_hex(rows.keys))
    PredictionTable(frame, [rows.take(range(5)), rows.take(range(5, 10))], {"main": CLASSES})
    with pytest.raises(ConfigError, match="expected a column 'id' or 'key' in the predictions, got ant, bee, cat") as e:
        PredictionTable(frame.drop(columns="key"), rows, {"main": CLASSES})
    assert "never by position" in e.value.todo
    with pytest.raises(ConfigError, match="expected row ids in the data, to match them with the column 'id'"):
        PredictionTable(probabilities(rows), kit.rows(10), {"main": CLASSES})


def change(frame, **cells):
    frame = frame.copy()
    for name, value in cells.items():
        frame.loc[[4, 7], name] = value
    return frame


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda f: pd.concat([f, f.iloc[[1, 1, 2]]]),
            ConfigError,
            "every id once in the column 'id' of the predictions, 2 stand there more than once: 1, 2",
        ),
        (lambda f: f.iloc[:3], StoreMismatch, "predictions for all 10 rows, 7 have none: 3, 4, 5, 6, 7, ..."),
        (lambda f: f.drop(columns="bee"), ConfigError, r"\(ant, bee, cat\), got 1 missing: bee"),
        (
            lambda f: f.rename(columns={"bee": "wasp"}),
            ConfigError,
            "got 1 missing: bee; 1 unknown: wasp",
        ),
        (lambda f: f.assign(dog=0.0), ConfigError, "got 1 unknown: dog"),
        (lambda f: change(f, ant=float("nan")), ConfigError, "finite predictions for head 'main', 2 rows .* ids 4, 7"),
        (lambda f: change(f, ant=0.9, bee=0.9), ConfigError, "sum to 1, 2 rows have others: ids 4, 7"),
        (lambda f: f.assign(ant="high"), ConfigError, "expected numbers as predictions of head 'main'"),
    ],
)
def test_tables_that_are_refused(kit, make, error, words):
    rows = kit.rows(10, ids=True)
    with pytest.raises(error, match=words) as caught:
        PredictionTable(make(probabilities(rows)), rows, {"main": CLASSES})
    assert caught.value.todo


def test_logits_are_taken_as_they_are(kit):
    rows = kit.rows(10, ids=True)
    logits = np.random.default_rng(0).normal(size=(10, 3)) * 4
    frame = pd.DataFrame(logits, columns=["ant", "bee", "cat"]).assign(id=rows.ids)
    for output in ("auto", "logits"):
        source = PredictionTable(frame, rows, {"main": CLASSES}, output=output)
        torch.testing.assert_close(source.answer(batch_of(rows)).outputs["main"], torch.from_numpy(logits).float())
    with pytest.raises(ConfigError, match="probabilities between 0 and 1 for head 'main', 10 rows") as caught:
        PredictionTable(frame, rows, {"main": CLASSES}, output="probabilities")
    assert 'lb.Predictions(table, output="logits")' in caught.value.todo
    with pytest.raises(ConfigError, match="one of logits, probabilities, auto, got 'odds'"):
        PredictionTable(frame, rows, {"main": CLASSES}, output="odds")


def test_several_heads_in_a_table(kit):
    rows = kit.rows(6, ids=True)
    heads = {"main": CLASSES, "tags": LABELS, "price": PRICE}
    frame = pd.DataFrame({"id": rows.ids, "main": [[0.2, 0.3, 0.5]] * 6, "tags.red": 0.25, "tags.round": 0.0})
    frame["price.price"] = 500_000.0
    got = PredictionTable(frame, rows, heads).answer(batch_of(rows)).outputs
    torch.testing.assert_close(got["main"][0].exp(), torch.tensor([0.2, 0.3, 0.5]))
    torch.testing.assert_close(got["tags"][0].sigmoid(), torch.tensor([0.0, 0.25]), atol=1e-6, rtol=0)
    assert torch.equal(got["price"], torch.full((6, 1), 2.0))
    with pytest.raises(ConfigError, match="got 1 missing: price") as caught:
        PredictionTable(frame.rename(columns={"price.price": "price2"}), rows, heads)
    assert 'columns are named "price.price"' in caught.value.todo
    with pytest.raises(ConfigError, match="lists of 3 numbers in the column 'main', got lengths 2"):
        PredictionTable(frame.assign(main=[[0.5, 0.5]] * 6), rows, heads)


def test_a_row_outside_the_table(kit):
    rows = kit.rows(10, ids=True)
    source = PredictionTable(probabilities(rows), rows, {"main": CLASSES})
    with pytest.raises(StoreMismatch, match="predictions for all 12 rows of a batch, 2 have none, the first with key"):
        source.answer(batch_of(kit.rows(12)))


def read(table, rows, heads=MAIN, **settings):
    return PredictionTable(table, rows, heads, **settings).answer(batch_of(rows)).outputs


def named(rows, ids):
    return Rows(rows.kind, rows.inputs, rows.keys, ids=np.asarray(ids))


@pytest.mark.parametrize("data", [int, float, str])
@pytest.mark.parametrize("table", [int, float, str])
def test_ids_match_whatever_their_type(kit, data, table):
    rows, frame = kit.rows(10, ids=True), probabilities(kit.rows(10, ids=True))
    if float in (data, table) and str in (data, table):
        pytest.skip("7.0 as text is no id of a row 7")
    got = read(frame.assign(id=frame["id"].astype(table)), named(rows, rows.ids.astype(data)))
    assert torch.equal(got["main"], read(frame, rows)["main"])


def test_ids_with_leading_zeros_stay_apart(tmp_path, kit):
    rows = kit.rows(4)
    frame = probabilities(named(rows, ["7", "07", "007", "8"]))
    frame.to_csv(tmp_path / "t.csv", index=False)
    want = read(frame, named(rows, frame["id"]))["main"]
    torch.testing.assert_close(read(tmp_path / "t.csv", named(rows, frame["id"]))["main"], want)
    counted = named(rows.take([2, 3]), [7, 8])
    torch.testing.assert_close(read(frame.iloc[2:], counted)["main"], want[2:])


def test_rows_beyond_the_data_do_not_count(kit):
    rows = kit.rows(10, ids=True)
    frame = probabilities(rows)
    more = pd.concat([frame, pd.DataFrame({"id": [77], "ant": [np.nan], "bee": [5.0], "cat": [0.0]})])
    assert torch.equal(read(more, rows)["main"], read(frame, rows)["main"])


def test_an_id_that_names_two_rows_is_refused(kit):
    first, second = kit.rows(10, ids=True), kit.rows(5, start=10)
    frame = probabilities(first)
    with pytest.raises(
        ConfigError, match="every row id of the data to name one row, 5 name several: 0, 1, 2, 3, 4"
    ) as e:
        PredictionTable(frame, [first, named(second, range(5))], MAIN)
    assert "an id of its own" in e.value.todo
    PredictionTable(frame, [first, first.take([1, 2])], MAIN)  # the same row in two splits


def test_rows_without_an_id_are_refused(kit):
    rows = kit.rows(10, ids=True)
    for nothing in (None, np.nan):
        frame = probabilities(rows).astype({"id": object})
        frame.loc[[2, 3], "id"] = nothing
        with pytest.raises(ConfigError, match="an id in every row of the column 'id' of the predictions, 2 rows have"):
            read(frame, rows)


def test_another_column_may_hold_the_ids(kit):
    rows = kit.rows(10, ids=True)
    frame = probabilities(rows).rename(columns={"id": "ticket"})
    got = read(frame, rows, id_column="ticket")
    assert torch.equal(got["main"], read(probabilities(rows), rows)["main"])
    with pytest.raises(
        ConfigError, match="expected a column 'id' or 'key' in the predictions, got ant, bee, cat"
    ) as caught:
        read(frame, rows)
    assert "never by position" in caught.value.todo and "id_column=..." in caught.value.todo


@pytest.mark.parametrize(
    ("change", "what", "todo"),
    [
        (lambda f: f.rename(columns={"bee": "beee"}), "1 missing: bee; 1 unknown: beee", "did you mean 'bee'"),
        (
            lambda f: f[["id"]].assign(prediction="ant"),
            "3 missing: ant, bee, cat; 1 unknown: pred",
            "not the class decided",
        ),
        (lambda f: f.assign(dog=0.0), "1 unknown: dog", "rename or drop columns"),
        (lambda f: f.assign(ant=f.ant * 100, bee=f.bee * 100, cat=f.cat * 100), "sum to about 100", "by 100"),
        (
            lambda f: f.assign(main=[["a", "b", "c"]] * len(f)),
            "expected numbers as predictions of head 'main'",
            "numbers",
        ),
        (
            lambda f: f.assign(main=["[0.1, 0.2, 0.7]"] * len(f)).astype({"main": object}),
            "got lengths 0",
            "in the task",
        ),
    ],
)
def test_columns_that_are_refused(kit, change, what, todo):
    rows = kit.rows(10, ids=True)
    with pytest.raises(ConfigError) as caught:
        read(change(probabilities(rows)), rows)
    assert what in caught.value.what and todo in caught.value.todo


def test_rounded_probabilities_are_probabilities(kit):
    rows = kit.rows(3, ids=True)
    frame = pd.DataFrame({"id": rows.ids, "ant": 0.33, "bee": 0.33, "cat": 0.33})
    torch.testing.assert_close(read(frame, rows)["main"].exp(), torch.full((3, 3), 1 / 3))


def test_a_number_a_row_may_have_any_name(kit):
    rows = kit.rows(5, ids=True)
    values = np.linspace(1e5, 5e5, 5)
    want = torch.from_numpy((values - 3e5) / 1e5).float()[:, None]
    for name in ("price", "main", "prediction", "main.price"):
        got = read(pd.DataFrame({"id": rows.ids, name: values}), rows, {"main": PRICE})
        torch.testing.assert_close(got["main"], want)
    with pytest.raises(ConfigError, match="1 missing: price; 2 unknown: a, b"):
        read(pd.DataFrame({"id": rows.ids, "a": values, "b": values}), rows, {"main": PRICE})


def test_arrays_in_a_file(tmp_path, kit):
    rows = kit.rows(10, ids=True)
    frame = probabilities(rows)
    want = read(frame, rows)["main"]
    np.savez(tmp_path / "a.npz", id=rows.ids, main=frame[["ant", "bee", "cat"]].to_numpy())
    np.savez(tmp_path / "b.npz", **{name: frame[name].to_numpy() for name in frame})
    for name in ("a.npz", "b.npz"):
        torch.testing.assert_close(read(tmp_path / name, rows)["main"], want)
    np.savez(tmp_path / "short.npz", id=rows.ids, main=want[:5].numpy())
    with pytest.raises(ConfigError, match=r"arrays of one length in .*short.npz, got id 10, main 5"):
        read(tmp_path / "short.npz", rows)
    np.savez(tmp_path / "pickled.npz", id=np.array(rows.ids, dtype=object), main=want.numpy())
    with pytest.raises(ConfigError, match=r"pickled.npz, it cannot be read: Object arrays cannot be loaded"):
        read(tmp_path / "pickled.npz", rows)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl", "t.npz", "T.CSV"])
def test_files_that_cannot_be_read(tmp_path, kit, name):
    (tmp_path / name).write_bytes(b"\x00\xff{")
    with pytest.raises(ConfigError, match=rf"a table of predictions in .*{name}, it cannot be read: .+") as caught:
        read(tmp_path / name, kit.rows(3, ids=True))
    assert caught.value.todo and caught.value.__cause__ is not None


def test_a_table_answers_as_the_store_that_is_made_of_it(tmp_path, kit):
    from limbeck.transfer.exchange import import_table
    from limbeck.transfer.source import Stored

    rows = kit.rows(10, ids=True)
    table = PredictionTable(probabilities(rows), rows, MAIN)
    assert table.have() == Needs(outputs=("main",))
    store = import_table(probabilities(rows), rows, tmp_path / "t", heads=MAIN)
    stored = Stored(store, MAIN).answer(batch_of(rows)).outputs["main"]
    torch.testing.assert_close(stored, table.answer(batch_of(rows)).outputs["main"], atol=1e-2, rtol=0)
