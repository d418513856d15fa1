"""The arms of a run: what each trains on, and how loud the control is."""

import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.objectives import dump, parse
from limbeck.objectives.base import as_sum
from limbeck.stages.arms import arms_of, control_objective

CLASSES = {"main": Classification(("a", "b"))}
BOTH = {"kind": Classification(("a", "b")), "price": Regression(("price",))}


@pytest.mark.parametrize(
    ("objective", "control"),
    [
        ("0.1 * CE + 0.9 * KD(temperature=4)", "CE"),
        ("0.2 * CE + 0.6 * KD", "0.8 * CE"),
        ("KD", "CE"),
        ("2 * KD + 3 * DIST", "2 * CE"),
        ("0.1 * CE + 0.9 * DIST", "CE"),
        ("0.5 * CE + 0.5 * CE(label_smoothing=0.1) + KD", "CE + CE(label_smoothing=0.1)"),
        ("0.5 * CE + 0.5 * KD + 0.1 * Hint(pair=('body', 'body'))", "CE"),
        ("CE + 50 * RKD(pair=('body', 'body'))", "CE"),
        ("0 * CE + 1 * KD", "CE"),
    ],
)
def test_the_control_is_as_loud_as_its_student(objective, control):
    assert dump(control_objective(parse(objective), CLASSES)) == control


def test_each_task_has_the_hard_loss_of_its_kind():
    tasks = BOTH | {"tags": MultiLabel(("x", "y"))}
    objective = as_sum(0.3 * lb.CE(on="kind") + 0.7 * lb.KD(on="kind") + 2.0 * lb.L2KD(on="price"))
    found = [(term.weight, term.objective) for term in control_objective(objective, tasks)]
    assert found == [
        (pytest.approx(1.0), lb.CE(on="kind")),
        (2.0, lb.MSE(on="price")),
        (1.0, lb.BCE(on="tags")),
    ]


def test_a_ramp_of_hard_labels_keeps_its_shape_in_the_control():
    objective = as_sum(lb.ramp(1.0, 0.0) * lb.CE() + lb.ramp(0.0, 1.0) * lb.KD())
    (term,) = control_objective(objective, CLASSES)
    assert (term.weight.start, term.weight.end, term.objective) == (2.0, 0.0, lb.CE())


def test_a_ramp_counts_by_its_mean_over_training():
    objective = as_sum(1.0 * lb.CE() + lb.ramp(0.0, 1.0, until=0.1) * lb.KD())
    (term,) = control_objective(objective, CLASSES)
    assert term.weight == pytest.approx(1.95)


def test_arms_differ_in_objective_and_rows():
    objective = parse("0.1 * CE + 0.9 * KD")
    found = arms_of(objective, CLASSES, unlabeled=True, attribution=True)
    assert [(arm.name, arm.unlabeled, arm.pseudo, arm.teaches) for arm in found] == [
        ("student", True, False, True),
        ("control", False, False, False),
        ("soft", False, False, True),
        ("pseudo", True, True, False),
    ]
    assert found[2].objective == objective and found[3].objective == found[1].objective


@pytest.mark.parametrize(("unlabeled", "attribution"), [(False, True), (True, False), (False, False)])
def test_the_other_arms_need_unlabelled_rows_and_to_be_asked_for(unlabeled, attribution):
    found = arms_of(parse("CE + KD"), CLASSES, unlabeled=unlabeled, attribution=attribution)
    assert [(arm.name, arm.unlabeled) for arm in found] == [("student", unlabeled), ("control", False)]


def test_numbers_have_no_pseudo_labels():
    found = arms_of(parse("MSE + L2KD"), {"main": Regression(("price",))}, unlabeled=True, attribution=True)
    assert [arm.name for arm in found] == ["student", "control", "soft"]


def test_an_objective_without_a_teacher_is_refused():
    data = lb.Data(train=([[n / 9] for n in range(10)], [0, 1] * 5), test=([[3.0], [4.0]], [0, 1]))
    with pytest.raises(ConfigError, match="expected an objective in which the teacher has a part, got one of hard lab"):
        lb.distill("linear", "linear", data, objective="CE")
