"""Steps of rows of like length: every row once an epoch, the same in both arms, entered anywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.signals import MAIN
from limbeck.train.feed import Feed, Table
from limbeck.train.lengths import Grouping, lengths_of
from limbeck.train.loop import fit
from limbeck.train.steps import Learner

BLOCK = 64
SIZES = st.tuples(st.integers(1, 400), st.integers(0, 300), st.integers(1, 24), st.integers(0, 3))


def table_of(rows, seed=0, longest=40, kind=torch.int32):
    """Rows of text of all lengths; class 1 where the first token is odd."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, rows)
    ids = torch.from_numpy(rng.integers(0, 50, (rows, longest))).to(kind)
    ids[torch.from_numpy(np.arange(longest) >= lengths[:, None])] = -1
    keys = np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1)
    return Table(keys, ids, {MAIN: (ids[:, 0] % 2).long()})


def feed_of(table, labelled, size, seed=0, **more):
    return Feed.of(table, labelled=labelled, batch_size=size, seed=seed, **more)


def drawn(feed, steps):
    return np.stack([feed.rows_of(step)[0] for step in steps])


def plain(feed):
    return Feed(feed.table, feed.streams, views=feed.views)


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_a_block_holds_the_rows_that_it_held_and_an_epoch_every_row_once(sizes):
    labelled, rest, size, seed = sizes
    feed = feed_of(table_of(labelled + rest), labelled, size, seed)
    other = plain(feed)
    for first in (0, BLOCK, 5 * BLOCK):
        steps = range(first, first + BLOCK)
        at = 0
        for stream in feed.streams:
            part = slice(at, at + stream.size)
            at += stream.size
            mine = np.concatenate([np.stack(feed.rows_of(step))[:, part] for step in steps], axis=1)
            theirs = np.concatenate([np.stack(other.rows_of(step))[:, part] for step in steps], axis=1)
            # rows and epochs as pairs: nothing leaves its block, nor its epoch
            assert sorted(zip(*mine.tolist(), strict=True)) == sorted(zip(*theirs.tolist(), strict=True))
            whole = [step for step in steps if len(set(feed.rows_of(step)[1][part].tolist())) == 1]
            for step in whole:
                rows = feed.rows_of(step)[0][part]
                assert len(set(rows.tolist())) == len(rows)


@settings(max_examples=40, deadline=None)
@given(SIZES, st.lists(st.integers(0, 500), min_size=1, max_size=8))
def test_a_feed_entered_anywhere_gives_what_one_read_from_the_start_gives(sizes, steps):
    labelled, rest, size, seed = sizes
    table = table_of(labelled + rest)
    whole = drawn(feed_of(table, labelled, size, seed), range(501))
    entered = feed_of(table, labelled, size, seed)
    assert np.array_equal(drawn(entered, steps), whole[steps])


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_both_arms_see_the_same_labelled_rows_in_the_same_steps(sizes):
    labelled, rest, size, seed = sizes
    table = table_of(labelled + rest)
    few = Table(table.keys[:labelled], table.inputs[:labelled], {MAIN: table.targets[MAIN][:labelled]})
    distilled, control = feed_of(table, labelled, size, seed), feed_of(few, labelled, size, seed)
    assert np.array_equal(drawn(distilled, range(200))[:, :size], drawn(control, range(200)))


def padded(feed, steps):
    """Padded over real tokens of the steps."""
    lengths = feed.grouping.lengths
    rows = [lengths[feed.rows_of(step)[0]] for step in steps]
    return sum(row.max() * len(row) for row in rows) / sum(row.sum() for row in rows)


def test_grouped_steps_carry_little_padding_also_with_unlabelled_rows():
    table = table_of(6000, longest=100)
    for labelled in (6000, 2500):
        feed = feed_of(table, labelled, 16)
        before = Feed(table, feed.streams, grouping=None)
        before.grouping = None
        plain_rows = drawn(before, range(BLOCK))
        lengths = lengths_of(table.inputs)
        arrival = (lengths[plain_rows].max(1) * plain_rows.shape[1]).sum() / lengths[plain_rows].sum()
        assert padded(feed, range(BLOCK)) < 1.06 < 1.8 < arrival


def test_steps_do_not_come_in_the_order_of_their_lengths():
    feed = feed_of(table_of(8000), 8000, 32)
    lead = feed.grouping.lengths[drawn(feed, range(3 * BLOCK))].mean(1)
    for block in range(3):
        means = lead[block * BLOCK : (block + 1) * BLOCK]
        assert abs(np.corrcoef(np.arange(BLOCK), means)[0, 1]) < 0.4
    assert not np.array_equal(np.argsort(lead[:BLOCK]), np.argsort(lead[BLOCK : 2 * BLOCK]))


def test_rows_of_one_length_keep_their_order():
    grouping = Grouping(np.full(512, 7), 3)
    rows = np.random.default_rng(0).permutation(512).reshape(BLOCK, 8)
    ((made, _),) = grouping.regrouped([(rows, np.zeros_like(rows))], 0)
    assert sorted(map(tuple, made.tolist())) == sorted(map(tuple, rows.tolist()))


@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
def test_rows_without_lengths_come_as_they_always_did(kind):
    table = table_of(300, kind=kind)
    feed = feed_of(table, 200, 16, seed=1)
    assert feed.grouping is None
    assert feed.fingerprint == plain(feed).fingerprint
    assert np.array_equal(drawn(feed, range(150)), drawn(plain(feed), range(150)))


def test_the_fingerprint_knows_the_grouping_and_the_lengths():
    table = table_of(300)
    feed = feed_of(table, 300, 16)
    shorter = Table(table.keys, table.inputs[:, :20].contiguous(), table.targets)
    prints = {feed.fingerprint, plain(feed).fingerprint, feed_of(shorter, 300, 16).fingerprint}
    assert len(prints) == 3
    assert feed_of(table_of(300), 300, 16).fingerprint == feed.fingerprint
    assert feed.to(torch.device("cpu")).fingerprint == feed.fingerprint


def test_a_training_on_rows_of_text_that_was_killed_ends_as_one_that_was_not(kit, tmp_path):
    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(50, 2)

        def forward(self, rows):
            mask = rows >= 0
            return (self.table(rows.clamp(min=0)) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def training(folder, killed=None):
        torch.manual_seed(0)
        learner = Learner(Bag(), kit.Hard(), [MAIN])
        spec = kit.plan(steps=90, batch_size=4, checkpoint_every=1)
        seen = []

        def events(name, value, step):
            if killed is not None and step >= killed:
                raise KeyboardInterrupt
            seen.append(step)

        fit(
            learner, None, feed_of(table_of(300), 300, 4), spec, folder=folder, events=events,
            validate=lambda _: 0.0,
        )  # fmt: skip
        return learner.student.table.weight

    whole = training(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        training(tmp_path / "b", killed=70)
    assert torch.equal(training(tmp_path / "b"), whole)
