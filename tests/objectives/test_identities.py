"""Exact identities between the losses, and the numerics that authors' code gets wrong."""

import math

import hypothesis.strategies as st
import pytest
import torch
from golden_inputs import LABELS, STUDENT, STUDENT_EMBEDDING, TEACHER, TEACHER_EMBEDDING
from hypothesis import given, settings

from limbeck.objectives.chunked import chunked_kl, project
from limbeck.objectives.divergences import bernoulli_kl, entropy, generalised_jsd, kl, reverse_kl, topk_kl
from limbeck.objectives.relation.rkd import rkd_loss
from limbeck.objectives.response.dkd import dkd_rows
from limbeck.objectives.response.kd import kd_loss, kd_rows
from limbeck.objectives.response.logit_mse import logit_mse_rows
from limbeck.objectives.response.logit_standardisation import lskd_loss
from limbeck.objectives.response.nkd import nkd_rows
from limbeck.objectives.response.regression_kd import bounded_kd_rows, huber_kd_loss, l2kd_loss
from limbeck.signals import Projected, TopK

shapes = st.tuples(st.integers(1, 5), st.integers(2, 9), st.integers(0, 10_000))


def pair(shape):
    rows, classes, seed = shape
    draw = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(rows, classes, generator=draw, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_the_target_part_and_the_rest_of_the_other_part(temperature):
    target = dkd_rows(STUDENT, TEACHER, LABELS, temperature, 1.0, 0.0)
    others = dkd_rows(STUDENT, TEACHER, LABELS, temperature, 0.0, 1.0)
    sure = (TEACHER / temperature).softmax(-1).gather(1, LABELS[:, None]).squeeze(1)
    whole = kd_rows(STUDENT, TEACHER, temperature)
    torch.testing.assert_close(target + (1 - sure) * others, whole, rtol=1e-12, atol=1e-12)


def test_kd_tends_to_centred_squared_error_over_2c():
    ratio = kd_rows(STUDENT, TEACHER, 1e4) / (logit_mse_rows(STUDENT, TEACHER) / 14)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-3, atol=0)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_gradient_of_kd_is_closed_form(temperature):
    leaf = STUDENT.clone().requires_grad_()
    (grad,) = torch.autograd.grad(kd_loss(leaf, TEACHER, temperature), leaf)
    expected = temperature * ((STUDENT / temperature).softmax(-1) - (TEACHER / temperature).softmax(-1)) / 6
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-14)


def test_nkd_at_the_teacher_is_the_teachers_entropies():
    p = TEACHER.softmax(-1)
    sure = p.gather(1, LABELS[:, None]).squeeze(1)
    others = p.scatter(1, LABELS[:, None], 0) / (1 - sure)[:, None]
    expected = -sure * sure.log() - 1.5 * torch.special.xlogy(others, others).sum(-1)
    torch.testing.assert_close(nkd_rows(TEACHER, TEACHER, LABELS), expected)


@settings(max_examples=40, deadline=None)
@given(shapes, st.floats(0.01, 0.99))
def test_divergences_are_positive_and_bounded(shape, beta):
    student, teacher = pair(shape)
    for rows in (kl(student, teacher), reverse_kl(student, teacher), bernoulli_kl(student, teacher)):
        assert bool((rows >= -1e-12).all())
    mixed = generalised_jsd(student, teacher, beta)
    ceiling = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    assert bool((mixed >= -1e-12).all()) and bool((mixed <= ceiling + 1e-12).all())
    assert bool((generalised_jsd(student, teacher, 0.5) <= math.log(2) + 1e-12).all())
    torch.testing.assert_close(generalised_jsd(student, teacher, beta), generalised_jsd(teacher, student, 1 - beta))


def test_generalised_jsd_tends_to_forward_and_reverse_kl():
    small = 1e-6
    torch.testing.assert_close(
        generalised_jsd(STUDENT, TEACHER, small) / small, kl(STUDENT, TEACHER), rtol=1e-3, atol=0
    )
    other = generalised_jsd(STUDENT, TEACHER, 1 - small) / small
    torch.testing.assert_close(other, reverse_kl(STUDENT, TEACHER), rtol=1e-3, atol=0)
    assert torch.equal(generalised_jsd(STUDENT, TEACHER, 0.0), kl(STUDENT, TEACHER))
    assert torch.equal(generalised_jsd(STUDENT, TEACHER, 1.0), reverse_kl(STUDENT, TEACHER))


def test_bernoulli_kl_is_kl_of_two_classes():
    both = [torch.stack([z, torch.zeros_like(z)], dim=-1) for z in (STUDENT, TEACHER)]
    torch.testing.assert_close(bernoulli_kl(STUDENT, TEACHER, 2.0), kl(*both, 2.0).sum(-1))


@settings(max_examples=40, deadline=None)
@given(shapes, st.floats(0.5, 8.0), st.data())
def test_topk_is_dense_at_k_c_and_below_it_otherwise(shape, temperature, data):
    student, teacher = pair(shape)
    classes = teacher.shape[-1]
    kept = data.draw(st.integers(1, classes))
    logprobs, ids = teacher.log_softmax(-1).topk(kept)
    rest = (1 - logprobs.exp().sum(-1)).clamp(min=1e-300).log()
    answers = TopK(ids, logprobs, rest, classes)
    if kept == classes:
        torch.testing.assert_close(topk_kl(student, answers, temperature), kl(student, teacher, temperature))
    else:
        merged = topk_kl(student, answers, 1.0)
        assert bool((merged <= kl(student, teacher) + 1e-9).all()) and bool((merged >= -1e-9).all())


