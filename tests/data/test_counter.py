import numpy as np

from limbeck.data.counter import integers, mix, mixed, normals, row_words, uniforms, words

KEYS = np.random.default_rng(0).integers(0, 2**63, (2000, 2)).astype(np.uint64)
ROWS = row_words(0, KEYS, np.zeros(2000, int), 0)


def test_mix_is_splitmix64():
    # the first outputs of the authors' generator from state 0
    assert [f"{int(mix(np.uint64(state))):016x}" for state in (0, 0x9E3779B97F4A7C15)] == [
        "e220a8397b1dcdaf", "6e789e6aa1b965f4",
    ]  # fmt: skip
    assert len(np.unique(mixed(np.uint64(5), 10_000))) == 10_000


def test_words_depend_on_seed_key_view_and_channel():
    base = row_words(0, KEYS, np.zeros(2000, int), 0)
    others = [
        row_words(1, KEYS, np.zeros(2000, int), 0), row_words(0, KEYS, np.ones(2000, int), 0),
        row_words(0, KEYS, np.zeros(2000, int), 1), row_words(0, KEYS[:, ::-1], np.zeros(2000, int), 0),
    ]  # fmt: skip
    assert len(np.unique(np.concatenate([base, *others]))) == 5 * 2000
    np.testing.assert_array_equal(row_words(2**64, KEYS, np.zeros(2000, int), 0), base)
    np.testing.assert_array_equal(row_words(0, KEYS[7:9], np.zeros(2, int), 0), base[7:9])


def test_numbers_do_not_depend_on_the_rows_beside_them():
    for draw in (lambda rows: words(rows, 5), lambda rows: normals(rows, 5), lambda rows: integers(rows, 5, 9)):
        np.testing.assert_array_equal(draw(ROWS[3:4]), draw(ROWS)[3:4])


def test_distributions():
    u = uniforms(ROWS, 50)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.004 and abs(u.var() - 1 / 12) < 0.002
    assert np.abs(np.corrcoef(u[:, :6].T) - np.eye(6)).max() < 0.08
    z = normals(ROWS, 51)
    assert z.shape == (2000, 51) and abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01
    assert abs((np.abs(z) < 1.96).mean() - 0.95) < 0.003
    assert np.bincount(integers(ROWS, 50, 4).reshape(-1), minlength=4).min() > 24_000
