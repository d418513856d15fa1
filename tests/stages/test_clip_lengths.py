"""Steps of clips of like length: less padding, the same rows."""

import numpy as np
import torch

import limbeck as lb
from limbeck.models.student import Student
from limbeck.stages.tables import table_of
from limbeck.train.feed import Feed

RATE = 2000


def clips(count, seed=0):
    draw = np.random.default_rng(seed)
    sizes = draw.integers(200, 4000, count)
    return [0.1 * draw.normal(size=size).astype(np.float32) for size in sizes]


def test_clips_of_like_length_share_a_step_and_every_row_comes_once():
    made = clips(256)
    data = lb.Data(train=(made, [0, 1] * 128), validation=(clips(8, 1), [0, 1] * 4), sample_rate=RATE)
    student = Student.of("audio_cnn(width=4, blocks=1, mels=8, rate=2000)", data.preprocess.shape, {"main": 2})
    table = table_of(data, data.train, student)
    assert table.lengths.tolist() == [len(clip) for clip in data.train.inputs]
    feed = Feed.of(table, labelled=256, batch_size=16, seed=0)
    size, seen, per_step = {tuple(k): n for k, n in zip(table.keys.tolist(), table.lengths, strict=True)}, [], []
    for step in range(16):  # an epoch
        batch = feed.batch(step)
        seen += [tuple(key) for key in batch.keys.tolist()]
        sizes = [size[key] for key in seen[-16:]]
        assert sorted((~torch.isnan(batch.student_inputs)).sum(1).tolist()) == sorted(sizes)
        per_step.append(max(sizes) * len(sizes))
    assert len(set(seen)) == 256
    mixed = Feed(table, feed.streams)  # the same rows without the grouping
    plain = [16 * max(size[tuple(key)] for key in mixed.batch(step).keys.tolist()) for step in range(16)]
    real = sum(size.values())
    assert sum(per_step) < 1.1 * real < 1.5 * real < sum(plain)
    assert per_step != sorted(per_step)  # which step is short is drawn
