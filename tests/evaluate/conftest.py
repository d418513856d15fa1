"""Answers as three models of a known quality would give them."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def world():
    """Five classes; the teacher knows more than the student, and the student has some of the teacher's own errors."""
    return make_world()


def make_world(rows=400, seeds=5, classes=5, taught=True, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    signal = np.eye(classes)[y]
    teacher = 3.0 * signal + rng.normal(size=(rows, classes))
    student = np.stack(
        [2.0 * (0.8 * teacher / 2 if taught else signal * 1.1) + rng.normal(size=teacher.shape) for _ in range(seeds)]
    )
    control = 1.6 * signal + rng.normal(size=(seeds, rows, classes))
    return {
        "y": y,
        "names": tuple("abcdefgh"[:classes]),
        "teacher": teacher,
        "student": student,
        "control": control,
    }
