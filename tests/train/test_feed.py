"""The order in which a feed hands rows out."""

import numpy as np
import torch

from limbeck.signals import MAIN
from limbeck.train.feed import Feed, Table


def test_rows_that_lie_class_by_class_come_mixed():
    rows, classes, size = 60_000, 100, 256
    keys = np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1)
    labels = torch.arange(rows) * classes // rows
    feed = Feed.of(Table(keys, torch.zeros(rows, 1), {MAIN: labels}), labelled=rows, batch_size=size, seed=0)
    distinct = [len(feed.batch(step).targets[MAIN].unique()) for step in range(20)]
    assert np.mean(distinct) > 90
    seen = np.concatenate([feed.rows_of(step)[0] for step in range(rows // size)])
    assert len(np.unique(seen)) == len(seen)
