"""Losses on tokens: padding never counts, wherever it is; layers, heads and widths; what is refused and how."""

import dataclasses
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.objectives import PKD, AttentionScores, Hidden, HiddenCosine, MiniLM, layer_map, parse
from limbeck.objectives.base import Shapes
from limbeck.objectives.feature.cosine import cosine_loss
from limbeck.objectives.feature.pkd import pkd_loss
from limbeck.objectives.relation.minilm import relation_loss
from limbeck.signals import Batch, Signals
from limbeck.testing import make_sample

TWO = (("hidden.0", "hidden.0"), ("hidden.1", "hidden.3"))
OBJECTIVES = {
    "hidden": Hidden(pairs=TWO, projection="each"),
    "attention": AttentionScores(pairs=((1, 2), (2, 4)), student_heads=2, teacher_heads=2),
    "minilm": MiniLM(layers=(2, 4), relation_heads=2),
    "cosine": HiddenCosine(pair=("hidden.2", "hidden.4")),
    "pkd": PKD(pairs=TWO),
}


def sample_of(name, seed=0, positions=5, **more):
    return make_sample(OBJECTIVES[name], rows=5, positions=positions, widths=(3, 4), seed=seed, weighted=True, **more)


def moved(sample, starts, length):
    """The same rows, each beginning somewhere in a longer sequence, with garbage for padding."""
    mask = sample.student.mask
    counts = mask.sum(dim=1)
    there = torch.arange(length)[None, :] - torch.tensor(starts)[:, None]
    valid = (there >= 0) & (there < counts[:, None])
    index = there.clamp(0, mask.shape[1] - 1)

    def place(x):
        taken = x[torch.arange(len(x))[:, None], index]
        return torch.where(valid[..., None], taken, torch.full_like(taken, math.nan))

    sides = [dataclasses.replace(side, mask=valid) for side in (sample.student, sample.teacher)]
    sample = dataclasses.replace(sample, student=sides[0], teacher=sides[1])
    return sample.student_as(place).teacher_as(place)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(OBJECTIVES)), st.integers(0, 999), st.integers(0, 6), st.data())
def test_length_and_side_of_padding_change_nothing(name, seed, more, data):
    sample = sample_of(name, seed)
    length = 5 + more
    room = [length - int(count) for count in sample.student.mask.sum(dim=1)]
    starts = [data.draw(st.integers(0, free)) for free in room]
    (value, count), (other, other_count) = sample.parts(), moved(sample, starts, length).parts()
    torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-12)
    assert float(other_count) == float(count) > 0


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(OBJECTIVES)), st.integers(0, 999), st.permutations(range(5)), st.integers(1, 4))
def test_order_and_split_of_the_rows_change_nothing(name, seed, order, cut):
    sample = sample_of(name, seed)
    value, count = sample.parts()
    parts = [sample.rows(torch.tensor(some)).parts() for some in (order[:cut], order[cut:])]
    torch.testing.assert_close(parts[0][0] + parts[1][0], value, rtol=1e-9, atol=1e-12)
    assert float(parts[0][1] + parts[1][1]) == pytest.approx(float(count))


def test_what_a_row_counts():
    """Positions, pairs of positions, or rows: rows of 4, 1 and 0 valid positions, the first weighted 2."""
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]) == 1
    batch = Batch(keys=np.zeros((3, 2), np.uint64), weight=torch.tensor([2.0, 1.0, 1.0]))
    for name, expected in {"hidden": 9, "cosine": 9, "attention": 33, "minilm": 3, "pkd": 3}.items():
        teacher = Signals({}, {tap: torch.randn(3, 4, 8) for tap in OBJECTIVES[name].teacher_needs().taps}, mask=mask)
        assert float(OBJECTIVES[name].count(teacher, batch)) == expected


# ------------------------------------------------------------------ against the formula, written in NumPy


