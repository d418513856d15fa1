"""Sums, weights, ramps, terms of one's own, and how rows become a sum and a count."""

import dataclasses

import numpy as np
import pytest
import torch

from limbeck.core.errors import ConfigError, MissingSignal, NotSupported, ShapeMismatch
from limbeck.objectives import (
    BCE,
    CATALOG,
    CE,
    DIST,
    DKD,
    KD,
    L2KD,
    LSKD,
    MSE,
    NKD,
    RKD,
    BoundedKD,
    Hint,
    HuberKD,
    OnPolicyKL,
    SimKD,
    card,
    objectives,
    ramp,
    term,
)  # fmt: skip
from limbeck.objectives.base import Objective, Shapes, as_sum, mean_of
from limbeck.objectives.cards import FIELDS
from limbeck.objectives.heads import Projector, with_kept_heads
from limbeck.objectives.weighing import total_weight, weigh
from limbeck.signals import Batch, Needs, Sampled, Signals, TopK


def batch(rows=4, **fields):
    return Batch(keys=np.zeros((rows, 2), np.uint64), **fields)


def logits(rows=4, classes=3, seed=0):
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ sums


def test_sums_are_values():
    whole = 0.1 * CE() + 0.9 * KD(temperature=4)
    assert whole == 0.1 * CE() + KD() * 0.9 and hash(whole) == hash(0.1 * CE() + 0.9 * KD())
    assert whole.labels() == ("ce", "kd") and (whole + KD(on="b")).labels() == ("ce", "kd", "kd-2")
    assert sum([CE(), 0.5 * KD()]) == CE() + 0.5 * KD()
    assert 2 * whole == 0.2 * CE() + 1.8 * KD() and len(whole) == 2
    assert whole.without_teacher() == 0.1 * CE()
    assert not whole.batchwise and (whole + RKD()).batchwise
    assert whole.teacher_needs() == Needs(outputs=("main",), forms=("dense", "topk", "projected"))
    assert [t.objective.teaches for t in whole] == [False, True]


def test_ramps_move_and_multiply():
    moving = ramp(0, 0.8, until=0.5) * (CE() + 0.5 * KD())
    assert [t.weight_at(0.25) for t in moving] == [0.4, 0.2]
    assert [t.weight_at(1.0) for t in moving] == [0.8, 0.4]
    assert (ramp(1, 0) * KD()).terms[0].weight_at(0.5) == 0.5
    with pytest.raises(ConfigError, match="expected plain weights in a sum that is multiplied, got a ramp"):
        2 * moving
    with pytest.raises(ConfigError, match="expected plain weights in a sum that a ramp multiplies, got a ramp"):
        ramp(0, 1) * moving
    with pytest.raises(ConfigError, match="expected 0 <= begin < until <= 1 in a ramp"):
        ramp(0, 1, until=0.0)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "0.1"])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(ConfigError, match="expected the weight of kd to be a finite number >= 0"):
        weight * KD() if not isinstance(weight, str) else KD() * weight


def test_only_objectives_are_added():
    with pytest.raises(ConfigError, match="expected an objective or a sum of objectives, got function"):
        as_sum(lambda a, b: a)


def test_a_function_is_a_term():
    def distance(student, teacher):
        return (student - teacher).abs().sum(dim=1)

    whole = 0.5 * term(distance)
    assert whole.labels() == ("distance",)
    total, count = whole.terms[0].objective.loss(
        Signals({"main": logits()}), Signals({"main": logits(seed=1)}), batch(), None
    )
    assert float(total) == pytest.approx(float((logits() - logits(seed=1)).abs().sum())) and float(count) == 4
    with pytest.raises(ShapeMismatch, match=r"expected `<lambda>` to return one loss per row, shape \(4,\), got \(\)"):
        term(lambda s, t: (s - t).sum()).loss(Signals({"main": logits()}), Signals({"main": logits()}), batch(), None)


def test_an_unfinished_objective_says_what_is_missing():
    class Bare(Objective):
        pass

    with pytest.raises(NotImplementedError, match="Bare must say what it needs from the student"):
        Bare().student_needs()
    with pytest.raises(NotImplementedError, match="Bare must define its loss"):
        Bare().loss(Signals({}), None, batch(), None)


