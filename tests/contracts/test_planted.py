"""A suite that passes everything proves nothing: wrong losses must fail it, by the contract that they break."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from limbeck.testing import check_objective, failures

# planted losses stand in a module of their own, so that they can be imported and pickled
_spec = importlib.util.spec_from_file_location("planted_losses", Path(__file__).with_name("planted.py"))
planted = importlib.util.module_from_spec(_spec)
sys.modules["planted_losses"] = planted
_spec.loader.exec_module(planted)

BROKEN = {
    "NoTemperatureSquared": "temperature scaling",
    "Swapped": "direction",
    "MeanOverClasses": "sum over classes",
    "ProbabilitiesForLogits": "direction",
    "NoLogarithm": "zero at equal",
    "CrossEntropyForm": "zero at equal",
    "LogOfSoftmax": "finite at extreme logits",
    "RawLogits": "shift invariance",
    "TeacherNotDetached": "no gradient to the teacher",
    "MaskIgnored": "masked positions",
    "MaskAfterwards": "masked positions",
    "PaddingCounts": "padding length",
    "CountsFromTheLeft": "padding side",
    "MeanOverTheBatch": "micro-batches",
    "OtherCount": "count ahead",
    "LooksAtNeighbours": "batch permutation",
    "IgnoresWeights": "row weights",
    "HalfPrecisionSum": "finite at extreme logits",
    "UnlabelledRowsCount": "missing labels",
    "UnknownEntriesAreZeros": "missing entries",
    "PartialRowsDoNotCount": "missing entries",
    "ReadsMoreThanItAsks": "asks for all it reads",
    "HiddenParameters": "heads",
    "KeepsState": "keeps no state",
    "NotFrozen": "is a value",
    "BadDefaults": "builds from its defaults",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_loss_fails_the_contract_that_it_breaks(name):
    wrong = getattr(planted, name)
    loss = wrong(temperature=2.0) if name == "BadDefaults" else wrong()
    assert BROKEN[name] in failures(loss, only=[BROKEN[name]])
    with pytest.raises(AssertionError, match=f"(?s)breaks 1 contract.*{BROKEN[name]}: "):
        check_objective(loss, only=[BROKEN[name]])


def test_the_loss_that_they_spoil_is_right():
    assert failures(planted.Planted()) == {}


def test_each_breaks_little_else():
    """A wrong loss is caught by what is wrong with it, not by anything at all."""
    assert set(failures(planted.NoTemperatureSquared())) == {"temperature scaling"}
    assert set(failures(planted.Swapped())) == {"direction"}
    assert set(failures(planted.MeanOverClasses())) == {"sum over classes"}
    assert set(failures(planted.MeanOverTheBatch())) <= {
        "micro-batches",
        "count ahead",
        "masked positions",
        "padding length",
    }


def test_a_loss_that_lives_in_a_function_cannot_come_back():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Local(planted.Planted):
        pass

    with pytest.raises(AssertionError, match="can be imported again"):
        check_objective(Local(), only=["round trip"])
