"""Costs of networks whose costs can be counted by hand."""

import torch
from torch import nn

from limbeck.evaluate import cost


def test_counts_of_a_plain_network():
    net = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    found = cost.module_cost(net, torch.randn(3, 100))
    assert found["parameters"] == 100 * 50 + 50 + 50 * 10 + 10
    assert found["flops"] == 2 * (100 * 50 + 50 * 10)
    assert found["state_bytes"] == 4 * found["parameters"]
    assert found["inference_bytes"] == 4 * (50 + 50)
    assert set(found["latency"]) == {"1", "64"} and found["threads"] == 1
    for entry in found["latency"].values():
        assert 0 < entry["p50_ms"] <= entry["p95_ms"] and entry["calls"] >= 5


def test_buffers_are_saved_but_are_no_parameters():
    net = nn.BatchNorm1d(8)
    assert cost.parameters(net) == 16 and cost.state_bytes(net) == 4 * 32 + 8


def test_measuring_leaves_the_module_as_it_was():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    before, threads = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_num_threads()
    cost.module_cost(net, torch.randn(5, 4))
    assert net.training and torch.get_num_threads() == threads
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_size_of_the_exported_file_and_of_callables(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"12345")
    assert cost.module_cost(nn.Linear(2, 2), torch.randn(1, 2), onnx=tmp_path / "m.onnx")["onnx_bytes"] == 5
    sizes = []
    found = cost.callable_cost(lambda x: sizes.append(len(x)), lambda n: [0] * n)
    assert found["parameters"] is None and set(sizes) == {1, 64}
    assert cost.process_peak_bytes() > 10_000_000
    assert cost.training_cost(2.5, 100, 5) == {"training_seconds": 2.5, "training_steps": 100, "seeds": 5}


def test_a_slow_call_is_not_repeated_for_long_and_a_fast_one_is_warmed_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])

    def taking(seconds):
        calls = []

        def call():
            calls.append(seconds)
            now[0] += seconds

        found = cost.latency(call)
        return len(calls), found["calls"]

    assert taking(0.6) == (1 + 5, 5)
    assert taking(0.2) == (3 + 5, 5)
    assert taking(0.001) == (20 + 200, 200)
