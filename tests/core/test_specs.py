"""YAML to frozen specs and back: strict, all problems at once, each with its line."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.specs import (
    at_least,
    build,
    differences,
    dump_yaml,
    fingerprint,
    from_yaml,
    override,
    refuse,
    suggest,
    to_plain,
    without_defaults,
)
from limbeck.core.yamltext import parse_yaml, read_yaml, write_yaml


@dataclass(frozen=True, kw_only=True)
class Train:
    steps: int = 100
    learning_rate: float | Literal["auto"] = "auto"
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        at_least(problems, self, 1, "steps")
        at_least(problems, self, 0, "learning_rate", above=True)
        refuse(problems, "train")


@dataclass(frozen=True, kw_only=True)
class Member:
    shorthand: ClassVar[str] = "model"
    model: str
    weight: float = 1.0
    train: Train | None = None


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str = "run"
    train: Train = field(default_factory=Train)
    teacher: tuple[Member, ...] = ()
    seeds: int = 5
    exact: bool = True
    columns: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] | None = None
    base: str = field(default=".", compare=False)


def problems(text, *assignments):
    with pytest.raises(ConfigError) as caught:
        from_yaml(Whole, text, "recipe.yaml", assignments)
    return caught.value


def test_a_document_becomes_a_frozen_spec():
    spec = from_yaml(Whole, "train: {steps: 20, learning_rate: 1e-3}\nteacher: mlp\nseeds: 3\n")
    assert spec == Whole(train=Train(steps=20, learning_rate=0.001), teacher=(Member(model="mlp"),), seeds=3)
    with pytest.raises(FrozenInstanceError):
        spec.seeds = 4


def test_an_empty_document_is_the_defaults():
    assert from_yaml(Whole, "") == Whole()


def test_all_problems_come_at_once_with_their_lines():
    err = problems("name: x\ntrain:\n  stpes: 3\n  optimizer: adm\nseeds: three\nteacher:\n  - weight: 2\nexact: 1\n")
    assert str(err) == (
        "recipe.yaml has 5 problems\n\n"
        "  line 3  train.stpes: unknown setting; did you mean 'steps'?\n"
        "  line 4  train.optimizer: expected one of adamw, adam, sgd, got 'adm' (text); did you mean 'adam'?\n"
        "  line 5  seeds: expected a whole number, got 'three' (text)\n"
        "  line 7  teacher.0.model: this setting is missing\n"
        "  line 8  exact: expected true or false, got 1 (a whole number)"
    )
    assert [p.line for p in err.problems] == [3, 4, 5, 7, 8]


def test_bounds_of_a_spec_are_gathered_with_their_lines():
    err = problems("train:\n  steps: 0\n  learning_rate: -1\nseedz: 1\n")
    assert [(p.line, p.where) for p in err.problems] == [(2, "train.steps"), (3, "train.learning_rate"), (4, "seedz")]
    assert "expected a number >= 1, got 0" in str(err)
    assert "expected a number > 0, got -1.0" in str(err)


def test_alpha_is_explained():
    err = problems("train:\n  alpha: 0.9\n")
    assert "'alpha' means opposite things in different libraries" in str(err)
    assert "0.1 * CE + 0.9 * KD(temperature=4)" in str(err)


def test_a_setting_in_the_wrong_section_is_sent_home():
    assert "line 1  steps: unknown setting here; it stands under train" in str(problems("steps: 3\n"))
    assert "train.seeds: unknown setting here; it stands at the top" in str(problems("train: {seeds: 3}\n"))


def test_a_word_of_other_libraries_gets_our_word():
    assert "it is spelt learning_rate, under train" in str(problems("lr: 3\n"))


def test_fields_outside_the_configuration_are_unknown_keys():
    assert "base: unknown setting" in str(problems("base: here\n"))
    assert build(Whole, parse_yaml("seeds: 2"), base="there").base == "there"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line 2  a: the key stands twice, first on line 1; keep one of them"),
        ("train:\n\tsteps: 3\n", "line 2  syntax: a tab stands where YAML wants spaces; indent with spaces"),
        ("name: a: b\n", "line 1  syntax: a second ': ' stands on one line; put the text in quotes"),
        ("name: 'x\n", "a bracket or quote that opens here is never closed"),
        ("name: [x\n", "a bracket or quote that opens here is never closed"),
        ("name: !!python/object/apply:os.system [ls]\n", "a recipe is data only; take the tag off"),
        ("train: &t {steps: 3}\nteacher: *t\n", "line 2  teacher: an alias (*name) is not plain data"),
        ("train:\n  <<: {steps: 3}\n", "line 2  train.<<: merge keys are not plain data; write the values out"),
        ("a: 1\n---\nb: 2\n", "a second document begins ('---'); keep one document in a file"),
        ("name: *x\n", "undefined alias"),
        ("- a\n- b\n", "the file: expected a mapping of settings (name, train, teacher, seeds, ...), got a list of 2"),
        ("train: 3\n", "line 1  train: expected a mapping of settings"),
        ("columns: [a]\n", "columns: expected a mapping of names to text, got a list of 1"),
        ("name: \x00\n", "this is not YAML"),
    ],
)
def test_broken_files_say_what_and_where(text, message):
    assert message in str(problems(text))


def test_tags_run_nothing(tmp_path):
    target = tmp_path / "made"
    problems(f"name: !!python/object/apply:pathlib.Path.touch ['{target}']\n")
    assert not target.exists()


def test_yaml_words_are_not_turned_into_other_things():
    values = parse_yaml("a: off\nb: no\nc: 2020-01-01\nd: 1e-3\ne: 0x1f\nf: 1_000\ng: ~\nh: .inf\ni: ${HOME}\n").value
    assert values == {
        "a": "off", "b": "no", "c": "2020-01-01", "d": 0.001, "e": 31, "f": 1000, "g": None,
        "h": float("inf"), "i": "${HOME}",
    }  # fmt: skip


def test_types_are_strict_but_kind():
    assert from_yaml(Whole, "seeds: 1e1\n").seeds == 10
    assert from_yaml(Whole, "inputs: age\n").inputs == ("age",)
    assert from_yaml(Whole, "train: {learning_rate: 1}\n").train.learning_rate == 1.0
    assert "got '3' (text)" in str(problems("seeds: '3'\n"))
    assert "got true" in str(problems("seeds: true\n"))
    assert "got 1.5 (a number)" in str(problems("seeds: 1.5\n"))


def test_missing_files_are_said(tmp_path):
    (tmp_path / "distill.yaml").write_text("seeds: 3\n")
    with pytest.raises(ConfigError, match=r"there is no such file\n\nthere is .*distill\.yaml"):
        read_yaml(tmp_path / "recipe.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


# -------------------------------------------------------------------------------------------- -s key=value


def test_assignments_are_typed_and_reach_into_lists():
    text = "train: {steps: 3}\nteacher:\n  - a\n  - {model: b, weight: 2}\n"
    spec = from_yaml(
        Whole, text, assignments=["train.steps=200", "teacher.1.weight=0.5", "name=0.1 * CE + KD(temperature=4)"]
    )
    assert spec.train.steps == 200
    assert spec.teacher == (Member(model="a"), Member(model="b", weight=0.5))
    assert spec.name == "0.1 * CE + KD(temperature=4)"


def test_an_assignment_expands_shorthands_and_makes_sections():
    assert from_yaml(Whole, "teacher: a\n", assignments=["teacher.train.steps=7"]).teacher == (
        Member(model="a", train=Train(steps=7)),
    )
    assert from_yaml(Whole, "", assignments=["teacher.model=a", "inputs=[a, b]"]).inputs == ("a", "b")
    assert from_yaml(Whole, "teacher: [a]\n", assignments=["teacher.1=b"]).teacher[1] == Member(model="b")


def test_an_assignment_changes_nothing_else():
    document = parse_yaml("train: {steps: 3}\n")
    override(Whole, document, ["train.steps=4"])
    assert document.value == {"train": {"steps": 3}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps", "-s steps: expected key.path=value; for example -s train.steps=200"),
        (".steps=3", "expected key.path=value"),
        ("train.stps=3", "-s train.stps: unknown setting; did you mean 'steps'?"),
        ("train.steps=lots", "-s train.steps: expected a whole number, got 'lots' (text)"),
        ("name.x=3", "'name' is a single value ('run'), nothing stands under it"),
        ("teacher.weight=3", "there are 2 entries here; name one by its number, from 0"),
        ("teacher.5.weight=3", "expected the number of an entry, 0 to 1, got 5"),
        ("train.alpha=3", "weights stand in the sum"),
    ],
)
def test_bad_assignments_say_so(assignment, message):
    assert message in str(problems("name: run\nteacher: [a, b]\n", assignment))


def test_all_bad_assignments_come_at_once():
    assert len(problems("", "steps", "name.=1").problems) == 2


# ------------------------------------------------------------------------------------------------- writing

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
trains = st.builds(
    Train,
    steps=st.integers(1, 10**9),
    learning_rate=st.one_of(st.just("auto"), st.floats(1e-12, 1e12)),
    optimizer=st.sampled_from(["adamw", "adam", "sgd"]),
)
wholes = st.builds(
    Whole,
    name=text,
    train=trains,
    teacher=st.lists(st.builds(Member, model=text, train=st.none() | trains), max_size=3).map(tuple),
    seeds=st.integers(-5, 10),
    exact=st.booleans(),
    columns=st.dictionaries(text, text, max_size=3),
    inputs=st.none() | st.lists(text, max_size=3).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(wholes)
def test_spec_to_yaml_to_spec_is_equal(spec):
    assert from_yaml(Whole, dump_yaml(spec)) == spec
    assert from_yaml(Whole, dump_yaml(spec, defaults=False)) == spec
    assert fingerprint(from_yaml(Whole, dump_yaml(spec))) == fingerprint(spec)


def test_defaults_can_stay_out_and_comments_come_in():
    spec = Whole(seeds=3, train=Train(steps=4))
    assert without_defaults(spec) == {"train": {"steps": 4}, "seeds": 3}
    assert dump_yaml(spec, defaults=False, comments={"seeds": "how often"}) == (
        "train:\n  steps: 4\n# how often\nseeds: 3\n"
    )


def test_objects_are_refused_in_a_spec():
    with pytest.raises(ConfigError, match=r"expected plain values in a spec, got object"):
        to_plain(Whole(name=object()))  # type: ignore[arg-type]


def test_fingerprints_tell_values_apart():
    assert fingerprint(Whole()) == fingerprint(Whole(base="elsewhere"))
    assert fingerprint(Whole()) != fingerprint(Whole(seeds=6))
    assert len(fingerprint({"a": 1})) == 32


def test_differences_name_the_settings():
    old, new = to_plain(Whole()), to_plain(Whole(seeds=3, train=Train(steps=7)))
    assert differences(old, new) == ["train.steps: 100 -> 7", "seeds: 5 -> 3"]
    assert differences(old, old) == []
    assert differences({"a": [1, 2]}, {"a": [1, 3]}) == ["a.1: 2 -> 3"]
    assert differences({"a": 1}, {"a": 1.0}) == ["a: 1 -> 1.0"]


def test_suggest_finds_near_words_only():
    assert suggest("Temprature", ["temperature", "steps"]) == "did you mean 'temperature'?"
    assert suggest("zzz", ["temperature"]) == ""


def test_write_yaml_round_trips_awkward_text():
    value = {"a": ["1", "off", "null", "1e-3", "- x", "a: b # c", "", " y ", "0x1"], "": 1, "b": {}, "c": []}
    assert parse_yaml(write_yaml(value)).value == value
