import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch

from limbeck.core.errors import ConfigError, LimbeckError, MissingSignal, ShapeMismatch, StoreMismatch
from limbeck.core.lock import FolderLock
from limbeck.transfer.codecs import Dense
from limbeck.transfer.manifest import Identity, Manifest
from limbeck.transfer.store import Store


def expected(kit, rows, width=3):
    return torch.from_numpy(rows.inputs) @ torch.linspace(-1.0, 2.0, 4 * width).reshape(4, width)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_row_gets_its_own_answer(tmp_path, kit, dtype):
    rows = kit.rows()
    store = kit.store(tmp_path / "t", rows, codecs={"main": Dense(dtype)})
    order = np.random.default_rng(0).permutation(len(rows))
    got = store.gather(store.rows_of(rows.keys[order]))["main"]
    answers = expected(kit, rows)
    tolerance = Dense(dtype).tolerance(float(answers.abs().max()))
    assert got.dtype == torch.float32
    assert (got - answers[order]).abs().max() <= tolerance
    assert (tolerance == 0) == (dtype == "float32")


def test_several_heads_and_natural_units(tmp_path, kit):
    rows = kit.rows()
    price = kit.Task("regression", ("price",), mean=300_000.0, scale=100_000.0)
    teacher = kit.Teacher({"main": 3, "price/€": 1})
    store = kit.store(tmp_path / "t", rows, teacher, heads={"main": kit.Task(), "price/€": price})
    got = store.gather(store.rows_of(rows.keys))
    standardised = torch.from_numpy(rows.inputs) @ torch.linspace(-1.0, 2.0, 4).reshape(4, 1) * 2
    torch.testing.assert_close(got["price/€"], standardised * 100_000 + 300_000)
    assert store.outputs["price/€"].codec == Dense("float32")
    with pytest.raises(MissingSignal, match="expected an output 'cost' in the transfer set"):
        store.gather(np.arange(2), ("cost",))


def test_duplicates_share_one_answer(tmp_path, kit):
    rows = kit.rows(20)
    twice = rows.take(np.concatenate([np.arange(20), np.arange(20)]))
    teacher = kit.Teacher()
    store = kit.store(tmp_path / "t", twice, teacher)
    assert sum(teacher.asked) == len(store) == 20
    assert (store.rows_of(twice.keys)[:20] == store.rows_of(twice.keys)[20:]).all()


