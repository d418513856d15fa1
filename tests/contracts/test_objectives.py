"""Every objective of the catalog keeps every contract."""

import pytest

from limbeck.objectives import CATALOG, objectives
from limbeck.testing import check_objective, contract_names

FIELDS = {
    "AttentionScores": {"pairs": ((1, 2), (2, 4)), "student_heads": 2, "teacher_heads": 2},
    "Hidden": {"pairs": (("hidden.0", "hidden.0"), ("hidden.1", "hidden.3"))},
    "HiddenCosine": {"pair": ("hidden.2", "hidden.4")},
    "Hint": {"pair": ("h", "layer3")},
    "MiniLM": {"layers": (2, 4), "relation_heads": 2},
    "PKD": {"pairs": (("hidden.1", "hidden.2"), ("hidden.2", "hidden.4"))},
    "SimKD": {"pair": ("h", "pool")},
}

VARIANTS = {
    "KD at 1": ("KD", {"temperature": 1.0}),
    "GaussianNLL with beta": ("GaussianNLL", {"beta": 0.5}),
    "OrdinalKD at 3": ("OrdinalKD", {"temperature": 3.0}),
    "KD still to be chosen": ("KD", {"temperature": "auto"}),
    "CE smoothed and weighed": ("CE", {"label_smoothing": 0.1, "class_weight": (1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0)}),
    "BCE smoothed and weighed": ("BCE", {"label_smoothing": 0.1, "positive_weight": (1.0, 2.0, 4.0, 1, 1, 1, 1)}),
    "DKD on labelled rows": ("DKD", {"unlabelled": "skip"}),
    "NKD on labelled rows": ("NKD", {"unlabelled": "skip"}),
    "RKD on taps": ("RKD", {"pair": ("h", "layer3")}),
    "RKD, angles only": ("RKD", {"distance_weight": 0.0}),
    "forward OnPolicyKL": ("OnPolicyKL", {"beta": 0.0}),
    "reverse OnPolicyKL": ("OnPolicyKL", {"beta": 1.0}),
    "KD on another head": ("KD", {"on": "colour"}),
    "Hidden with a map for every pair": (
        "Hidden",
        {"pairs": (("hidden.0", "hidden.0"), ("hidden.1", "hidden.3")), "projection": "each"},
    ),
    "MiniLM of one relation head": ("MiniLM", {"layers": (1, 1), "relation_heads": 1}),
    "PKD of one pair": ("PKD", {"pairs": (("hidden.1", "hidden.2"),)}),
}


@pytest.mark.parametrize("contract", contract_names())
@pytest.mark.parametrize("name", CATALOG)
def test_contract(name, contract):
    check_objective(objectives.load(name)(**FIELDS.get(name, {})), only=[contract])


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_settings_keep_them_too(variant):
    name, fields = VARIANTS[variant]
    check_objective(objectives.load(name)(**fields))


def test_a_margin_asks_for_more_than_the_teacher_has():
    demanding = objectives.load("BoundedKD")(margin=0.5)
    check_objective(demanding, only=[name for name in contract_names() if name != "zero at equal"])
    with pytest.raises(AssertionError, match="zero at equal"):
        check_objective(demanding, only=["zero at equal"])


def test_hint_without_a_projector_keeps_all_but_unequal_widths():
    bare = objectives.load("Hint")(pair=("h", "layer3"), projector="none")
    check_objective(bare, only=[name for name in contract_names() if name not in ("unequal widths", "heads")])
    with pytest.raises(AssertionError, match="unequal widths: ShapeMismatch"):
        check_objective(bare, only=["unequal widths"])


def test_kd_among_some_classes_keeps_all_but_its_direction():
    partial = objectives.load("KD")(among=(0, 2, 5))  # chances are renormalised, so that it is affine in neither side
    check_objective(partial, only=[name for name in contract_names() if name != "direction"])
