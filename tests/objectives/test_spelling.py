"""The one spelling of objectives: text to sum and back, and every problem at once."""

import subprocess
import sys
import types

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from limbeck.core.errors import ConfigError
from limbeck.objectives import CATALOG, CE, DKD, KD, RKD, Hint, Ramp, SimKD, Sum, Term, dump, parse, ramp, term
from limbeck.objectives.base import as_sum
from limbeck.objectives.response.kd import kd_rows


def problems(text):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KD", as_sum(KD())),
        ("KD()", as_sum(KD())),
        ("0.1 * CE + 0.9 * KD(temperature=4)", 0.1 * CE() + 0.9 * KD(temperature=4)),
        ("KD(temperature=2.5) * 3", 3 * KD(temperature=2.5)),
        ("2 * (CE + 0.5 * KD)", 2 * CE() + 1.0 * KD()),
        ("ramp(0, 0.9, until=0.2) * KD", ramp(0, 0.9, until=0.2) * KD()),
        ("ramp(1, 0, begin=0.5) * CE + KD", Ramp(1, 0, 1.0, 0.5) * CE() + KD()),
        ("KD(temperature=auto)", as_sum(KD(temperature="auto"))),
        ("KD(temperature='auto', on='colour')", as_sum(KD(temperature="auto", on="colour"))),
        ("Hint(pair=('h', 'layer3.1'))", as_sum(Hint(pair=("h", "layer3.1")))),
        ("Hint(pair=['h', 'a:b'])", as_sum(Hint(pair=("h", "a:b")))),
        ("CE(class_weight=(1, 2.5))", as_sum(CE(class_weight=(1.0, 2.5)))),
        ("RKD(pair=None)", as_sum(RKD())),
        ("  0.1*CE\n  + 0.9*KD", 0.1 * CE() + 0.9 * KD()),
        ("limbeck.objectives.response.kd:KD(temperature=3)", as_sum(KD(temperature=3))),
        ("0.5 * limbeck.objectives.response.kd:KD", 0.5 * KD()),
        ("term(limbeck.objectives.response.kd:kd_rows)", as_sum(term(kd_rows))),
        ("term(limbeck.objectives.response.kd:kd_rows, on='b')", as_sum(term(kd_rows, on="b"))),
    ],
)
def test_text_is_what_python_says(text, expected):
    assert parse(text) == expected
    assert parse(dump(expected)) == expected


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (0.1 * CE() + 0.9 * KD(temperature=2), "0.1 * CE + 0.9 * KD(temperature=2)"),
        (KD(temperature="auto"), "KD(temperature=auto)"),
        (2.0 * KD(), "2 * KD"),
        (ramp(0, 0.9, until=0.2) * KD(), "ramp(0, 0.9, until=0.2) * KD"),
        (SimKD(pair=("h", "avgpool")), "SimKD(pair=('h', 'avgpool'))"),
        (term(kd_rows), "term(limbeck.objectives.response.kd:kd_rows)"),
    ],
)
def test_dump_says_what_is_not_a_default(objective, text):
    assert dump(objective) == text


weights = st.one_of(
    st.floats(0, 1e6, allow_nan=False),
    st.integers(0, 50),
    st.builds(Ramp, st.floats(0, 9), st.floats(0, 9), st.floats(0.5, 1), st.floats(0, 0.4)),
)
names = st.text("abcxyz019_.:'\" \\#é", min_size=1, max_size=8)
some = st.one_of(
    st.builds(CE, on=names, label_smoothing=st.floats(0, 0.99)),
    st.builds(KD, on=names, temperature=st.one_of(st.floats(1e-3, 1e3), st.just("auto"))),
    st.builds(DKD, target_weight=st.floats(0, 9), unlabelled=st.sampled_from(["teacher", "skip"])),
    st.builds(Hint, pair=st.tuples(names, names)),
    st.builds(RKD, pair=st.none() | st.tuples(names, names), angle_weight=st.floats(0, 9)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.builds(Term, weights, some), min_size=1, max_size=4))
def test_every_sum_comes_back_exactly(terms):
    whole = Sum(tuple(terms))
    assert parse(dump(whole)) == whole
    assert dump(parse(dump(whole))) == dump(whole)


