"""Texts of a teacher on disk: each source once, whatever it was killed at or damaged by."""

import numpy as np
import pytest

from limbeck.core.errors import LimbeckError, StoreDamaged, StoreMismatch
from limbeck.transfer.texts import JOURNAL, fill, read

IDENTITY = {"teacher": "t", "writing": {"beams": 2}}
KEYS = np.random.default_rng(0).integers(0, 2**63, (50, 2)).astype(np.uint64)


class Teacher:
    """Writes the number of each source and of the draw; stops after some pieces where it is told to."""

    def __init__(self, pieces=99):
        self.pieces, self.asked = pieces, []

    def __call__(self, places, seed):
        if len(self.asked) == self.pieces:
            raise KeyboardInterrupt
        self.asked.append(places)
        return [f"{place} {seed % 1000} ü" for place in places], np.full(len(places), -0.5)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_every_source_has_its_text(tmp_path):
    teacher = Teacher()
    made = fill(tmp_path, IDENTITY, np.concatenate([KEYS, KEYS[:9]]), teacher, shard_rows=8)
    texts, logprobs = read(tmp_path).of(KEYS[::-1])
    assert [int(text.split()[0]) for text in texts] == list(range(50))[::-1]
    assert set(logprobs) == {-0.5} and len(made) == 50
    assert sum(map(len, teacher.asked)) == 50 and max(map(len, teacher.asked)) == 8


@pytest.mark.parametrize("pieces", [0, 1, 4])
def test_a_kill_loses_nothing_that_was_written_and_changes_nothing(tmp_path, pieces):
    fill(tmp_path / "whole", IDENTITY, KEYS, Teacher(), shard_rows=8)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "killed", IDENTITY, KEYS, Teacher(pieces), shard_rows=8)
    again = Teacher()
    fill(tmp_path / "killed", IDENTITY, KEYS, again, shard_rows=8)
    assert len(again.asked) == 7 - pieces
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_damaged_pieces_alone_are_written_again(tmp_path):
    fill(tmp_path, IDENTITY, KEYS, Teacher(), shard_rows=8)
    before = content(tmp_path)
    for number in (2, 5):
        path = tmp_path / f"texts-{number:05d}.parquet"
        path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(StoreDamaged, match="to hold 8 texts as written, it does not"):
        read(tmp_path)
    again = Teacher()
    fill(tmp_path, IDENTITY, KEYS, again, shard_rows=8)
    assert len(again.asked) == 2
    after = content(tmp_path)
    assert {name for name in before if before[name] != after[name]} <= {JOURNAL}
    assert fill(tmp_path, IDENTITY, KEYS, Teacher(0), shard_rows=8).of(KEYS)[0][3].startswith("3 ")


def test_new_sources_are_added_and_known_ones_are_not_asked_again(tmp_path):
    fill(tmp_path, IDENTITY, KEYS[:20], Teacher(), shard_rows=8)
    more = Teacher()
    made = fill(tmp_path, IDENTITY, KEYS, more, shard_rows=8)
    assert sum(map(len, more.asked)) == 30 and len(made) == 50


def test_texts_of_another_teacher_are_refused(tmp_path):
    fill(tmp_path, IDENTITY, KEYS, Teacher())
    with pytest.raises(StoreMismatch, match=r"expected texts with teacher other in .*, they have t"):
        fill(tmp_path, {**IDENTITY, "teacher": "other"}, KEYS, Teacher())
    with pytest.raises(StoreMismatch, match="a text of the teacher for each of 1 sources, 1 have none"):
        read(tmp_path).of(np.array([[1, 2]], dtype=np.uint64))
    with pytest.raises(StoreMismatch, match=r"there is no texts\.json"):
        read(tmp_path / "elsewhere")


def test_answers_that_are_no_texts_are_refused(tmp_path):
    with pytest.raises(LimbeckError, match="expected 50 texts of the teacher, got 50 float"):
        fill(tmp_path, IDENTITY, KEYS, lambda places, seed: ([0.5] * len(places), np.zeros(len(places))))
    with pytest.raises(LimbeckError, match="expected 50 texts of the teacher, got 1 texts"):
        fill(tmp_path / "b", IDENTITY, KEYS, lambda places, seed: (["a"], np.zeros(1)))
