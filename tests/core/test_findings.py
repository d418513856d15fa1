import pytest

from limbeck.core.checks import CHECKS
from limbeck.core.errors import ConfigError
from limbeck.core.findings import Finding, worst


def finding(grade, code="LB101"):
    return Finding(code, grade, "title", "3 of 100 rows", "why", "todo", {"rows": 3})


def test_worst_is_the_gravest_grade():
    assert worst([]) is None
    assert worst([finding("note")]) == "note"
    assert worst([finding("tip"), finding("note")]) == "tip"
    assert worst([finding("tip"), finding("issue"), finding("note")]) == "issue"


def test_another_grade_is_refused():
    with pytest.raises(ConfigError, match="grade of finding LB101 to be one of note, tip, issue, got 'fatal'"):
        finding("fatal")


def test_json_round_trip():
    one = finding("tip")
    assert Finding.from_json(one.to_json()) == one
    assert str(one) == "LB101 tip: title: 3 of 100 rows"


def test_explanations_stand_in_the_order_of_their_codes():
    assert list(CHECKS) == sorted(CHECKS)