def test_attention_scores_are_queries_times_keys_by_head():
    sample = make_sample(AttentionScores(pairs=((1, 2),), student_heads=2, teacher_heads=2), rows=3, widths=(3, 4))
    expected, count = 0.0, 0
    for row, valid in enumerate(sample.student.mask.numpy()):
        for head in (0, 1):
            both = []
            for side, layer, width in ((sample.student, 1, 3), (sample.teacher, 2, 4)):
                q, k = (side.taps[f"{what}.{layer}"][row].numpy()[valid] for what in ("query", "key"))
                part = slice(head * width, (head + 1) * width)
                both.append(q[:, part] @ k[:, part].T / np.sqrt(width))
            expected += ((both[0] - both[1]) ** 2).sum() / 2
        count += valid.sum() ** 2
    total, counted = sample.parts()
    assert (float(total), float(counted)) == pytest.approx((expected, count))


def test_minilm_is_the_kl_of_relations_of_each_kind():
    sample = make_sample(MiniLM(layers=(2, 4), relation_heads=2), rows=3, widths=(3, 5))
    expected = 0.0
    for row, valid in enumerate(sample.student.mask.numpy()):
        for what in ("query", "key", "value"):
            for head in (0, 1):
                logs = []
                for side, layer, width in ((sample.student, 2, 3), (sample.teacher, 4, 5)):
                    x = side.taps[f"{what}.{layer}"][row].numpy()[valid][:, head * width : (head + 1) * width]
                    scores = x @ x.T / np.sqrt(width)
                    logs.append(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
                expected += (np.exp(logs[1]) * (logs[1] - logs[0])).sum() / (2 * valid.sum())
    total, counted = sample.parts()
    assert (float(total), float(counted)) == pytest.approx((expected, 3))


def test_minilm_does_not_see_a_rotation_within_heads():
    sample = make_sample(MiniLM(layers=(1, 1), relation_heads=1), rows=3, widths=(4, 4))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    student = dataclasses.replace(sample.student, taps={name: tap @ turn for name, tap in sample.teacher.taps.items()})
    assert abs(float(dataclasses.replace(sample, student=student).value())) < 1e-12


def test_relations_of_nothing_but_padding_are_0_with_a_gradient_of_0():
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    value = relation_loss(student, torch.randn(2, 3, 4, 4), torch.zeros(2, 4, dtype=torch.bool))
    (grad,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == 0 and float(grad.abs().max()) == 0


def test_pkd_is_twice_one_minus_cosine():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    assert float(pkd_loss(student, teacher)) == pytest.approx(2 * float(cosine_loss(student, teacher)))
    assert float(pkd_loss(student[:, None], teacher[:, None])) == pytest.approx(float(pkd_loss(student, teacher)))


def test_a_state_of_length_0_has_no_direction_and_no_gradient():
    student = torch.zeros(2, 3, requires_grad=True)
    for loss, expected in ((cosine_loss, 1.0), (pkd_loss, 1.0)):
        value = loss(student, torch.ones(2, 3))
        (grad,) = torch.autograd.grad(value, student)
        assert float(value.detach()) == pytest.approx(expected) and float(grad.abs().max()) == 0


# ------------------------------------------------------------------ projections


def test_a_shared_projection_is_one_and_others_are_one_a_pair():
    shapes = Shapes(
        student_taps={"hidden.0": (7, 3), "hidden.1": (7, 3)}, teacher_taps={"hidden.0": (7, 5), "hidden.3": (7, 5)}
    )
    for projection, maps in {"shared": 1, "each": 2}.items():
        head = Hidden(pairs=TWO, projection=projection).heads(shapes)
        assert [tuple(p.shape) for p in head.parameters()] == [(5, 3), (5,)] * maps
    assert Hidden(pairs=TWO, projection="none").heads(shapes) is None
    assert [tuple(p.shape) for p in PKD(pairs=TWO).heads(shapes).parameters()] == [(5, 3), (5,)] * 2


def test_an_automatic_projection_is_there_only_where_widths_differ():
    shapes = Shapes(
        student_taps={"hidden.0": (7, 3), "hidden.1": (7, 3)}, teacher_taps={"hidden.0": (7, 3), "hidden.3": (7, 5)}
    )
    assert HiddenCosine(pair=("hidden.1", "hidden.0")).heads(shapes) is None
    head = PKD(pairs=TWO).heads(shapes)
    assert isinstance(head.maps[0], nn.Identity) and len(list(head.parameters())) == 2
    with pytest.raises(ShapeMismatch) as refused:
        Hidden(pairs=TWO).heads(shapes)
    assert refused.value.what == "expected pairs of the same widths for a shared projection, got 3 to 3, 3 to 5"
    assert refused.value.todo == "give every pair its own with projection='each'"


# ------------------------------------------------------------------ what is refused


def signals(width=6, positions=4, mask=True, names=("hidden.0", "hidden.1", "query.1", "key.1", "value.1")):
    taps = {name: torch.randn(2, positions, width) for name in names}
    return Signals({}, taps, mask=torch.ones(2, positions, dtype=torch.bool) if mask else None)


BATCH = Batch(keys=np.zeros((2, 2), np.uint64))
ONE = (("hidden.1", "hidden.1"),)
HEADS_OF_4 = AttentionScores(pairs=((1, 1),), student_heads=4, teacher_heads=4)
NARROW_KEYS = dataclasses.replace(signals(), taps={"query.1": torch.randn(2, 4, 6), "key.1": torch.randn(2, 4, 2)})
VECTORS = Signals({}, {"hidden.1": torch.randn(2, 6)})


@pytest.mark.parametrize(
    ("objective", "student", "teacher", "error", "what", "todo"),
    [
        (Hidden(pairs=ONE, projection="none"), signals(3), signals(), ShapeMismatch,
         "expected 'hidden.1' and 'hidden.1' to be equally wide, got 3 from the student and 6 from the teacher",
         "let a projection be trained (any value of `projection` but 'none')"),
        (HiddenCosine(pair=ONE[0]), signals(positions=5), signals(), ShapeMismatch,
         "expected 'hidden.1' and 'hidden.1' to have the same rows and positions, got (2, 5) from the student and "
         "(2, 4) from the teacher", "both models must read the same tokens, padded to the same length"),
        (HiddenCosine(pair=ONE[0]), VECTORS, signals(), ShapeMismatch,
         "expected the tap 'hidden.1' of the student to have positions, shape (T, D) without the batch, got (6,)",
         "name a tap with one vector for every token, such as 'hidden.1'"),
        (PKD(pairs=ONE), signals(), signals(mask=False), MissingSignal,
         "expected the teacher's signals to carry the mask of valid positions that the student's carry, got none",
         "give both models the same mask [B, T], True where a position is real"),
        (HEADS_OF_4, signals(), signals(), ShapeMismatch,
         "expected the width of the tap 'query.1' to be a multiple of its 4 heads, got 6",
         "give the number of heads that the layer has, or for relations a number that divides the widths"),
        (MiniLM(layers=(1, 1)), signals(), signals(), ShapeMismatch,
         "expected the width of the tap 'query.1' to be a multiple of its 48 heads, got 6",
         "give the number of heads that the layer has, or for relations a number that divides the widths"),
        (AttentionScores(pairs=((1, 1),), student_heads=2, teacher_heads=2), NARROW_KEYS, signals(), ShapeMismatch,
         "expected 'query.1' and 'key.1' of the student to be equally wide, got 6 and 2",
         "models whose heads share keys are not taken; repeat the keys in the tap, or use MiniLM"),
        (MiniLM(layers=(2, 1)), signals(), signals(), MissingSignal,
         "expected the student to give the tap 'query.2', its taps are: 'hidden.0', 'hidden.1', 'key.1', 'query.1', "
         "'value.1'", "name one of them in `pair`, or capture 'query.2'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(objective, student, teacher, error, what, todo):
    with pytest.raises(error) as refused:
        objective.loss(student, teacher, BATCH, None)
    assert (refused.value.what, refused.value.todo) == (what, todo)


def test_taps_without_positions_are_refused_before_training():
    shapes = Shapes(student_taps={"hidden.1": (6,)}, teacher_taps={"hidden.1": (4, 6)})
    with pytest.raises(ShapeMismatch, match=r"tap 'hidden.1' of the student to have positions, .* got \(6,\)"):
        Hidden(pairs=ONE).heads(shapes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("AttentionScores(pairs=((1, 1),), student_heads=4, teacher_heads=12)",
         "AttentionScores.student_heads: expected as many heads as the teacher's 12, got 4; scores are compared head "
         "by head; MiniLM takes models with other numbers of heads"),
        ("AttentionScores(pairs=((0, 1),), student_heads=4, teacher_heads=4)",
         "AttentionScores.pairs: expected pairs of numbers of layers, ((student, teacher), ...), got ((0, 1),); layers "
         "are counted from 1"),
        ("AttentionScores(pairs=((1, 1),), student_heads=0, teacher_heads=4)",
         "AttentionScores.student_heads: expected a whole number >= 1, got 0"),
        ("MiniLM(layers=(6, 0))",
         "MiniLM.layers: expected two numbers of layers, (student, teacher), got (6, 0); layers are counted from 1"),
        ("MiniLM", "MiniLM.layers: this field is missing; for example MiniLM(layers=(1, 3)), student's first"),
        ("Hidden", "Hidden.pairs: this field is missing; for example Hidden(pairs=(('hidden.1', 'hidden.3'),)), "
         "student's first"),
        ("Hidden(pairs=())",
         "Hidden.pairs: expected pairs of names of taps, ((student, teacher), ...), got ()"),
        ("PKD(pairs=(('a', ''),))",
         "PKD.pairs: expected pairs of names of taps, ((student, teacher), ...), got (('a', ''),)"),
    ],
)  # fmt: skip
def test_a_spec_that_is_wrong_says_so(text, problem):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert [str(each) for each in refused.value.problems] == [problem]


# ------------------------------------------------------------------ layer maps


@pytest.mark.parametrize(
    ("student", "teacher", "how", "layers"),
    [
        (4, 12, "uniform", (3, 6, 9, 12)),
        (4, 6, "uniform", (2, 3, 5, 6)),
        (3, 4, "uniform", (1, 3, 4)),
        (5, 5, "uniform", (1, 2, 3, 4, 5)),
        (1, 12, "uniform", (12,)),
        (6, 12, "last", (7, 8, 9, 10, 11, 12)),
        (3, 3, "last", (1, 2, 3)),
        (6, 12, "skip", (2, 4, 6, 8, 10, 12)),
        (2, 12, "skip", (2, 4)),
    ],
)
def test_layer_maps(student, teacher, how, layers):
    assert layer_map(student, teacher, how) == tuple(enumerate(layers, start=1))


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from(["uniform", "last"]))
def test_layer_maps_rise_and_end_at_the_last_layer(student, more, how):
    layers = [other for _, other in layer_map(student, student + more, how)]
    assert layers == sorted(set(layers)) and layers[0] >= 1 and layers[-1] == student + more


@pytest.mark.parametrize(
    ("given_", "what", "todo"),
    [
        ((0, 12, "uniform"), "expected the student to have a whole number of layers >= 1, got 0",
         "count its transformer layers, without the embeddings"),
        ((6, 12.0, "last"), "expected the teacher to have a whole number of layers >= 1, got 12.0",
         "count its transformer layers, without the embeddings"),
        ((6, 12, "first"), "expected one of 'uniform', 'last', 'skip' for `how`, got 'first'",
         "'uniform' spreads the student's layers evenly over the teacher's"),
        ((6, 4, "uniform"), "expected a teacher of at least 6 layers for 'uniform' with 6 of the student, got 4",
         "take a student with fewer layers"),
        ((6, 10, "skip"), "expected a teacher of at least 12 layers for 'skip' with 6 of the student, got 10",
         "use 'uniform'"),
    ],
)  # fmt: skip
def test_layer_maps_that_cannot_be(given_, what, todo):
    with pytest.raises(ConfigError) as refused:
        layer_map(*given_)
    assert (refused.value.what, refused.value.todo) == (what, todo)
