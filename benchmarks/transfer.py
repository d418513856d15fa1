"""What stored answers cost: gathering them, looking them up in a step, and writing them durably.

    OMP_NUM_THREADS=1 python benchmarks/transfer.py [--quick] [--out results.json]

Each figure is the median over interleaved blocks, one thread, CPU time of the process unless it says wall. Every
comparison has an A/A control: the same thing measured twice under two names. `datasets` is measured beside
(`Dataset.set_format("torch")`, `ds[list]`) where it is installed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from limbeck.core.errors import LimbeckError
from limbeck.data.rows import Rows
from limbeck.data.tasks import Classification
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer import store as store_module
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity
from limbeck.transfer.source import Live, Stored
from limbeck.transfer.store import Store

Results = dict[str, Any]


def blocks(
    subjects: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each subject in each round; the subjects take turns, the order alternates."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for run in subjects.values():
        run()  # warm
    for number in range(rounds):
        names = list(subjects) if number % 2 == 0 else list(reversed(subjects))
        for name in names:
            start = clock()
            subjects[name]()
            taken[name].append(clock() - start)
    return taken


def median(values: list[float]) -> float:
    return float(np.median(values))


class Random:
    """A source that costs next to nothing."""

    def __init__(self, width: int) -> None:
        self.width = width

    def have(self) -> Needs:
        return Needs(outputs=("main",))

    def answer(self, batch: Batch) -> Signals:
        return Signals({"main": torch.randn(len(batch), self.width)})


def classes(width: int) -> dict[str, Classification]:
    return {"main": Classification(tuple(f"c{number}" for number in range(width)))}


def some_rows(count: int, shape: tuple[int, ...] = (1,)) -> Rows:
    rng = np.random.default_rng(0)
    inputs = np.zeros((count, *shape), np.float32) if shape == (1,) else rng.random((count, *shape), np.float32)
    return Rows("array", inputs, rng.integers(0, 2**64, (count, 2), dtype=np.uint64))


def peer(store: Store, width: int) -> Callable[[list[int]], object] | None:
    """Hugging Face datasets over the same numbers; None where it is not installed."""
    try:
        import datasets
        import pyarrow as pa
    except ImportError:
        return None
    flat = pa.array(np.ascontiguousarray(store.column("main")).reshape(-1))
    table = pa.table({"main": pa.FixedSizeListArray.from_arrays(flat, width)})
    dataset = datasets.Dataset(table)
    dataset.set_format("torch")
    return lambda rows: dataset[rows]["main"]


def gather(folder: Path, width: int, count: int, batch: int, rounds: int) -> Results:
    """Rows a second of shuffled batches: as a user gets it, memory-mapped, and from datasets."""
    rows = some_rows(count)
    label(Random(width), rows, folder, prepare=lambda inputs: None, heads=classes(width), identity=Identity("random"),
          batch_size=4096, shard_rows=65536)  # fmt: skip
    opened = Store(folder)  # in memory up to 64 MiB, mapped above
    opened.gather(np.arange(0, count, 97))
    limit, store_module.IN_MEMORY = store_module.IN_MEMORY, 0
    mapped = Store(folder)
    mapped.gather(np.arange(0, count, 97))
    store_module.IN_MEMORY = limit
    reader = mapped._readers["main", "values"]
    rng = np.random.default_rng(1)
    orders = [rng.integers(0, count, batch) for _ in range(max(2, 65536 // batch))]
    few = orders[: max(1, len(orders) // 16)]

    def over(take: Callable[[np.ndarray], object], of: list[np.ndarray] = orders) -> Callable[[], None]:
        return lambda: [take(order) for order in of] and None

    subjects: dict[str, Callable[[], object]] = {
        "as opened by default, float32": over(opened.gather),
        "as opened by default, float32 (A/A)": over(opened.gather),
        "mapped, float32": over(mapped.gather),
        "mapped, float16 as stored": over(reader.gather),
    }
    other = peer(opened, width)
    if other is None:
        print("datasets is not installed: the comparison with ds[list] is left out")
    else:
        lists = [order.tolist() for order in few]
        subjects["datasets, ds[list]"] = lambda: [other(rows) for rows in lists] and None
    taken = blocks(subjects, rounds, time.process_time)
    asked = {name: sum(map(len, few if name.startswith("datasets") else orders)) for name in subjects}
    return {name: asked[name] / median(seconds) for name, seconds in taken.items()}


def step(folder: Path, count: int, rounds: int) -> Results:
    """Microseconds of `Stored.answer` for a batch of 128 and 10 classes."""
    rows = some_rows(count)
    heads = classes(10)
    label(Random(10), rows, folder, prepare=lambda inputs: None, heads=heads, identity=Identity("random"))
    source = Stored(folder, heads)
    rng = np.random.default_rng(1)
    batches = [Batch(keys=rows.keys[rng.integers(0, count, 128)]) for _ in range(300)]

    def answers() -> None:
        for batch in batches:
            source.answer(batch)

    taken = blocks({"answer": answers, "answer (A/A)": answers}, rounds, time.process_time)
    return {name: median(seconds) / len(batches) * 1e6 for name, seconds in taken.items()}


def labelling(folder: Path, module: nn.Module, shape: tuple[int, ...], count: int, rounds: int) -> Results:
    """Durable labelling against the bare forward over the same batches: ratio of seconds, CPU and wall."""
    rows = some_rows(count, shape)
    heads = classes(10)
    module = module.eval()
    inputs = torch.from_numpy(rows.inputs)  # type: ignore[arg-type]
    number = iter(range(10**6))

    def bare() -> None:
        with torch.no_grad():
            for start in range(0, count, 256):
                module(inputs[start : start + 256])

    def durable() -> None:
        label(Live(module, heads, output="logits"), rows, folder / str(next(number)), prepare=torch.from_numpy,
              heads=heads, identity=Identity("net"), batch_size=256, shard_rows=65536)  # fmt: skip

    subjects = {"bare": bare, "bare (A/A)": bare, "durable": durable}
    both = {"CPU": blocks(subjects, rounds, time.process_time), "wall": blocks(subjects, rounds, time.perf_counter)}
    found: Results = {"rows a second, bare": count / median(both["CPU"]["bare"])}
    for clock, taken in both.items():
        for name in ("bare (A/A)", "durable"):
            ratios = [other / one for other, one in zip(taken[name], taken["bare"], strict=True)]
            found[f"{name} / bare, {clock}"] = median(ratios)
    return found


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    mlp = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return {"CNN": (cnn, (1, 28, 28)), "MLP": (mlp, (64,))}


def show(title: str, figures: Results) -> None:
    print(title)
    for what, value in figures.items():
        print(f"  {what:<40}{value:>14,.3f}" if value < 100 else f"  {what:<40}{value:>14,.0f}", flush=True)


def main(argv: list[str] | None = None) -> Results:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options.add_argument("--out", type=Path, help="write the figures as JSON")
    chosen = options.parse_args(argv)
    torch.set_num_threads(1)
    small, rounds = chosen.quick, 5 if chosen.quick else 15
    results: Results = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for width, count in ((10, 100_000 if small else 1_000_000), (1000, 20_000 if small else 200_000)):
            for batch in (256, 8192):
                title = f"gather, {width} classes, {count:,} rows, batches of {batch} [rows/s]"
                results[title] = gather(root / f"gather-{width}-{batch}", width, count, batch, rounds)
                show(title, results[title])
        for count in (2_000, 60_000 if small else 1_000_000):
            title = f"Stored.answer, batch of 128, {count:,} rows [us]"
            results[title] = step(root / f"step-{count}", count, rounds)
            show(title, results[title])
        for kind, (module, shape) in networks().items():
            count = {"CNN": 2_000, "MLP": 60_000}[kind] * (1 if small else 5)
            title = f"labelling, {kind}, {count:,} rows"
            results[title] = labelling(root / kind, module, shape, count, rounds)
            show(title, results[title])
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(results, indent=2) + "\n")
    return results


if __name__ == "__main__":
    try:
        main()
    except LimbeckError as error:
        raise SystemExit(str(error)) from None
