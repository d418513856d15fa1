"""Small real data for whole runs: scikit-learn's digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import limbeck as lb


@pytest.fixture(scope="session")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32), y[order]


@pytest.fixture
def data(digits):
    x, y = digits
    return lb.Data(
        train=(x[:200], y[:200]), unlabeled=x[200:700], validation=(x[700:900], y[700:900]), test=(x[900:], y[900:])
    )