# ------------------------------------------------------------------ fields


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: KD(temperature=0), "temperature: expected a number > 0 or 'auto', got 0"),
        (lambda: KD(temperature="hot"), "temperature: expected a number > 0 or 'auto', got 'hot'"),
        (lambda: KD(temperature=True), "temperature: expected a number > 0 or 'auto', got True"),
        (lambda: LSKD(temperature=float("nan")), "temperature: expected a number > 0, got nan"),
        (lambda: KD(on=""), "on: expected a name, got ''"),
        (lambda: CE(label_smoothing=1), "label_smoothing: expected a number >= 0 and < 1, got 1"),
        (lambda: CE(class_weight=[1.0, 2.0]), "class_weight: expected a tuple of numbers >= 0, one for each class"),
        (lambda: CE(class_weight=(0.0, 0.0)), "class_weight: expected a tuple of numbers >= 0"),
        (lambda: BCE(positive_weight=(-1.0,)), "positive_weight: expected a tuple of numbers >= 0"),
        (lambda: DKD(other_weight=-1), "other_weight: expected a number >= 0, got -1"),
        (lambda: DKD(unlabelled="no"), "unlabelled: expected one of 'teacher', 'skip', got 'no'"),
        (lambda: Hint(pair=("a",)), r"pair: expected two names of taps, \(student, teacher\), got \('a',\)"),
        (lambda: Hint(pair=("a", "b"), projector="mlp"), "projector: expected one of 'auto', 'none', got 'mlp'"),
        (lambda: SimKD(pair="ab"), "pair: expected two names of taps"),
        (lambda: RKD(pair=("a", "")), "pair: expected two names of taps"),
        (lambda: HuberKD(delta=0), "delta: expected a number > 0, got 0"),
        (lambda: BoundedKD(margin=-1), "margin: expected a number >= 0, got -1"),
        (lambda: OnPolicyKL(beta=1.5), "beta: expected a number >= 0 and <= 1, got 1.5"),
        (lambda: DIST(inter_weight="x"), "inter_weight: expected a number >= 0, got 'x'"),
    ],
)
def test_fields_are_checked(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_all_problems_of_a_spec_at_once():
    with pytest.raises(ConfigError, match="DKD has 3 problems") as refused:
        DKD(on="", temperature=0, target_weight=-1)
    assert [problem.where for problem in refused.value.problems] == ["on", "temperature", "target_weight"]


# ------------------------------------------------------------------ weights and masks


def test_counts():
    mask = torch.tensor([[True, True], [True, False]])
    assert float(total_weight(batch(2))) == 2
    assert float(total_weight(batch(2, weight=torch.tensor([1.0, 3.0])), mask)) == 5
    total, count = weigh(torch.ones(2, 2), batch(2))
    assert (float(total), float(count)) == (4, 4)
    assert float(mean_of(torch.tensor(0.0), torch.tensor(0.0))) == 0


def test_a_mask_must_fit_its_output():
    sides = [Signals({"main": torch.randn(2, 3, 4)}, mask=torch.ones(2, 5, dtype=torch.bool)) for _ in range(2)]
    with pytest.raises(
        ShapeMismatch, match=r"expected a mask of shape \(2, 3\) for an output of shape \(2, 3, 4\), got"
    ):
        KD().loss(*sides, batch(2), None)


def test_the_teachers_mask_may_not_be_missing():
    student = Signals({"main": torch.randn(2, 3, 4)}, mask=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(MissingSignal, match="expected the teacher's signals to carry the mask of valid positions"):
        KD().loss(student, Signals({"main": torch.randn(2, 3, 4)}), batch(2), None)


def test_a_mask_of_positions_leaves_pooled_outputs_alone():
    mask = torch.tensor([[True, False], [False, False]])
    student, teacher = Signals({"main": logits(2)}, mask=mask), Signals({"main": logits(2, seed=1)}, mask=mask)
    total, count = KD().loss(student, teacher, batch(2), None)
    assert float(count) == float(KD().count(teacher, batch(2))) == 2 and float(total) > 0


# ------------------------------------------------------------------ refusals


def test_outputs_that_are_not_there():
    signals = Signals({"shape": logits()})
    with pytest.raises(MissingSignal, match="expected the teacher to give the output 'main', its outputs are: 'shape'"):
        KD().loss(signals, signals, batch(), None)
    with pytest.raises(MissingSignal, match="expected the teacher's signals for a loss that compares with the teacher"):
        KD(on="shape").loss(signals, None, batch(), None)
    with pytest.raises(MissingSignal, match="expected the student to give the tap 'h', its taps are: none"):
        Hint(pair=("h", "h")).loss(signals, Signals({}, {"h": logits()}), batch(), None)


def test_shapes_that_do_not_fit():
    student = Signals({"main": logits(classes=3)})
    with pytest.raises(ShapeMismatch, match="expected outputs of one shape, got"):
        KD().loss(student, Signals({"main": logits(classes=4)}), batch(), None)
    few = TopK(torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, 1), torch.full((4,), -9.0), 5)
    with pytest.raises(ShapeMismatch, match="expected top-k answers for an output of shape"):
        KD().loss(student, Signals({"main": few}), batch(), None)
    with pytest.raises(ShapeMismatch, match="expected labels of shape"):
        CE().loss(student, None, batch(targets={"main": torch.zeros(4, 3)}), None)
    with pytest.raises(ShapeMismatch, match="expected 3 class weights for the output 'main', got 2"):
        labels = batch(targets={"main": torch.zeros(4, dtype=torch.long)})
        CE(class_weight=(1.0, 2.0)).loss(student, None, labels, None)
    with pytest.raises(ShapeMismatch, match="expected 3 positive weights for 'main', got 1"):
        BCE(positive_weight=(1.0,)).loss(student, None, batch(targets={"main": torch.zeros(4, 3)}), None)
    with pytest.raises(MissingSignal, match="expected labels for the output 'main', the batch has no labels"):
        MSE().count(None, batch())


def test_forms_that_are_not_understood():
    drawn = Sampled(torch.zeros(4, 1, dtype=torch.long), torch.ones(4, 1), 3)
    student, teacher = Signals({"main": logits()}), Signals({"main": drawn})
    with pytest.raises(NotSupported, match="expected dense outputs from the teacher, got sampled"):
        LSKD().loss(student, teacher, batch(), None)


@pytest.mark.parametrize("loss", [DKD(), NKD()])
def test_two_classes_are_refused_with_the_reason(loss):
    two = Signals({"main": logits(classes=2)})
    for attempt in (
        lambda: loss.loss(two, two, batch(), None),
        lambda: loss.heads(Shapes(student_outputs={"main": (2,)})),
    ):
        with pytest.raises(
            NotSupported, match=r"expected at least 3 classes for .*, got 2: with two, the classes beside"
        ):
            attempt()


def test_one_class_cannot_be_standardised():
    one = Signals({"main": logits(classes=1)})
    with pytest.raises(ConfigError, match="expected at least two classes to standardise logits, got 1"):
        LSKD().loss(one, one, batch(), None)


# ------------------------------------------------------------------ rows without a label


@pytest.mark.parametrize("loss", [DKD(), NKD()])
def test_the_teachers_top_class_stands_for_a_missing_label(loss):
    student, teacher = Signals({"main": logits()}), Signals({"main": logits(seed=1)})
    top = teacher.outputs["main"].argmax(1)
    known = torch.tensor([True, False, True, False])
    labels = torch.tensor([0, 99, 1, -1])
    partly = batch(targets={"main": labels}, label_mask={"main": known})
    fully = batch(targets={"main": torch.where(known, labels, top)})
    assert torch.equal(loss.loss(student, teacher, partly, None)[0], loss.loss(student, teacher, fully, None)[0])
    none = loss.loss(student, teacher, batch(), None)
    assert (
        torch.equal(none[0], loss.loss(student, teacher, batch(targets={"main": top}), None)[0]) and float(none[1]) == 4
    )
    strict = dataclasses.replace(loss, unlabelled="skip")
    assert float(strict.loss(student, teacher, partly, None)[1]) == float(strict.count(teacher, partly)) == 2
    empty = strict.loss(student, teacher, batch(), None)
    assert [float(x) for x in empty] == [0, 0] == [0, float(strict.count(teacher, batch()))]


# ------------------------------------------------------------------ heads


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((5,), (8,)), ((4, 5), (4, 8)), ((5, 8, 8), (7, 4, 4)), ((5, 4, 4), (7, 8, 8)), ((5, 6, 4), (5, 6, 4))],
)
def test_projectors_map_to_the_teachers_shape(student, teacher):
    torch.manual_seed(0)
    projector = Projector(student, teacher)
    assert tuple(projector(torch.randn(3, *student)).shape) == (3, *teacher)


