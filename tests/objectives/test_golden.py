"""Value and gradient of the authors' own code, to 1e-9 in float64 (1e-6 where that code casts to float32)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_inputs import (
    LABELS,
    REAL,
    STUDENT,
    STUDENT_EMBEDDING,
    STUDENT_SCORES,
    STUDENT_STATES,
    TEACHER,
    TEACHER_EMBEDDING,
    TEACHER_SCORES,
    TEACHER_STATES,
    VALID,
)  # fmt: skip

from limbeck.objectives import BCE, CE, DIST, DKD, KD, LSKD, MSE, NKD, PKD, RKD, BernoulliKD, Hidden, HiddenCosine
from limbeck.objectives.base import mean_of
from limbeck.objectives.divergences import entropy, generalised_jsd, kl, reverse_kl
from limbeck.objectives.feature.attention_scores import attention_loss
from limbeck.objectives.feature.cosine import cosine_loss
from limbeck.objectives.feature.hidden import hidden_loss
from limbeck.objectives.feature.hint import hint_loss
from limbeck.objectives.feature.pkd import pkd_loss
from limbeck.objectives.relation.minilm import relation_loss
from limbeck.objectives.relation.rkd import rkd_loss
from limbeck.objectives.response.bce import bce_loss
from limbeck.objectives.response.bernoulli_kd import bernoulli_kd_loss
from limbeck.objectives.response.ce import ce_loss
from limbeck.objectives.response.dist import dist_loss
from limbeck.objectives.response.dkd import dkd_loss
from limbeck.objectives.response.kd import kd_loss
from limbeck.objectives.response.label_mse import mse_loss
from limbeck.objectives.response.logit_standardisation import lskd_loss
from limbeck.objectives.response.nkd import nkd_loss
from limbeck.signals import Batch, Signals

GOLDEN = {}
for path in sorted((Path(__file__).parent / "golden").glob("*.json")):
    GOLDEN.update(json.loads(path.read_text()))

LOGIT_LOSSES = {
    "kd_T4": lambda s: kd_loss(s, TEACHER, 4.0),
    "mlld_kd_loss_T4": lambda s: kd_loss(s, TEACHER, 4.0),
    "abkd_a1.0_b0.0_T1": lambda s: kd_loss(s, TEACHER, 1.0),
    "lskd_kd_T2": lambda s: lskd_loss(s, TEACHER, 2.0),
    "dkd_a1_b8_T4": lambda s: dkd_loss(s, TEACHER, LABELS, 4.0, 1.0, 8.0),
    "dkd_a1_b0_T4": lambda s: dkd_loss(s, TEACHER, LABELS, 4.0, 1.0, 0.0),
    "nkd_T1_g1.5": lambda s: nkd_loss(s, TEACHER, LABELS, 1.0, 1.5),
    "dist_tau1": lambda s: dist_loss(s, TEACHER, 1.0),
    "multilabel_mld": lambda s: bernoulli_kd_loss(s, TEACHER, 1.0),
    "abkd_a0.0_b1.0_T1": lambda s: reverse_kl(s, TEACHER).mean(),
    "trl_gjsd_beta0": lambda s: generalised_jsd(s, TEACHER, 0.0)[VALID].mean(),
    "trl_gjsd_beta0.1": lambda s: generalised_jsd(s, TEACHER, 0.1)[VALID].mean(),
    "trl_gjsd_beta0.5": lambda s: generalised_jsd(s, TEACHER, 0.5)[VALID].mean(),
    "trl_gjsd_beta1": lambda s: generalised_jsd(s, TEACHER, 1.0)[VALID].mean(),
    "distillm_reverse_kl": lambda s: reverse_kl(s, TEACHER)[VALID].mean(),
    "distillm_js_distance_lam0.5": lambda s: generalised_jsd(s, TEACHER, 0.5)[VALID].mean(),
    # their forward KL leaves out the teacher's entropy
    "distillm_forward_kl": lambda s: (kl(s, TEACHER) + entropy(TEACHER))[VALID].mean(),
    # a cross-entropy at temperature 1, and their mean runs over the 7 classes too
    "tinybert_soft_ce": lambda s: (kl(s, TEACHER) + entropy(TEACHER)).mean() / 7,
}
EMBEDDING_LOSSES = {
    "rkd_d25_a50": lambda s: rkd_loss(s, TEACHER_EMBEDDING, 25.0, 50.0),
    "rkd_dist_only": lambda s: rkd_loss(s, TEACHER_EMBEDDING, 1.0, 0.0),
}
SCORE_LOSSES = {
    "textbrewer_att_mse_loss": lambda s: attention_loss(s, TEACHER_SCORES, REAL),
    "minilmv2_relation_kl": lambda s: relation_loss(s, TEACHER_SCORES, REAL),
    # they zero padded keys on both sides and divide by all pairs, padded queries included
    "tinybert_att_mse": lambda s: attention_loss(real_keys(s), real_keys(TEACHER_SCORES)),
}
STATE_LOSSES = {
    "textbrewer_hid_mse_loss": lambda s: hidden_loss([s], [TEACHER_STATES], REAL),
    "textbrewer_cos_loss": lambda s: cosine_loss(s, TEACHER_STATES, REAL),
    "textbrewer_pkd_loss": lambda s: pkd_loss(s, TEACHER_STATES, REAL),
}
LOSSES = {
    **{key: (loss, STUDENT) for key, loss in LOGIT_LOSSES.items()},
    **{key: (loss, STUDENT_EMBEDDING) for key, loss in EMBEDDING_LOSSES.items()},
    **{key: (loss, STUDENT_SCORES) for key, loss in SCORE_LOSSES.items()},
    **{key: (loss, STUDENT_STATES) for key, loss in STATE_LOSSES.items()},
}


def real_keys(scores):
    return torch.where(REAL[:, None, None, :], scores, 0.0)


def value_and_gradient(loss, student):
    leaf = student.clone().requires_grad_()
    value = loss(leaf)
    (grad,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), grad


@pytest.mark.parametrize("key", LOSSES)
def test_golden(key):
    golden, tolerance = GOLDEN[key], 1e-6 if key.startswith("distillm_") else 1e-9
    value, grad = value_and_gradient(*LOSSES[key])
    assert value == pytest.approx(golden["value"], abs=tolerance)
    assert float(grad.norm()) == pytest.approx(golden["grad_l2"], abs=tolerance)
    first = golden["grad_first"]
    np.testing.assert_allclose(grad.flatten()[: len(first)], first, rtol=0, atol=tolerance)


def test_every_golden_number_is_used_and_says_where_it_comes_from():
    assert set(GOLDEN) == set(LOSSES)
    assert all(entry["reference"] and entry["commit"] for entry in GOLDEN.values())


OBJECTIVES = {
    "kd_T4": KD(temperature=4),
    "lskd_kd_T2": LSKD(temperature=2),
    "dkd_a1_b8_T4": DKD(temperature=4, target_weight=1, other_weight=8),
    "nkd_T1_g1.5": NKD(temperature=1, other_weight=1.5),
    "dist_tau1": DIST(),
    "multilabel_mld": BernoulliKD(),
    "rkd_d25_a50": RKD(pair=("h", "pool")),
}
STATE_OBJECTIVES = {
    "textbrewer_hid_mse_loss": Hidden(pairs=(("hidden.1", "hidden.2"),), projection="none"),
    "textbrewer_cos_loss": HiddenCosine(pair=("hidden.1", "hidden.2")),
    "textbrewer_pkd_loss": PKD(pairs=(("hidden.1", "hidden.2"),)),
}


@pytest.mark.parametrize("key", OBJECTIVES)
def test_the_objective_is_its_function(key):
    batch = Batch(keys=np.zeros((6, 2), np.uint64), targets={"main": LABELS})
    student = Signals({"main": STUDENT}, {"h": STUDENT_EMBEDDING})
    teacher = Signals({"main": TEACHER}, {"pool": TEACHER_EMBEDDING})
    value = mean_of(*OBJECTIVES[key].loss(student, teacher, batch, None))
    assert float(value) == pytest.approx(GOLDEN[key]["value"], abs=1e-9)


@pytest.mark.parametrize("key", STATE_OBJECTIVES)
def test_the_objective_on_states_is_its_function(key):
    batch = Batch(keys=np.zeros((2, 2), np.uint64))
    student = Signals({}, {"hidden.1": STUDENT_STATES}, mask=REAL)
    teacher = Signals({}, {"hidden.2": TEACHER_STATES}, mask=REAL)
    value = mean_of(*STATE_OBJECTIVES[key].loss(student, teacher, batch, None))
    assert float(value) == pytest.approx(GOLDEN[key]["value"], abs=1e-9)


def test_tinybert_counts_padded_queries_and_divides_by_all_pairs():
    """Padded queries are in their sum, all pairs in their count; without both it is ours."""
    padded = (real_keys(STUDENT_SCORES) - real_keys(TEACHER_SCORES)).square()[~REAL[:, None].expand(-1, 3, -1)]
    theirs = GOLDEN["tinybert_att_mse"]["value"] * 3 * 2 * 25 - float(padded.sum())
    assert theirs / (3 * (25 + 9)) == pytest.approx(GOLDEN["textbrewer_att_mse_loss"]["value"], abs=1e-9)


def test_no_score_is_taken_for_padding():
    """Without a mask TextBrewer zeroes scores up to -0.001 as if they were padding; ours has no such rule."""
    zeroed = [torch.where(s <= -1e-3, 0.0, s) for s in (STUDENT_SCORES, TEACHER_SCORES)]
    theirs = float((zeroed[0] - zeroed[1]).square().mean())
    ours = float(attention_loss(STUDENT_SCORES, TEACHER_SCORES))
    assert ours == pytest.approx(float((STUDENT_SCORES - TEACHER_SCORES).square().mean()), abs=1e-12)
    assert theirs < 0.7 * ours
    low = [s - 200 for s in (STUDENT_SCORES, TEACHER_SCORES)]
    assert float(attention_loss(*low)) == pytest.approx(ours)  # 0 under their rule, and under TinyBERT's -100


# ---------------------------------------------------------- no golden entry: the formula, written in NumPy


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_cross_entropy_and_its_gradient():
    q, onehot = softmax(STUDENT.numpy()), np.eye(7)[LABELS]
    for smoothing in (0.0, 0.1):
        target = (1 - smoothing) * onehot + smoothing / 7
        value, grad = value_and_gradient(lambda s, eps=smoothing: ce_loss(s, LABELS, eps), STUDENT)
        assert value == pytest.approx(-(target * np.log(q)).sum() / 6, abs=1e-12)
        np.testing.assert_allclose(grad, (q - target) / 6, atol=1e-12)


def test_cross_entropy_with_class_weights_is_torchs():
    weights = (1.0, 2.0, 0.5, 0.25, 3.0, 1.0, 1.5)
    batch = Batch(keys=np.zeros((6, 2), np.uint64), targets={"main": LABELS})
    total, count = CE(class_weight=weights, label_smoothing=0.1).loss(Signals({"main": STUDENT}), None, batch, None)
    expected = torch.nn.functional.cross_entropy(
        STUDENT, LABELS, torch.tensor(weights, dtype=torch.float64), label_smoothing=0.1
    )
    assert float(mean_of(total, count)) == pytest.approx(float(expected), abs=1e-9)
    weighed = ce_loss(STUDENT, LABELS, 0.1, torch.tensor(weights, dtype=torch.float64))
    assert float(weighed) == pytest.approx(float(expected), abs=1e-12)


def test_binary_cross_entropy_sums_over_labels():
    z, t = STUDENT.numpy(), (TEACHER > 0).double()
    s = 1 / (1 + np.exp(-z))
    expected = -(t.numpy() * np.log(s) + (1 - t.numpy()) * np.log(1 - s)).sum(axis=1).mean()
    value, grad = value_and_gradient(lambda x: bce_loss(x, t), STUDENT)
    assert value == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(grad, (s - t.numpy()) / 6, atol=1e-12)
    batch = Batch(keys=np.zeros((6, 2), np.uint64), targets={"main": t})
    assert float(mean_of(*BCE().loss(Signals({"main": STUDENT}), None, batch, None))) == pytest.approx(expected)


def test_squared_error_against_labels():
    value, grad = value_and_gradient(lambda x: mse_loss(x, TEACHER), STUDENT)
    assert value == pytest.approx(float((STUDENT - TEACHER).square().mean()), abs=1e-12)
    np.testing.assert_allclose(grad, 2 * (STUDENT - TEACHER) / STUDENT.numel(), atol=1e-12)
    batch = Batch(keys=np.zeros((6, 2), np.uint64), targets={"main": TEACHER})
    assert float(mean_of(*MSE().loss(Signals({"main": STUDENT}), None, batch, None))) == pytest.approx(value)


def test_hint_is_the_mean_squared_error_of_fitnets():
    teacher = TEACHER_EMBEDDING[:, :5]
    value, grad = value_and_gradient(lambda s: hint_loss(s, teacher), STUDENT_EMBEDDING)
    assert value == pytest.approx(float(torch.nn.functional.mse_loss(STUDENT_EMBEDDING, teacher)), abs=1e-12)
    np.testing.assert_allclose(grad, 2 * (STUDENT_EMBEDDING - teacher) / teacher.numel(), atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_is_the_paper_without_the_factor_of_the_authors_code(temperature):
    """Their code multiplies by T^2; at T = 1, where the golden number stands, both agree."""
    q, p = softmax(STUDENT.numpy() / temperature), softmax(TEACHER.numpy() / temperature)
    rows = np.mean([np.corrcoef(q[i], p[i])[0, 1] for i in range(6)])
    columns = np.mean([np.corrcoef(q[:, c], p[:, c])[0, 1] for c in range(7)])
    paper = 2.0 * (1 - rows) + 0.5 * (1 - columns)
    assert float(dist_loss(STUDENT, TEACHER, temperature, 2.0, 0.5)) == pytest.approx(paper, abs=1e-5)
    theirs = temperature**2 * (2 - rows - columns)
    assert theirs == pytest.approx(temperature**2 * float(dist_loss(STUDENT, TEACHER, temperature)), abs=1e-4)


def test_multilabel_clamp_of_the_authors_shows_only_at_certainty():
    """Their probabilities are clamped at 1e-8; ours are in log space and go on."""
    z, t = torch.tensor([[-30.0]], dtype=torch.float64), torch.tensor([[30.0]], dtype=torch.float64)
    q, p = z.sigmoid().clamp(1e-8), t.sigmoid()
    clamped = float((p * (p.log() - q.log()) + (1 - p) * ((1 - p).clamp(1e-8).log() - (1 - q).log())).sum())
    assert clamped == pytest.approx(-np.log(1e-8), abs=1e-3)
    assert float(bernoulli_kd_loss(z, t)) == pytest.approx(30.0, abs=1e-9)
