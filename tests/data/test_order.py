import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError, StoreMismatch
from limbeck.data.order import Order

SIZES = st.integers(1, 300)
CHUNKS = st.integers(1, 70)


@settings(max_examples=150, deadline=None)
@given(SIZES, CHUNKS, st.integers(-5, 2**64), st.integers(0, 10**6))
def test_every_epoch_is_a_permutation(n, chunk, seed, epoch):
    order = Order(n, seed, chunk)
    assert sorted(order.indices(epoch, 0, n)) == list(range(n))


@settings(max_examples=150, deadline=None)
@given(SIZES, CHUNKS, st.integers(0, 1000), st.integers(0, 700), st.integers(0, 400))
def test_a_seek_gives_what_reading_on_gives(n, chunk, seed, position, count):
    stream = Order(n, seed, chunk).indices(0, 0, position + count)
    np.testing.assert_array_equal(Order(n, seed, chunk).indices(0, position, count), stream[position:])
    later = Order(n, seed, chunk).indices(position // n, position % n, count)
    np.testing.assert_array_equal(later, stream[position:])


@settings(max_examples=100, deadline=None)
@given(SIZES, CHUNKS, st.integers(1, 5), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_readers_share_one_stream(n, chunk, world, counts):
    whole = Order(n, 3, chunk)
    readers = [Order(n, 3, chunk, rank=rank, world=world) for rank in range(world)]
    for count in counts:
        together = np.empty(count * world, dtype=np.int64)
        for rank, reader in enumerate(readers):
            together[rank::world] = reader.take(count)
        np.testing.assert_array_equal(together, whole.take(count * world))
    assert len({(r.epoch, r.position) for r in [whole, *readers]}) == 1


def test_a_batch_larger_than_the_set_is_full():
    order = Order(3, 0)
    batch = order.take(10)
    assert len(batch) == 10 and (np.bincount(batch) >= 3).all()
    assert (order.epoch, order.position) == (3, 1)


def test_epochs_and_seeds_differ_and_rows_move_freely():
    order = Order(1000, 0)
    first, second = order.indices(0, 0, 1000), order.indices(1, 0, 1000)
    other = Order(1000, 1).indices(0, 0, 1000)
    for left, right in ((first, second), (first, other), (first, np.arange(1000))):
        assert (left == right).mean() < 0.01
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.1
    # where row 0 lands is uniform over epochs: 1,000 epochs of 10 rows
    small = Order(10, 5)
    places = [int(np.flatnonzero(small.indices(e, 0, 10) == 0)[0]) for e in range(1000)]
    assert np.bincount(places, minlength=10).min() > 60


def test_rows_come_in_chunks():
    batch = Order(1000, 0, 100).indices(0, 0, 1000).reshape(10, 100)
    assert all(len(set(part // 100)) == 1 for part in batch)
    assert [int(part[0]) // 100 for part in batch] != list(range(10))


def test_state_resumes_and_knows_its_stream():
    order = Order(50, 1, 16, fingerprint="abc")
    order.take(73)
    state = order.state()
    expected = order.take(40)
    again = Order(50, 1, 16, fingerprint="abc")
    again.restore(state)
    np.testing.assert_array_equal(again.take(40), expected)
    others = [
        (Order(50, 2, 16, fingerprint="abc"), "seed"), (Order(51, 1, 16, fingerprint="abc"), "rows"),
        (Order(50, 1, 17, fingerprint="abc"), "chunk"), (Order(50, 1, 16, fingerprint="x"), "fingerprint"),
    ]  # fmt: skip
    for other, name in others:
        with pytest.raises(StoreMismatch, match=f"expected the order of {name} .* the checkpoint was written for"):
            other.restore(state)


def test_the_order_is_the_same_on_every_machine():
    assert Order(10, 0).indices(0, 0, 10).tolist() == GOLDEN


GOLDEN = [9, 8, 1, 2, 7, 4, 3, 0, 6, 5]


def test_refusals():
    with pytest.raises(ConfigError, match="at least one row and chunks of at least one row, got 0 and 16384"):
        Order(0)
    with pytest.raises(ConfigError, match="a rank from 0 to 1, got 2"):
        Order(5, rank=2, world=2)


def test_iterating_is_cheap():
    order = Order(1_000_000, 0)
    order.take(128)
    best = 1.0
    for _ in range(3):
        start = time.process_time()
        for _ in range(2000):
            order.take(128)
        best = min(best, (time.process_time() - start) / 2000)
    assert best < 15e-6  # 5 us measured on a quiet machine; three times that where it is busy
