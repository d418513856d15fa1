"""Placebo: python benchmarks/placebo.py [--runs 40] [--json].

Digit runs in which both arms are the same, on a new split and with new seeds each time; the teacher has a billionth of
the weight. Two questions are asked of each run of ten seeds:

own     the run's own verdict, student against control of the same seeds, as a user reads it
halves  five controls against the five others, in all 126 ways: models that differ in nothing but their seeds

A verdict other than "no reliable difference" is a false one; the nominal rate of `halves` is 5 %.
Then runs whose teacher's answers were permuted over the rows: they must never be credited as knowledge.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.evaluate.predictions import read
from limbeck.evaluate.stats import gain, verdict_of

SEEDS, STEPS = 10, 300
SAME = "no reliable difference"


def split(number: int):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(number).permutation(len(x))
    return x[order].astype(np.float32), y[order]


def placebo(number: int, folder: Path) -> tuple[str | None, float]:
    """The verdict of a run whose teacher says nothing, and the share of false verdicts among halves of its controls."""
    x, y = split(number)
    first = SEEDS * number  # new initial weights each time: some of them are good ones on every split
    data = lb.Data(train=(x[:300], y[:300]), validation=(x[300:500], y[300:500]), test=(x[500:], y[500:]))
    run = lb.distill(
        "mlp(hidden=[32])",
        "mlp(hidden=[16])",
        data,
        objective=1.0 * lb.CE() + 1e-9 * lb.KD(temperature=1),
        onnx=False,
        train=lb.TrainSpec(steps=STEPS, batch_size=64, learning_rate=0.004),
        seeds=SEEDS,
        seed=first,
        out=folder,
        teacher_train=200,
        until="evaluate",
    )
    files = [folder / "predictions" / f"test-control-{seed}.parquet" for seed in range(first, first + SEEDS)]
    found = read(files)
    place = {tuple(key): i for i, key in enumerate(found.keys.tolist())}
    order = [place[tuple(key)] for key in data.test.keys.tolist()]
    right = found.answers["control"]["main"][:, order].argmax(-1) == data.test.targets["main"]
    return run.verdict, halves(right.astype(np.float64))


def halves(right: np.ndarray) -> float:
    """Share of verdicts among all ways to set half of the seeds against the others; `right` [seeds, rows]."""
    verdicts = []
    for some in itertools.combinations(range(SEEDS), SEEDS // 2):
        if 0 in some:  # the other half of the ways are these, the wrong way round
            others = [seed for seed in range(SEEDS) if seed not in some]
            verdicts.append(verdict_of(gain(right[list(some)], right[others]), SEEDS // 2))
    return float(np.mean([verdict != SAME for verdict in verdicts]))


def permuted(number: int, folder: Path) -> str:
    """What becomes of a teacher whose answers belong to other rows."""
    from sklearn.ensemble import ExtraTreesClassifier

    x, y = split(number)
    forest = ExtraTreesClassifier(100, random_state=0).fit(x[:300], y[:300])
    shuffle = np.random.default_rng(number)

    def teacher(rows: np.ndarray) -> np.ndarray:
        return forest.predict_proba(rows)[shuffle.permutation(len(rows))]

    data = lb.Data(
        train=(x[:150], y[:150]), unlabeled=x[150:600], validation=(x[600:700], y[600:700]), test=(x[700:], y[700:])
    )
    try:
        run = lb.distill(
            teacher, "mlp(hidden=[16])", data, train=STEPS, seeds=3, out=folder, onnx=False, ignore=("LB201", "LB204")
        )
    except ConfigError as err:
        return f"refused: {err.what}"
    return f"{run.verdict}: {run.scorecard['sentence']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [placebo(n, Path(folder) / f"placebo-{n}") for n in range(args.runs)]
        shuffled = [permuted(n, Path(folder) / f"permuted-{n}") for n in range(3)]
    own = sum(verdict != SAME for verdict, _ in found)
    share = float(np.mean([each for _, each in found]))
    if args.json:
        print(json.dumps({"runs": args.runs, "own": own, "halves": share, "permuted": shuffled}))
        return
    print(f"own: {own} of {args.runs} verdicts other than '{SAME}' ({100 * own / args.runs:.1f} %)")
    print(f"halves: {100 * share:.1f} % of {126 * args.runs} verdicts other than '{SAME}' (nominal 5 %)")
    for line in shuffled:
        print(f"permuted answers: {line}")


if __name__ == "__main__":
    main()