def test_what_is_there_is_not_asked_again_and_new_rows_are_added(tmp_path, kit):
    kit.store(tmp_path / "t")
    before = kit.content(tmp_path / "t")
    teacher = kit.Teacher()
    kit.store(tmp_path / "t", teacher=teacher)
    assert teacher.asked == []
    assert kit.content(tmp_path / "t") == before
    more = kit.rows(130)
    store = kit.store(tmp_path / "t", more, teacher)
    assert sum(teacher.asked) == 30
    torch.testing.assert_close(store.gather(store.rows_of(more.keys))["main"], expected(kit, more), atol=5e-3, rtol=0)
    after = kit.content(tmp_path / "t")
    kept = [name for name in before if name.endswith(".bin")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def shift(inputs, keys, views):
    """View v adds v and something of the row's key."""
    return (inputs + views[:, None] + (keys[:, :1] % np.uint64(7)).astype(np.float32)).astype(np.float32)


def test_views_are_answered_apart_and_later_ones_are_added(tmp_path, kit):
    rows = kit.rows(50)
    teacher = kit.Teacher()
    who = dataclasses.replace(kit.IDENTITY, view="shift-1")
    kit.store(tmp_path / "t", rows, teacher, views=2, view=shift, identity=who)
    assert sum(teacher.asked) == 100
    store = kit.store(tmp_path / "t", rows, teacher, views=5, view=shift, identity=who)
    assert sum(teacher.asked) == 250
    assert store.views == 5
    views = np.random.default_rng(0).integers(0, 5, 50)
    moved = torch.from_numpy(shift(rows.inputs, rows.keys, views))
    got = store.gather(store.rows_of(rows.keys, views))["main"]
    torch.testing.assert_close(got, moved @ torch.linspace(-1.0, 2.0, 12).reshape(4, 3), atol=2e-2, rtol=0)
    keys, numbers = store.keys()
    assert (store.rows_of(keys, numbers) == np.arange(250)).all()
    with pytest.raises(StoreMismatch, match=r"1 are missing, the first at position 3 .* view 5\)") as caught:
        store.rows_of(rows.keys[:5], np.array([0, 1, 2, 5, 4]))
    assert "it holds views 0 to 4" in caught.value.todo


def test_views_need_a_function(tmp_path, kit):
    with pytest.raises(ConfigError, match="expected a view function for 4 views, got none"):
        kit.store(tmp_path / "t", views=4)
    with pytest.raises(ConfigError, match="at least one view, got 0"):
        kit.store(tmp_path / "t", views=0)


def test_missing_keys_are_counted_and_the_first_is_named(tmp_path, kit):
    store = kit.store(tmp_path / "t")
    asked = kit.rows(110).keys[95:]
    with pytest.raises(StoreMismatch, match=r"answers to all 15 rows .* 10 are missing, the first at position 5 "):
        store.rows_of(asked)


def test_batches_follow_the_plan_and_never_straddle(tmp_path, kit):
    teacher = kit.Teacher()
    kit.store(tmp_path / "t", teacher=teacher, batch_size=12, shard_rows=36)
    assert teacher.asked == [12, 12, 12, 12, 12, 12, 12, 12, 4]
    teacher = kit.Teacher()
    more = kit.store(tmp_path / "t", kit.rows(120), teacher, batch_size=99, shard_rows=99)
    assert teacher.asked == [12, 8], "the plan of the manifest counts"
    assert (more.manifest.batch_size, more.manifest.shard_rows) == (12, 36)
    with pytest.raises(LimbeckError, match="multiple of batch_size, got 30 and 8"):
        kit.store(tmp_path / "u", shard_rows=30)


def test_the_default_plan_has_many_shards_where_rows_are_many(tmp_path, kit):
    store = kit.store(tmp_path / "t", kit.rows(20_000), batch_size=256, shard_rows=None)
    assert store.manifest.shard_rows == 8192
    assert [shard.rows for shard in store.shards] == [8192, 8192, 3616]


def test_an_empty_set_of_rows(tmp_path, kit):
    store = kit.store(tmp_path / "t", kit.rows(0))
    assert len(store) == 0
    assert store.find(kit.rows(3).keys).tolist() == [-1, -1, -1]


def test_progress_counts_answers(tmp_path, kit):
    seen = []
    kit.store(tmp_path / "t", progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 100)
    assert seen[-1] == (100, 100)
    assert seen == sorted(seen)


# ------------------------------------------------------------------------------------------ refused answers


def spoiled(value):
    def spoil(outputs):
        answers = outputs["main"].clone()
        answers[2, 1] = value
        return {"main": answers}

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (spoiled(float("nan")), LimbeckError, r"NaN or infinity for 1 of 8 rows of a batch: ids 42\n"),
        (spoiled(float("-inf")), LimbeckError, "ids 42"),
        (spoiled(1e5), ConfigError, "head 'main' to fit float16 .at most 65504., got 100000"),
        (lambda out: {"main": out["main"][:, :2]}, ShapeMismatch, r"have shape \[8, 3\], got \[8, 2\]"),
        (lambda out: {"main": out["main"][1:]}, ShapeMismatch, r"have shape \[8, 3\], got \[7, 3\]"),
        (lambda out: {"main": out["main"].argmax(1)}, ShapeMismatch, "floating-point numbers, got torch.int64 values"),
        (lambda out: {"main": out["main"].numpy()}, ShapeMismatch, "got ndarray"),
        (lambda out: {}, ShapeMismatch, "got NoneType"),
    ],
)
def test_answers_that_do_not_fit_are_refused_before_they_are_written(tmp_path, kit, spoil, error, words):
    rows = kit.rows(64, ids=True)
    teacher = kit.Teacher()

    def from_second_shard(outputs):
        return spoil(outputs) if len(teacher.asked) == 6 else outputs

    teacher.spoil = from_second_shard
    with pytest.raises(error, match=words) as caught:
        kit.store(tmp_path / "t", rows, teacher)
    assert caught.value.todo
    shards = [name for name in kit.content(tmp_path / "t") if "values" in name]
    assert len(shards) == 1, "the first shard stays, nothing of the second is there"
    teacher.spoil = None
    assert len(kit.store(tmp_path / "t", rows, teacher)) == 64
    assert sum(teacher.asked) == 64 + 8 * 2


def test_positions_are_named_where_there_are_no_ids(tmp_path, kit):
    def all_nan(outputs):
        return {"main": outputs["main"] * float("nan")}

    with pytest.raises(LimbeckError, match=r"for 8 of 8 rows of a batch: positions 0, 1, 2, 3, 4, ..."):
        kit.store(tmp_path / "t", teacher=kit.Teacher(spoil=all_nan))