def test_projectors_of_equal_width_start_as_the_identity():
    for shape in ((5,), (5, 4, 4)):
        value = torch.randn(2, *shape)
        torch.testing.assert_close(Projector(shape, shape)(value), value)


def test_projectors_want_taps_of_one_kind():
    with pytest.raises(ShapeMismatch, match="expected two taps of the same kind"):
        Projector((5,), (5, 4, 4))


def test_hints_of_maps_of_another_size():
    torch.manual_seed(0)
    hint = Hint(pair=("a", "b"))
    student, teacher = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(2, 5, 4, 4)
    head = hint.heads(Shapes(student_taps={"a": (3, 8, 8)}, teacher_taps={"b": (5, 4, 4)}))
    total, count = hint.loss(Signals({}, {"a": student}), Signals({}, {"b": teacher}), batch(2), head)
    total.backward()
    assert float(count) == 2 and all(p.grad is not None for p in head.parameters())
    with pytest.raises(ShapeMismatch, match="expected outputs of one shape"):
        hint.loss(Signals({}, {"a": student}), Signals({}, {"b": teacher}), batch(2), None)
    with pytest.raises(MissingSignal, match="expected the teacher to give the tap 'b', its taps are: 'c'"):
        hint.heads(Shapes(student_taps={"a": (3, 8, 8)}, teacher_taps={"c": (5, 4, 4)}))


