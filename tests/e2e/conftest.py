"""What whole runs share: scikit-learn's digits, and few measurements of latency."""

import pytest
from e2e_runs import digits

from limbeck.evaluate import cost


@pytest.fixture(scope="session")
def rows():
    return digits(1 / 16)


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    """A run measures latencies 400 times; a few do where nobody compares costs."""
    monkeypatch.setattr(cost.latency, "__defaults__", (5, 1))