def test_a_head_that_the_teacher_has_not_is_refused_first(tmp_path, kit):
    with pytest.raises(MissingSignal, match="it has no colour"):
        kit.store(tmp_path / "t", heads={"main": kit.Task(), "colour": kit.Task()})
    with pytest.raises(ConfigError, match="expected at least one head"):
        kit.store(tmp_path / "t", heads={})
    assert not (tmp_path / "t").exists()


# ------------------------------------------------------------------------------------------ identity


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identity": Identity("weights-2", "scaled-1")}, "teacher is 'weights-1' in the store and 'weights-2' here"),
        ({"identity": Identity("weights-1", "scaled-2")}, "preprocessing is 'scaled-1' in the store and 'scaled-2'"),
        ({"identity": Identity("weights-1", None)}, "preprocessing is 'scaled-1' in the store and none here"),
        ({"identity": Identity("weights-1", "scaled-1", tokenizer="t")}, "tokenizer is none in the store and 't' here"),
        ({"identity": Identity("weights-1", "scaled-1", view="v")}, "view is none in the store and 'v' here"),
        ({"codecs": {"main": Dense("float32")}}, "main.codec.dtype is 'float16' in the store and 'float32' here"),
    ],
)
def test_another_identity_is_refused_with_the_field_and_both_values(tmp_path, kit, changes, words):
    kit.store(tmp_path / "t")
    before = kit.content(tmp_path / "t")
    with pytest.raises(StoreMismatch, match=r"expected the transfer set at .* of this teacher and data") as caught:
        kit.store(tmp_path / "t", **changes)
    assert words in caught.value.what
    assert caught.value.what.count(" in the store and ") == 1
    assert kit.content(tmp_path / "t") == before


def test_other_heads_classes_or_their_order_are_refused(tmp_path, kit):
    kit.store(tmp_path / "t")
    cases = {
        "main.names": {"main": kit.Task(names=("bee", "ant", "cat"))},
        "main.kind": {"main": kit.Task("multilabel")},
        "heads": {"main": kit.Task(), "other": kit.Task()},
    }
    for field, heads in cases.items():
        teacher = kit.Teacher(dict.fromkeys(heads, 3))
        with pytest.raises(StoreMismatch, match=f"{field} is .* in the store and .* here"):
            kit.store(tmp_path / "t", teacher=teacher, heads=heads)
    with pytest.raises(StoreMismatch, match=r"main.width is 3 in the store and 2 here"):
        kit.store(tmp_path / "t", teacher=kit.Teacher({"main": 2}), heads={"main": kit.Task(names=("ant", "bee"))})


def test_all_differences_are_named_at_once(tmp_path, kit):
    kit.store(tmp_path / "t")
    with pytest.raises(StoreMismatch) as caught:
        kit.store(tmp_path / "t", identity=Identity("other", "other"))
    assert caught.value.what.count(" in the store and ") == 2


def test_versions_are_recorded_and_only_warned_about(tmp_path, kit, monkeypatch):
    import limbeck.transfer.label as labelling

    kit.store(tmp_path / "t")
    manifest = Manifest.read(tmp_path / "t")
    assert manifest.provenance["torch"] == torch.__version__.split("+")[0] or manifest.provenance["torch"]
    monkeypatch.setattr(labelling, "versions", lambda: {**manifest.provenance, "torch": "9.9"})
    with pytest.warns(UserWarning, match=r"was begun with torch .*, now 9\.9"):
        kit.store(tmp_path / "t")
    assert Manifest.read(tmp_path / "t") == manifest
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kit.store(tmp_path / "t")


def test_a_manifest_says_what_it_is(tmp_path, kit):
    kit.store(tmp_path / "t")
    content = json.loads((tmp_path / "t" / "manifest.json").read_text())["content"]
    assert content["identity"]["teacher"] == "weights-1"
    assert content["outputs"][0]["names"] == ["ant", "bee", "cat"]
    assert content["segments"][0]["rows"] == 100


def test_a_folder_without_a_transfer_set(tmp_path):
    with pytest.raises(StoreMismatch, match=r"expected a transfer set at .*nowhere, there is no manifest\.json"):
        Store(tmp_path / "nowhere")


def test_two_writers_are_refused(tmp_path, kit):
    (tmp_path / "t").mkdir()
    lock = FolderLock(tmp_path / "t")
    lock.take()
    with pytest.raises(StoreMismatch, match="another run is writing to it"):
        kit.store(tmp_path / "t")
    lock.release()
    assert len(kit.store(tmp_path / "t")) == 100


def test_the_store_does_not_depend_on_where_it_lies(tmp_path, kit):
    kit.store(tmp_path / "one")
    kit.store(tmp_path / "two")
    assert kit.content(tmp_path / "one") == kit.content(tmp_path / "two")
