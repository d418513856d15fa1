"""Agreement, divergence and damage on cases that can be worked out by hand."""

import numpy as np
import pytest
import torch

from limbeck.evaluate import fidelity
from limbeck.evaluate.answers import Plain

THREE = Plain("classification", ("cat", "dog", "owl"))


def logits(ids, size=3, margin=4.0):
    return np.eye(size)[np.asarray(ids)] * margin


def test_agreement_counts_equal_decisions():
    teacher, student = logits([0, 1, 2, 2])[None], np.stack([logits([0, 1, 1, 2]), logits([2, 1, 2, 2])])
    rows = fidelity.agreement_rows(THREE, teacher, student)
    assert rows.tolist() == [[1, 1, 0, 1], [0, 1, 1, 1]]


def test_teachers_pair_by_seed_when_equally_many():
    teacher = np.stack([logits([0, 0]), logits([1, 1])])
    assert fidelity.agreement_rows(THREE, teacher, teacher).mean() == 1
    assert fidelity.agreement_rows(THREE, teacher, teacher[:1]).mean() == 0.5


def test_kl_is_that_of_torch_and_zero_at_equal():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(1, 20, 3)) * 3, rng.normal(size=(2, 20, 3))
    kl = fidelity.kl_rows(THREE, teacher, student)
    log_t, log_s = torch.log_softmax(torch.tensor(teacher[0]), -1), torch.log_softmax(torch.tensor(student[1]), -1)
    expected = torch.nn.functional.kl_div(log_s, log_t, log_target=True, reduction="none").sum(-1)
    np.testing.assert_allclose(kl[1], expected.numpy(), atol=1e-12)
    np.testing.assert_allclose(fidelity.kl_rows(THREE, teacher, teacher + 5), 0, atol=1e-12)


def test_kl_of_labels_sums_over_them():
    labels = Plain("multilabel", ("a", "b"))
    teacher, student = np.array([[[0.0, 2.0]]]), np.array([[[1.0, 2.0]]])
    p, q = 0.5, 1 / (1 + np.exp(-1))
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert fidelity.kl_rows(labels, teacher, student)[0, 0] == pytest.approx(expected)


def test_bare_decisions_have_no_divergence():
    assert fidelity.kl_rows(THREE, np.array([[0, 1]]), np.array([[0, 1]])) is None


def test_damage_is_sorted_worst_first_and_skips_absent_classes():
    y = np.array([0, 0, 0, 0, 1, 1])
    teacher, student = np.array([[0, 0, 0, 0, 1, 0]]), np.array([[0, 1, 1, 1, 1, 1]])
    table = fidelity.class_damage(THREE, y, teacher, student)
    assert [line["name"] for line in table] == ["cat", "dog"]
    assert table[0] == {"name": "cat", "rows": 4, "teacher": 1.0, "student": 0.25, "damage": -0.75}
    assert table[1]["damage"] == pytest.approx(0.5)


def test_two_by_two_adds_up():
    y = np.array([0, 1, 2, 0])
    table = fidelity.two_by_two(THREE, y, np.array([[0, 1, 0, 1]]), np.array([[0, 0, 2, 2], [0, 1, 2, 2]]))
    assert table == {"both_right": 1.5, "teacher_only": 0.5, "student_only": 1.0, "both_wrong": 1.0}


def test_matrix_or_largest_disagreements():
    matrix = fidelity.agreement_matrix(THREE, np.array([[0, 0, 1]]), np.array([[0, 2, 1]]))["matrix"]
    assert matrix == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    many = Plain("classification", tuple(f"c{i}" for i in range(60)))
    largest = fidelity.agreement_matrix(many, np.array([[3, 3, 5]]), np.array([[9, 9, 5]]))["largest"]
    assert largest == [{"teacher": "c3", "student": "c9", "rows": 2.0}]


def test_regression_follows_the_teacher():
    teacher = np.arange(10.0)[None, :, None]
    found = fidelity.regression_fidelity(teacher, 2 * teacher + 1)
    assert found["correlation"] == pytest.approx(1.0)
    assert found["rmse_to_teacher"] == pytest.approx(np.sqrt(np.mean((np.arange(10.0) + 1) ** 2)))
    assert fidelity.regression_fidelity(teacher, 0 * teacher)["correlation"] == 0
