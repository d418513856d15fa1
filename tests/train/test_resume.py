import json

import pytest
import torch

from limbeck.core.errors import StoreMismatch
from limbeck.signals import MAIN
from limbeck.train import checkpoint
from limbeck.train.loop import fit
from limbeck.train.steps import Learner

STEPS = 20


class Killed(Exception):
    pass


def training(kit, folder, *, stop=None, every=1, said=None, **more):
    """A training with everything that could break a resumption: dropout, a norm, views, accumulation, best state."""
    table = kit.make_table(mask=torch.arange(kit.ROWS) % 3 > 0)

    def gather(index, views):
        noise = torch.rand(len(index), kit.WIDTH)  # from the global stream
        return table.inputs[torch.from_numpy(index)] + 0.1 * noise

    augmented = kit.Table(table.keys, gather, table.targets, table.label_mask)
    student = kit.make_student(dropout=0.4, norm=True)
    learner = Learner.build(
        student, 0.5 * kit.Hard() + 0.5 * kit.Soft(), [MAIN], kit.make_feed(table).batch(0), source=answers(kit)
    )
    settings = {"optimizer": "adamw", "accumulate": 2, "validate_every": 3, "schedule": "onecycle", "clip": 1.0}
    spec = kit.plan(steps=STEPS, checkpoint_every=every, **{**settings, **more})
    source = answers(kit)
    if stop is not None:
        source = Stopping(source, stop)
    feed = kit.make_feed(augmented, labelled=60, batch_size=15, views=2)
    score = kit.accuracy(table)
    return fit(
        learner,
        source,
        feed,
        spec,
        validate=score,
        folder=folder,
        seed=4,
        say=(said if said is not None else []).append,
    )


def answers(kit):
    return kit.Answers(kit.make_logits())


class Stopping:
    """A teacher that kills the process at its n-th answer."""

    def __init__(self, source, stop):
        self.source, self.left = source, stop

    def have(self):
        return self.source.have()

    def answer(self, batch):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.source.answer(batch)


def same(left, right):
    assert left.best_state.keys() == right.best_state.keys()
    for name, value in left.best_state.items():
        assert torch.equal(value, right.best_state[name]), name
    assert left.history == right.history
    assert (left.best_step, left.best_score, left.skipped) == (right.best_step, right.best_score, right.skipped)


def test_a_kill_at_any_micro_batch_changes_nothing(kit, tmp_path):
    """Two micro-batches a step: even numbers fall before a step, odd ones into the middle of its accumulation."""
    reference = training(kit, tmp_path / "whole")
    for answer in range(2 * STEPS):
        folder = tmp_path / f"killed-{answer}"
        with pytest.raises(Killed):
            training(kit, folder, stop=answer)
        resumed = training(kit, folder)
        assert resumed.resumed_at == (answer // 2 if answer >= 2 else None)
        same(reference, resumed)


def test_checkpoints_every_few_steps_are_as_good(kit, tmp_path):
    reference = training(kit, None)
    with pytest.raises(Killed):
        training(kit, tmp_path, stop=34, every=5)
    resumed = training(kit, tmp_path, every=7)
    assert resumed.resumed_at == 15
    same(reference, resumed)


def test_a_finished_training_is_not_repeated(kit, tmp_path):
    reference = training(kit, tmp_path)
    again = training(kit, tmp_path, stop=0)
    assert again.resumed_at == STEPS
    same(reference, again)


def test_early_stopping_survives_a_kill(kit, tmp_path):
    reference = training(kit, None, patience=1)
    assert reference.stopped_early
    with pytest.raises(Killed):
        training(kit, tmp_path, stop=2 * reference.steps - 1, patience=1)
    same(reference, training(kit, tmp_path, patience=1))


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[len(data) // 2 :]
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how != "empty" else b"")


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("how", ["flip", "cut", "gone", "empty"])
def test_a_damaged_checkpoint_is_left_out_aloud(kit, tmp_path, suffix, how):
    reference = training(kit, None)
    with pytest.raises(Killed):
        training(kit, tmp_path, stop=20)
    newest = max(tmp_path.glob("step-*.json"))
    damage(newest.with_suffix(suffix), how)
    said = []
    resumed = training(kit, tmp_path, said=said)
    assert resumed.resumed_at == 9
    same(reference, resumed)
    if (suffix, how) != (".json", "gone"):  # a checkpoint without its JSON was never there
        assert "the checkpoint step-000000010 is damaged and was left out" in said[0]
    assert said[-1] == "training goes on at step 9 of 20"


def test_every_flipped_byte_of_the_plain_part_is_noticed(kit, tmp_path):
    with pytest.raises(Killed):
        training(kit, tmp_path, stop=4)
    path = max(tmp_path.glob("step-*.json"))
    body = path.read_bytes()
    identity = json.loads(body)["body"]["identity"]
    assert checkpoint.newest(tmp_path, identity, print).step == 2
    for place in range(0, len(body), 37):
        flipped = bytearray(body)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        try:
            found = checkpoint.newest(tmp_path, identity, lambda _: None)
        except StoreMismatch:
            raise AssertionError(f"byte {place} passed the checksum") from None
        same_text = flipped.split() == body.split()  # white space between entries means nothing
        assert same_text or found.step == 1, place


def test_only_two_checkpoints_are_kept(kit, tmp_path):
    training(kit, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["step-000000019.json", "step-000000020.json"]
    checkpoint.clear(tmp_path)
    assert not list(tmp_path.glob("step-*"))


@pytest.mark.parametrize(
    ("change", "field"), [({"learning_rate": 0.5}, "plan"), ({"accumulate": 3}, "plan"), ({"patience": 4}, "plan")]
)
def test_a_checkpoint_of_another_training_is_refused(kit, tmp_path, change, field):
    with pytest.raises(Killed):
        training(kit, tmp_path, stop=8)
    with pytest.raises(StoreMismatch, match=f"expected a checkpoint of the same training, this one differs in {field}"):
        training(kit, tmp_path, **change)


def test_no_pickle_is_written(kit, tmp_path):
    training(kit, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
