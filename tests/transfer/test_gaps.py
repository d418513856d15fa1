"""Words without an answer keep their place in a store, so that nothing behind them moves up."""

import numpy as np
import torch

from limbeck.data.rows import Rows
from limbeck.data.tagging import Tagging
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity
from limbeck.transfer.source import Stored

MASK = torch.tensor([[True, False, True, False], [False, True, False, False], [True, True, True, False]])


class Holes:
    """A teacher that has no answer for the second word of the first row and for the first of the second."""

    def have(self):
        return Needs(outputs=("main",))

    def answer(self, batch):
        rows = batch.teacher_inputs[:, 0].long()
        values = torch.arange(24.0).reshape(3, 4, 2)[rows] + 1
        return Signals({"main": values}, masks={"main": MASK[rows]})


def test_words_behind_a_word_without_an_answer_stay_where_they_are(tmp_path):
    keys = np.arange(6, dtype=np.uint64).reshape(3, 2)
    rows = Rows("array", np.arange(3, dtype=np.float32)[:, None], keys)
    tasks = {"main": Tagging(("O", "B-X"))}
    store = label(
        Holes(), rows, tmp_path / "s", prepare=torch.from_numpy, heads=tasks, identity=Identity("t", "p"), batch_size=2
    )
    said = Stored(store, tasks).answer(Batch(keys=keys))
    mask = said.mask_of("main")
    assert mask.tolist() == MASK[:, :3].tolist()
    live = Holes().answer(Batch(keys=keys, teacher_inputs=torch.arange(3.0)[:, None])).outputs["main"][:, :3]
    assert torch.equal(said.outputs["main"][mask], live[mask])