def test_topk_of_a_teacher_with_an_even_rest_is_exact_at_every_temperature():
    """Softening assumes an even rest; where it is even, merging loses only the student's sharing out."""
    teacher = torch.tensor([[3.0, 2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    student = torch.tensor([[1.0, -1.0, 0.5, 0.5, 0.5]], dtype=torch.float64)
    logprobs, ids = teacher.log_softmax(-1).topk(2)
    answers = TopK(ids, logprobs, (1 - logprobs.exp().sum(-1)).log(), 5)
    for temperature in (1.0, 2.0, 7.0):
        torch.testing.assert_close(topk_kl(student, answers, temperature), kl(student, teacher, temperature))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 7), st.integers(2, 12), st.integers(1, 60), st.floats(0.5, 4.0), st.booleans(), st.integers(0, 99)
)
def test_chunked_kl_is_the_dense_sum(tokens, size, entries, temperature, kept, seed):
    draw = torch.Generator().manual_seed(seed)
    hidden, weight, bias, logits = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((tokens, 3), (size, 3), (size,), (tokens, size))
    )
    leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
    weights = torch.randint(0, 3, (tokens,), generator=draw).double()
    teacher, dense = logits, kl(project(Projected(*leaves)), logits, temperature)
    if kept:
        logprobs, ids = logits.log_softmax(-1).topk(max(1, size // 2))
        teacher = TopK(ids, logprobs, (1 - logprobs.exp().sum(-1)).clamp(min=1e-300).log(), size)
        dense = topk_kl(project(Projected(*leaves)), teacher, temperature)
    expected = (dense * weights).sum()
    found = chunked_kl(Projected(*leaves), teacher, weights, temperature, entries)
    torch.testing.assert_close(found, expected)
    if weights.any():
        pairs = zip(torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves), strict=True)
        for left, right in pairs:
            torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)


def test_chunked_kl_in_bfloat16_is_near_float32():
    draw = torch.Generator().manual_seed(0)
    hidden, weight, logits = (torch.randn(*shape, generator=draw) for shape in ((8, 16), (50, 16), (8, 50)))
    exact = chunked_kl(Projected(hidden, weight), logits, torch.ones(8))
    half = [x.bfloat16().requires_grad_() for x in (hidden, weight)]
    found = chunked_kl(Projected(*half), logits, torch.ones(8))
    grads = torch.autograd.grad(found, half)
    assert found.dtype == torch.float32 and all(g.dtype == torch.bfloat16 for g in grads)
    torch.testing.assert_close(found, exact, rtol=0.03, atol=0)


def test_lskd_does_not_see_scale_and_offset():
    assert float(lskd_loss(2.5 * TEACHER + 7, TEACHER)) < 1e-12
    assert math.isfinite(float(lskd_loss(torch.zeros(2, 5, requires_grad=True), torch.ones(2, 5)).detach()))


def test_rkd_does_not_see_rotation_scale_and_translation():
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    assert float(rkd_loss(3 * TEACHER_EMBEDDING @ turn + 5, TEACHER_EMBEDDING)) < 1e-20
    assert float(rkd_loss(STUDENT_EMBEDDING, TEACHER_EMBEDDING)) > 0.1


def test_rkd_of_equal_rows_has_a_finite_gradient():
    student = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(rkd_loss(student, TEACHER_EMBEDDING[:4]), student)
    assert bool(grad.isfinite().all())
    (grad,) = torch.autograd.grad(rkd_loss(student[:1], TEACHER_EMBEDDING[:1]), student)
    assert float(grad.abs().max()) == 0


def test_the_gradient_of_kd_keeps_its_size_while_without_t_squared_it_does_not():
    def size(temperature, factor):
        leaf = STUDENT.clone().requires_grad_()
        value = kl(leaf, TEACHER, temperature).mean() * factor
        return float(torch.autograd.grad(value, leaf)[0].norm())

    kept = [size(t, t * t) for t in (1.0, 2.0, 4.0, 8.0, 16.0)]
    assert max(kept) / min(kept) < 1.6
    assert size(1.0, 1) / size(16.0, 1) > 150


def test_dkd_is_finite_where_the_published_formula_is_not():
    student = torch.tensor([[200.0, 0.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0, 200.0, 0.0]], dtype=torch.float64)
    label = torch.tensor([1])
    q, p = ((z.float()).softmax(-1) for z in (student, teacher))
    published = p[0, 1] * (p[0, 1].log() - q[0, 1].log()) + (1 - p[0, 1]) * ((1 - p[0, 1]).log() - (1 - q[0, 1]).log())
    assert not bool(published.isfinite())
    assert float(dkd_rows(student, teacher, label, 1.0, 1.0, 0.0)) == pytest.approx(
        float(kl(student, teacher)), rel=1e-9
    )


def test_regression_losses():
    assert float(l2kd_loss(STUDENT, TEACHER)) == pytest.approx(float((STUDENT - TEACHER).square().mean()))
    near, far = torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1)
    assert float(huber_kd_loss(near, far, delta=1.0)) == pytest.approx((0.125 + 2.5) / 2)
    student, teacher, label = torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([[2.0]] * 3), torch.zeros(3, 1)
    assert bounded_kd_rows(student, teacher, label).tolist() == [0.0, 9.0, 0.0]
    assert bounded_kd_rows(student, teacher, label, margin=3.5).tolist() == [1.0, 9.0, 4.0]


def test_entropy_of_nothing_known_is_log_c():
    assert float(entropy(torch.zeros(1, 8))) == pytest.approx(math.log(8))
    assert float(entropy(torch.tensor([[0.0, -math.inf]]))) == 0.0


def test_kl_takes_classes_that_the_teacher_excludes():
    teacher = torch.tensor([[1.0, -math.inf, 0.0]])
    student = torch.tensor([[0.5, 0.1, 0.2]], requires_grad=True)
    value = kl(student, teacher).sum()
    (grad,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(grad.isfinite().all())
