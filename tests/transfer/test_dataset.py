import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from limbeck.core.errors import MissingSignal, StoreMismatch
from limbeck.data.tasks import Classification, Regression
from limbeck.transfer.dataset import TransferSet
from limbeck.transfer.exchange import export_parquet, import_table

CLASSES = Classification(("ant", "bee", "cat"))
PRICE = Regression(("price",), (300_000.0,), (100_000.0,))


@pytest.fixture
def answers(tmp_path, kit):
    kit.store(tmp_path / "t", kit.rows(60), heads={"main": CLASSES})
    kit.store(tmp_path / "t", kit.rows(90), heads={"main": CLASSES})
    return TransferSet(tmp_path / "t")


def test_items_and_batches_agree(answers, kit):
    rows = kit.rows(90)
    assert len(answers) == 90
    assert answers.heads == ("main",)
    assert answers.names() == ("ant", "bee", "cat")
    one = answers[7]
    assert one["key"] == f"{int(rows.keys[7, 0]):016x}{int(rows.keys[7, 1]):016x}"
    assert one["view"] == 0
    assert one["outputs"]["main"].shape == (3,)
    batch = answers[[7, 80, -1]]
    assert torch.equal(batch["outputs"]["main"][0], one["outputs"]["main"])
    assert (batch["key"] == rows.keys[[7, 80, 89]]).all()
    assert torch.equal(answers[-83]["outputs"]["main"], one["outputs"]["main"])
    assert torch.equal(answers[5:9]["outputs"]["main"][2], one["outputs"]["main"])
    assert torch.equal(answers.batch(torch.tensor([7]))["main"][0], one["outputs"]["main"])
    assert torch.equal(torch.from_numpy(answers.outputs()[7].astype(np.float32)), one["outputs"]["main"])


def test_rows_are_found_by_key(answers, kit):
    rows = kit.rows(90).take(np.random.default_rng(0).permutation(90))
    places = answers.align(rows.keys)
    assert (answers.keys[places] == rows.keys).all()
    assert torch.equal(answers.gather(rows.keys)["main"], answers.batch(places)["main"])
    with pytest.raises(StoreMismatch, match="2 are missing, the first at position 0"):
        answers.align(kit.rows(2, start=90).keys)
    with pytest.raises(StoreMismatch, match="view 3"):
        answers.align(rows.keys, view=3)
    with pytest.raises(IndexError, match="positions run from 0 to 89, got 2 to 90"):
        answers.batch([2, 90])
    with pytest.raises(MissingSignal, match="expected an output 'colour'"):
        answers.outputs("colour")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_reads_it(answers, workers):
    loader = DataLoader(
        answers, batch_size=16, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    got = torch.cat([batch["outputs"]["main"] for batch in loader])
    assert torch.equal(got, answers.batch(range(90))["main"])


def test_whole_batches_by_a_batch_sampler(answers):
    sampler = BatchSampler(RandomSampler(answers, generator=torch.Generator().manual_seed(0)), 32, drop_last=False)
    batches = list(DataLoader(answers, sampler=sampler, batch_size=None))
    assert [len(batch["outputs"]["main"]) for batch in batches] == [32, 32, 26]


def test_it_pickles_by_its_path(answers):
    assert len(answers.keys) == 90
    data = pickle.dumps(answers)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert torch.equal(again.batch([3])["main"], answers.batch([3])["main"])


# ------------------------------------------------------------------------------------------ exchange


def test_parquet_is_what_others_read(tmp_path, kit):
    rows = kit.rows(50)
    teacher = kit.Teacher({"main": 3, "price": 1})
    store = kit.store(tmp_path / "t", rows, teacher, heads={"main": CLASSES, "price": PRICE})
    path = export_parquet(tmp_path / "t", tmp_path / "out" / "answers.parquet")
    frame = pd.read_parquet(path)
    kind = pq.read_schema(path).field("main").type
    assert kind == pa.large_list(pa.float32()), "32 bits of offsets end at 2^31 values"
    assert list(frame.columns) == ["key", "view", "main", "price"]
    assert np.allclose(np.stack(frame["main"]), store.gather(np.arange(50))["main"].numpy())
    assert frame["key"].is_unique
    assert np.abs(np.stack(frame["price"]) - 300_000).max() > 1000, "natural units"
    datasets = pytest.importorskip("datasets")
    read = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert read[3]["main"] == pytest.approx(frame["main"][3].tolist())


def test_what_is_exported_can_be_imported(tmp_path, kit):
    rows = kit.rows(50)
    heads = {"main": CLASSES, "price": PRICE}
    first = kit.store(tmp_path / "t", rows, kit.Teacher({"main": 3, "price": 1}), heads=heads)
    path = export_parquet(first, tmp_path / "answers.parquet")
    frame = pd.read_parquet(path).drop(columns="view")
    second = import_table(frame, rows, tmp_path / "u", heads=heads, output="logits")
    for head in heads:
        one, other = first.gather(np.arange(50))[head], second.gather(second.rows_of(rows.keys))[head]
        torch.testing.assert_close(other, one[first.rows_of(rows.keys)], rtol=1e-6, atol=0.1 if head == "price" else 0)
    assert second.manifest.identity.teacher.startswith("table-")


def test_a_changed_table_is_another_teacher(tmp_path, kit):
    rows = kit.rows(20, ids=True)
    frame = pd.DataFrame({"id": rows.ids, "ant": 0.5, "bee": 0.25, "cat": 0.25})
    parts = [rows.take(range(12)), rows.take(range(12, 20))]
    import_table(frame, parts, tmp_path / "t", heads={"main": CLASSES})
    import_table(frame.sample(frac=1, random_state=1), rows, tmp_path / "t", heads={"main": CLASSES})
    frame.loc[3, ["ant", "bee"]] = [0.25, 0.5]
    with pytest.raises(StoreMismatch, match="teacher is 'table-"):
        import_table(frame, rows, tmp_path / "t", heads={"main": CLASSES})
