"""The temperature that a teacher's entropy asks for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError, MissingSignal
from limbeck.objectives import CE, DKD, KD, BernoulliKD, auto_temperature, resolve_auto
from limbeck.objectives.response.temperature import entropy_share, is_auto
from limbeck.signals import Signals


def teacher(scale, classes=10, rows=200):
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(0))


def test_a_sure_teacher_is_softened_to_a_fifth_of_the_largest_entropy():
    value, reason = auto_temperature(teacher(9.0))
    assert 1 < value < 4
    assert entropy_share(teacher(9.0), value) == pytest.approx(0.2, abs=0.005)
    assert f"at {value:g}" in reason and "0.2 is aimed at" in reason


def test_a_soft_teacher_stays_as_it_is():
    value, reason = auto_temperature(teacher(0.5))
    assert value == 1.0 and "which is soft enough" in reason


def test_there_is_a_highest_temperature():
    value, reason = auto_temperature(teacher(500.0))
    assert value == 4.0 and "4 is the highest temperature" in reason


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 50), st.integers(2, 20), st.booleans())
def test_the_temperature_is_always_between_one_and_four(scale, classes, multilabel):
    value, _ = auto_temperature(teacher(scale, classes, 20), multilabel=multilabel)
    assert 1 <= value <= 4


def test_the_share_of_nothing_known_is_one():
    assert entropy_share(torch.zeros(3, 7), 1.0) == pytest.approx(1)
    assert entropy_share(torch.zeros(3, 7), 1.0, multilabel=True) == pytest.approx(1)
    assert entropy_share(torch.tensor([[2.0]]), 1.0, multilabel=True) == pytest.approx(
        -sum(p * math.log(p) for p in (0.880797, 0.119203)) / math.log(2), abs=1e-4
    )


def test_auto_is_resolved_in_a_sum_with_a_reason_for_each():
    whole = 0.1 * CE() + 0.9 * KD(temperature="auto") + BernoulliKD(on="tags", temperature="auto") + KD(temperature=2)
    assert [is_auto(t.objective) for t in whole] == [False, True, True, False]
    resolved, reasons = resolve_auto(whole, {"main": teacher(9.0), "tags": teacher(9.0)})
    first, second = resolved.terms[1].objective.temperature, resolved.terms[2].objective.temperature
    assert [t.weight for t in resolved] == [t.weight for t in whole] and resolved.terms[3] == whole.terms[3]
    assert first == auto_temperature(teacher(9.0))[0] and second == auto_temperature(teacher(9.0), multilabel=True)[0]
    assert reasons[0].startswith(f"kd: temperature {first:g}, since the teacher's mean entropy is")
    assert reasons[1].startswith("bernoullikd: temperature ") and len(reasons) == 2
    assert resolve_auto(resolved, {}) == (resolved, [])


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(MissingSignal, match="expected the teacher's output 'main' to choose a temperature for kd"):
        resolve_auto(1.0 * KD(temperature="auto"), {"other": teacher(1.0)})
    for bad in (torch.zeros(0, 3), torch.tensor([[float("nan"), 0.0]])):
        with pytest.raises(ConfigError, match="expected finite teacher logits of at least one row"):
            auto_temperature(bad)


def test_an_unresolved_temperature_does_not_compute():
    import numpy as np

    from limbeck.signals import Batch

    signals, rows = Signals({"main": teacher(1.0, rows=2)}), Batch(keys=np.zeros((2, 2), np.uint64))
    for loss in (KD(temperature="auto"), BernoulliKD(temperature="auto")):
        with pytest.raises(ConfigError, match=r"expected a number as the temperature of .*, it is still 'auto'"):
            loss.loss(signals, signals, rows, None)
    with pytest.raises(ConfigError, match="temperature: expected a number > 0, got 'auto'"):
        DKD(temperature="auto")
