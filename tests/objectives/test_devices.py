"""A loss computes where its signals are: nothing is moved, nothing is made on another device."""

import dataclasses

import pytest

from limbeck.objectives import CATALOG, objectives
from limbeck.testing import make_sample

FIELDS = {
    "AttentionScores": {"pairs": ((1, 2), (2, 4)), "student_heads": 2, "teacher_heads": 2},
    "Hidden": {"pairs": (("hidden.0", "hidden.0"), ("hidden.1", "hidden.3"))},
    "HiddenCosine": {"pair": ("hidden.2", "hidden.4")},
    "Hint": {"pair": ("h", "layer3")},
    "MiniLM": {"layers": (2, 4), "relation_heads": 2},
    "PKD": {"pairs": (("hidden.1", "hidden.2"), ("hidden.2", "hidden.4"))},
    "SimKD": {"pair": ("h", "pool")},
}
ON_CPU = ("CTC", "TranscriptKD")  # torch's ctc_loss computes on real devices alone
AWAY = "meta"  # a device that refuses to be mixed with tensors on the CPU


def away(values):
    return {name: value.to(AWAY) for name, value in values.items()}


def moved(signals):
    mask = None if signals.mask is None else signals.mask.to(AWAY)
    return dataclasses.replace(signals, outputs=away(signals.outputs), taps=away(signals.taps), mask=mask)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positions", [0, 4])
@pytest.mark.parametrize("name", [name for name in CATALOG if name not in ON_CPU])
def test_losses_stay_on_the_device_of_their_signals(name, positions, weighted):
    objective = objectives.load(name)(**FIELDS.get(name, {}))
    sample = make_sample(objective, positions=positions, weighted=weighted)
    batch = dataclasses.replace(
        sample.batch,
        targets=away(sample.batch.targets),
        label_mask=away(sample.batch.label_mask),
        weight=None if sample.batch.weight is None else sample.batch.weight.to(AWAY),
    )
    head = None if sample.head is None else sample.head.to(AWAY)
    total, count = objective.loss(moved(sample.student), moved(sample.teacher), batch, head)
    assert total.device.type == AWAY and total.shape == ()
    assert objective.count(moved(sample.teacher), batch).shape == count.shape == ()