def test_all_problems_at_once():
    found = problems("0.1 * CEE + KD(alpha=0.9, temprature=4) - DKD(5) + Hint + NKD(temperature=0)")
    assert len(found) == 7
    assert (
        found[0] == "objective: expected terms joined by + and *, got -; for example 0.1 * CE + 0.9 * KD(temperature=4)"
    )
    assert found[1].startswith("objective: expected the name of a loss, got 'CEE'; did you mean 'CE'?")
    assert found[2].startswith("KD.alpha: there is no 'alpha': the word means the teacher's weight in some libraries")
    assert "0.1 * CE + 0.9 * KD(temperature=4)" in found[2]
    assert found[3] == "KD.temprature: unknown field; did you mean 'temperature'?"
    assert found[4] == "DKD: expected fields by name, got '5'; write DKD(field=value)"
    assert found[5].startswith("Hint.pair: this field is missing; for example Hint(pair=(")
    assert found[6] == "NKD.temperature: expected a number > 0, got 0.0"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("-1 * KD", "expected the weight of kd to be a finite number >= 0, got -1"),
        ("-KD", "expected a weight >= 0, got a sign; losses are added, never taken away"),
        ("KD * CE", "expected a weight before a term, got two terms"),
        ("KD / 2", "expected terms joined by + and *, got another sign"),
        ("0.1 * 0.2", "expected the name of a loss, got '0.2'"),
        ("'a' * KD", "expected a number as a weight"),
        ("KD(temperature='hot')", "KD.temperature: expected a number or auto, got 'hot'"),
        ("KD(temperature=float('inf'))", "KD.temperature: expected a number or auto, got float('inf')"),
        ("KD(temperature=1e999)", "KD.temperature: expected"),
        ("KD(on=5)", "KD.on: expected text, got 5"),
        ("KD(on='')", "KD.on: expected a name, got ''"),
        ("KD(**{'on': 'a'})", "KD.**: unknown field"),
        ("KD(lr=1)", "KD.lr: unknown field; known here: among, on, temperature"),
        ("KD(T=1)", "KD.T: unknown field; it is spelt temperature"),
        ("KD(weight=0.9)", "KD.weight: weights are no fields; they stand in the sum"),
        ("DKD(unlabelled='drop')", "DKD.unlabelled: expected one of teacher, skip, got 'drop'"),
        ("ramp(0, 1, til=0.5) * KD", "ramp.til: unknown field; did you mean 'until'?"),
        ("ramp(0, 1, until=2) * KD", "expected 0 <= begin < until <= 1 in a ramp"),
        ("ramp(0) * KD", "expected numbers in a ramp; for example ramp(0, 0.9, until=0.2) * KD"),
        ("ramp(0, 1) * (ramp(0, 1) * KD)", "expected plain weights in a sum that a ramp multiplies, got a ramp"),
        ("no_such_module:Loss", "cannot import no_such_module for 'no_such_module:Loss'"),
        ("limbeck.objectives.response.kd:kd_rows", "wrap a function: term(my_package.module:function)"),
        ("term(5)", "expected one function in term(); write term(my_package.module:function)"),
        ("term(limbeck.signals:MAIN)", "expected a function at 'limbeck.signals:MAIN', got str"),
        ("0.1 *", "cannot read '0.1 *'"),
        ("KD(", "cannot read 'KD('"),
        ("KD; CE", "cannot read 'KD; CE'"),
        ("[KD]", "expected the name of a loss, got '[KD]'"),
    ],
)
def test_a_problem_says_what_is_wrong(text, part):
    assert any(part in line for line in problems(text)), problems(text)


@pytest.mark.parametrize("text", ["", "   ", None, 5])
def test_nothing_is_no_objective(text):
    with pytest.raises(ConfigError, match="expected an objective as text"):
        parse(text)


def test_nothing_is_ever_evaluated(tmp_path):
    target = tmp_path / "made"
    for text in (f"__import__('os').mkdir('{target}')", f"KD(temperature=__import__('os').mkdir('{target}'))"):
        problems(text)
    assert not target.exists()


def test_what_cannot_be_imported_again_cannot_be_written():
    with pytest.raises(ConfigError, match="expected a loss that can be imported again"):
        dump(term(lambda student, teacher: (student - teacher).sum(1)))


def test_a_plugin_has_a_name(monkeypatch):
    module = types.ModuleType("their_losses")
    module.Theirs = type("Theirs", (KD,), {"__module__": "their_losses"})
    monkeypatch.setitem(sys.modules, "their_losses", module)

    class Point:
        name, value, dist = "Theirs", "their_losses:Theirs", None

    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Point] if group == "limbeck.objectives" else []
    )
    whole = parse("0.5 * Theirs(temperature=2)")
    assert type(whole.terms[0].objective) is module.Theirs
    assert dump(whole) == "0.5 * Theirs(temperature=2.0)"


def test_the_list_of_losses_costs_no_torch():
    code = "import limbeck.objectives as o, sys; print(len(o.CATALOG), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(len(CATALOG)), "False"]
