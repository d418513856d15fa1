"""Whole runs measure latencies 400 times; a few do for runs whose costs nobody compares."""

import pytest

from limbeck.evaluate import cost


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    monkeypatch.setattr(cost.latency, "__defaults__", (5, 1))