def test_reused_classifiers_read_the_tap_before_them():
    shapes = Shapes(
        student_taps={"a": (3, 4, 4)}, teacher_taps={"b": (5, 4, 4)}, projections={"main": (torch.randn(7, 6), None)}
    )
    with pytest.raises(
        ShapeMismatch, match="expected 'b' to feed the teacher's last layer, which reads 6 values, got 5"
    ):
        SimKD(pair=("a", "b")).heads(shapes)
    head = SimKD(pair=("a", "b")).heads(
        dataclasses.replace(shapes, projections={"main": (torch.randn(7, 5), torch.randn(7))})
    )
    signals = Signals({"main": torch.zeros(2, 7)}, {"a": torch.randn(2, 3, 4, 4)})
    made = with_kept_heads(signals, [None, head])
    assert made.outputs["main"].shape == (2, 7) and bool(made.outputs["main"].any())
    assert {name for name, _ in head.named_parameters()} == {"projector.map.weight", "projector.map.bias"}
    assert with_kept_heads(signals, [None]) is signals


# ------------------------------------------------------------------ the catalog


@pytest.mark.parametrize("name", CATALOG)
def test_the_card_is_whole_and_its_paper_is_the_tables(name):
    read = card(objectives.load(name))
    assert set(read) == set(FIELDS) and all(read.values())
    assert CATALOG[name].paper in read["Paper"]
    assert CATALOG[name].family in ("hard", "response", "feature", "relation", "sequence", "embedding")


def test_a_loss_without_a_card_is_told_so():
    class Bare(KD):
        """Says little."""

    Bare.__module__ = __name__
    with pytest.raises(ConfigError, match=r"expected a card with Paper, Needs, .* in the docstring of Bare"):
        card(Bare)


def test_unknown_names_of_the_package_are_attribute_errors():
    import limbeck.objectives as package

    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'KDD'"):
        package.KDD  # noqa: B018


def test_l2_is_not_for_the_teachers_gradient():
    teacher = logits(seed=1).requires_grad_()
    total, _ = L2KD().loss(Signals({"main": logits().requires_grad_()}), Signals({"main": teacher}), batch(), None)
    total.backward()
    assert teacher.grad is None
