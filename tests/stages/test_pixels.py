"""Masks in the stages: moved as their images are, stored at a fixed size, answered in parts."""

import numpy as np
import pytest
import torch
from e2e_masks import circles

import limbeck as lb
from limbeck.models.student import Student
from limbeck.stages import pixels
from limbeck.stages.tables import table_of
from limbeck.train.feed import Feed
from limbeck.transfer.codecs import Pixels, codec_from_spec


def marked(rows=6, side=8):
    """Images whose pixels are their own labels: 1 and 2 over a ground of 0; nothing is 0 but what moves in."""
    draw = np.random.default_rng(0)
    masks = draw.integers(0, 3, (rows, side, side))
    return (50 + 50 * masks).astype(np.uint8), masks


def table_for(data, pseudo=None, rows=None):
    student = Student.of("unet(width=2, depth=1)", data.preprocess.shape, {"main": 3}, kinds={"main": "segmentation"})
    return table_of(data, data.train if rows is None else rows, student, views=True, pseudo=pseudo)


@pytest.mark.parametrize("view", ["flip", "flip_ud", "rot90", "shift(3)", "crop(0.6)", "flip(1) + rot90(1) + shift(2)"])
def test_a_mask_moves_as_its_image_does(view):
    images, masks = marked(20)
    data = lb.Data(train=(images, masks), test=marked(4), view=view, views=8)
    table, rows, moved = table_for(data), np.arange(len(data.train)), 0
    feed = Feed.of(table, labelled=len(rows), batch_size=4, seed=0, views=8)
    for number in range(8):
        views = np.full(len(rows), number)
        batch = feed.take(rows, views)
        shown = data.view(data.train.inputs, data.train.keys, views).reshape(len(rows), -1)
        ids, known = batch.targets["main"].numpy(), batch.label_mask["main"].numpy()
        assert (known == (shown > 0)).all()  # what moved in is black, and has no label
        assert (ids[known] == (shown[known] - 50) // 50).all()
        moved += int((ids != table.targets["main"].numpy()).any())
    assert moved >= 6
    assert torch.equal(feed.take(rows, np.zeros(len(rows), dtype=int)).targets["main"], table.targets["main"])


def test_views_that_move_nothing_leave_masks_where_they_are():
    images, masks = marked(10)
    data = lb.Data(train=(images, masks), test=marked(4), view="noise(0.2) + cutout", views=4)
    table = table_for(data)
    feed = Feed.of(table, labelled=len(table), batch_size=4, seed=0, views=4)
    batch = feed.take(np.arange(len(table)), np.full(len(table), 3))
    assert torch.equal(batch.targets["main"], table.targets["main"])


def test_what_has_no_label_has_none_wherever_it_moves():
    images, masks = marked(10)
    given = [None if row == 0 else np.where(mask == 2, 255, mask) for row, mask in enumerate(masks)]
    data = lb.Data(train=(images, given), test=marked(4), classes=["a", "b", "c"], view="rot90(1)", views=4)
    table = table_for(data)
    feed = Feed.of(table, labelled=len(table), batch_size=4, seed=0, views=4)
    batch = feed.take(np.arange(len(table)), np.ones(len(table), dtype=int))
    known = batch.label_mask["main"].numpy()
    assert (known.sum(axis=1) == table.label_mask["main"].numpy().sum(axis=1)).all()
    empty = int(np.flatnonzero(~data.train.label_mask["main"])[0])
    assert not known[empty].any() and batch.targets["main"].max() <= 1


def test_what_a_teacher_decided_moves_too():
    images, masks = marked(10)
    data = lb.Data(train=(images, masks), unlabeled=marked(8)[0], test=marked(4), view="flip_ud(1)", views=2)
    decided = np.tile(np.arange(64) % 3, (len(data.unlabeled), 1))
    table = table_for(data, {"main": decided}, data.unlabeled)
    feed = Feed.of(table, labelled=0, batch_size=4, seed=0, views=2)
    batch = feed.take(np.arange(len(table)), np.ones(len(table), dtype=int))
    assert np.array_equal(batch.targets["main"].numpy().reshape(-1, 8, 8), decided.reshape(-1, 8, 8)[:, ::-1])


def test_pixels_come_back_at_their_places():
    codec, values = Pixels(6), np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    columns = {name: torch.from_numpy(c) for name, c in codec.encode(values, "main", np.zeros((2, 2))).items()}
    assert codec.columns(3)[0].row_bytes == 36 and codec_from_spec(codec.spec()) == codec
    assert np.abs(codec.decode(columns, 3).numpy() - values).max() <= codec.tolerance(float(np.abs(values).max()))
    assert codec.shard_rows(3, 8) % 8 == 0


def test_answers_in_parts_are_the_answers(monkeypatch):
    data = lb.Data(train=circles(12), test=circles(9, 1))
    monkeypatch.setattr(pixels, "_NUMBERS", 16 * 16 * 2 * 4)
    seen = []

    def ask(rows, places):
        seen.append(len(rows))
        assert (rows.keys == data.test.keys[places]).all()
        return {"main": rows.inputs.reshape(len(rows), -1)}

    whole = pixels.in_parts(data.test, data.tasks, ask)["main"]
    assert seen == [4, 4, 1] and np.array_equal(whole, data.test.inputs.reshape(9, -1))
    assert len(pixels.few_for(data.test, data.tasks, 9)) == 4
