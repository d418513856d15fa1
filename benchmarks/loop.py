"""What the training loop costs.

    python benchmarks/loop.py [--json FILE] [--quick] [--only overhead|ratio]

overhead  microseconds a step of `limbeck.train.fit` over a hand-written loop, a linear model 784 -> 10, 64 rows a step
ratio     cached distillation against plain supervised training in the same loop, a convolutional net, steps >= 7 ms

One thread, CPU time of the process, blocks of the variants interleaved in changing order, medians of paired
differences. Beside every figure stands its A/A control: the same variant measured twice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F

from limbeck.core.runtime import keep_freed_memory
from limbeck.models.zoo import build
from limbeck.objectives import CE, KD
from limbeck.signals import MAIN, Needs, Signals
from limbeck.train.feed import Feed, Table
from limbeck.train.loop import fit
from limbeck.train.plan import TrainSpec
from limbeck.train.steps import Learner

CLASSES = 10
Block = Callable[[], None]


class Order:
    """A permutation for each epoch, drawn once."""

    def __init__(self, n: int, seed: int) -> None:
        self.permutation = np.random.default_rng(seed).permutation(n)

    def indices(self, epoch: int, position: int, count: int) -> np.ndarray:
        return self.permutation[position : position + count]


class Cached:
    """Answers in memory, by the row number in the key."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def have(self) -> Needs:
        return Needs(outputs=(MAIN,))

    def answer(self, batch: Any) -> Signals:
        return Signals({MAIN: self.logits.index_select(0, torch.from_numpy(batch.keys[:, 1].astype(np.int64)))})


def rows(count: int, shape: tuple[int, ...]) -> Table:
    g = torch.Generator().manual_seed(0)
    keys = np.stack([np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64)], axis=1)
    labels = torch.randint(0, CLASSES, (count,), generator=g)
    return Table(keys, torch.randn(count, *shape, generator=g), {MAIN: labels})


def through_fit(table: Table, network: str, shape: tuple[int, ...], size: int, steps: int, distil: bool) -> Block:
    """A block of steps in limbeck's loop, with events, guard, validation moments and progress on."""
    source = Cached(torch.randn(len(table), CLASSES, generator=torch.Generator().manual_seed(1))) if distil else None
    objective = 0.1 * CE() + 0.9 * KD(temperature=4.0) if distil else 1.0 * CE()
    spec = TrainSpec(steps=steps, batch_size=size, optimizer="sgd", learning_rate=0.01, weight_decay=0.0, device="cpu")
    feed = Feed.of(table, labelled=len(table), batch_size=size, seed=0, order=Order)
    torch.manual_seed(0)
    student = build(network, shape, {MAIN: CLASSES})
    learner = Learner(student, objective, [MAIN])

    def block() -> None:
        fit(learner, source, feed, spec, events=lambda *_: None, progress=lambda _: None, say=lambda _: None)

    return block


def by_hand(table: Table, network: str, shape: tuple[int, ...], size: int, steps: int) -> Block:
    """The loop that one writes by hand: gather, forward, cross-entropy, backward, step."""
    torch.manual_seed(0)
    model = build(network, shape, {MAIN: CLASSES})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    inputs, labels = table.inputs, table.targets[MAIN]
    assert isinstance(inputs, torch.Tensor)
    permutation = torch.randperm(len(table))

    def block() -> None:
        model.train()
        for step in range(steps):
            start = step * size % (len(table) - size)
            index = permutation[start : start + size]
            loss = F.cross_entropy(model(inputs.index_select(0, index)), labels.index_select(0, index))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return block


def measure(variants: dict[str, Block], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of CPU time a step, one figure for each round and variant; the order rotates from round to round."""
    names = list(variants)
    orders = itertools.cycle([names[n:] + names[:n] for n in range(len(names))])
    found: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        variants[name]()  # warm
    for _, order in zip(range(rounds), orders, strict=False):
        for name in order:
            start = time.process_time()
            variants[name]()
            found[name].append((time.process_time() - start) / steps)
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median with a 95 % interval from its order statistics."""
    ordered, n = sorted(values), len(values)
    half = 0.98 * n**0.5
    low, high = max(int(n / 2 - half), 0), min(int(n / 2 + half), n - 1)
    return statistics.median(ordered), ordered[low], ordered[high]


def overhead(quick: bool) -> dict[str, Any]:
    steps, rounds = 400, 15 if quick else 60
    shape, size, network = (784,), 64, "linear"
    table = rows(8192, shape)
    settings = (table, network, shape, size, steps)
    variants = {
        "hand": by_hand(*settings),
        "hand again": by_hand(*settings),
        "fit": through_fit(*settings, distil=False),
        "fit distilled": through_fit(*settings, distil=True),
    }
    found = measure(variants, rounds, steps)

    def over(name: str, base: str) -> tuple[float, float, float]:
        return interval([(a - b) * 1e6 for a, b in zip(found[name], found[base], strict=True)])

    return {
        "unit": "microseconds of CPU time a step",
        "hand-written step": interval([value * 1e6 for value in found["hand"]]),
        "A/A control: hand-written over itself": over("hand again", "hand"),
        "loop over hand-written (goal <= 60)": over("fit", "hand"),
        "cached distillation over plain, same loop (goal <= 120)": over("fit distilled", "fit"),
        "rounds": rounds,
        "steps a block": steps,
    }


def ratio(quick: bool) -> dict[str, Any]:
    steps, rounds = 20, 12 if quick else 120
    shape, size, network = (1, 28, 28), 64, "cnn(width=32, depth=2)"
    table = rows(4096, shape)
    settings = (table, network, shape, size, steps)
    variants = {
        "plain": through_fit(*settings, distil=False),
        "plain again": through_fit(*settings, distil=False),
        "distilled": through_fit(*settings, distil=True),
    }
    found = measure(variants, rounds, steps)

    def against(name: str) -> tuple[float, float, float]:
        return interval([a / b for a, b in zip(found[name], found["plain"], strict=True)])

    return {
        "unit": "ratio of CPU time",
        "plain step (ms)": interval([value * 1e3 for value in found["plain"]]),
        "A/A control: plain / plain": against("plain again"),
        "cached distillation / plain (goal <= 1.02)": against("distilled"),
        "rounds": rounds,
        "steps a block": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What the training loop costs.")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", choices=("overhead", "ratio"), help="one part only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = {"overhead": overhead, "ratio": ratio}
    results = {name: part(options.quick) for name, part in parts.items() if options.only in (None, name)}
    for name, result in results.items():
        print(f"{name}: {result['unit']}, median [95 % interval], {result['rounds']} rounds")
        for label, value in result.items():
            if isinstance(value, tuple):
                print(f"  {label:58s} {value[0]:9.3f}  [{value[1]:.3f}, {value[2]:.3f}]")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
