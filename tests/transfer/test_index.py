import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.core.errors import StoreDamaged
from limbeck.transfer import index
from limbeck.transfer.index import KeyIndex, as_keys, hex_key

WORDS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 2, 2**64 - 1])  # few, so that high words collide
KEYS = st.lists(st.tuples(WORDS, WORDS), max_size=30)


def table(pairs):
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


@pytest.fixture(params=["binary search", "table"], autouse=True, scope="module")
def way(request):
    small = index._SMALL
    index._SMALL = small if request.param == "binary search" else 0
    yield
    index._SMALL = small


@given(KEYS, KEYS)
def test_find_agrees_with_a_dict(stored, asked):
    first = {}
    for place, pair in enumerate(stored):
        first.setdefault(pair, place)
    built = KeyIndex.build(table(stored))
    assert len(built) == len(first)
    expected = [first.get(pair, -1) for pair in asked]
    assert built.find(table(asked)).tolist() == expected
    through_bytes = KeyIndex.from_buffer(np.frombuffer(built.to_bytes(), dtype=np.uint8))
    assert through_bytes.find(table(asked)).tolist() == expected


@given(st.lists(st.tuples(WORDS, WORDS), unique=True, max_size=30))
def test_keys_come_back_by_position(pairs):
    assert KeyIndex.build(table(pairs)).keys().tolist() == [list(pair) for pair in pairs]


def test_many_random_keys():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, (10_000, 2), dtype=np.uint64)
    built = KeyIndex.build(keys)
    order = rng.permutation(10_000)
    assert (built.find(keys[order]) == order).all()
    assert (built.find(keys + np.uint64(1)) == -1).all()


def test_a_key_file_of_the_wrong_size_is_damage():
    with pytest.raises(StoreDamaged, match="expected a key file of 24 bytes a row, got 23 bytes"):
        KeyIndex.from_buffer(np.zeros(23, dtype=np.uint8))


def test_keys_are_pairs_of_words():
    with pytest.raises(TypeError, match=r"uint64 \[N, 2\], got int64 \[3\]"):
        as_keys(np.arange(3))
    assert hex_key(np.array([10, 2**64 - 1], dtype=np.uint64)) == "000000000000000affffffffffffffff"
