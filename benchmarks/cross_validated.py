"""How far verdicts with folds hold, by simulation: python benchmarks/cross_validated.py [--runs 1000] [--json FILE].

Both arms are small networks with fixed random features and a ridge layer that is fitted on the rows of the other folds;
seeds draw the random features. The arms are the same in expectation over data sets, so that every verdict other than
"no reliable difference" is a false one. Three worlds:

seeds   arms differ in their seeds alone
noise   each arm sees four features of its own that say nothing: one training set makes one arm worse, another the other
views   each arm sees measurements of its own of the same thing: what an arm knows is drawn with the data set, and is
        shared by all its seeds and folds. This is where the overlap of training sets shows

Each data set is judged three ways: as if rows were free of each other ("plain"), with the variance over rows times
1 + k / (k - 1) as limbeck does ("crossed"; Nadeau and Bengio, Machine Learning 2003), and with the partition drawn anew
for each seed ("repeated", plain): repeating alone does not mend it. "helps" is the share of verdicts "helped" of
`crossed` and `plain` where the control sees six useless features more.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.evaluate.components import crossed
from limbeck.evaluate.stats import gain, verdict_of

Array = np.ndarray[Any, Any]

SEEDS, HIDDEN, RIDGE = 5, 12, 0.3
WORLDS = ("seeds", "noise", "views")
CELLS = ((30, 5), (40, 5), (80, 5), (80, 10), (200, 5))  # rows, folds
SAME, GOAL = "no reliable difference", 6.0


def deal(y: Array, folds: int, rng: np.random.Generator) -> Array:
    """The fold of each row, classes spread over the folds."""
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order] > 0, kind="stable")]
    of = np.empty(len(y), dtype=int)
    of[order] = np.arange(len(y)) % folds
    return of


def answers(x: Array, y: Array, new: Array, seed: list[int]) -> Array:
    """A network with random features of a seed, its last layer fitted on (x, y), asked about new rows."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((x.shape[1], HIDDEN)) / np.sqrt(x.shape[1])
    shift = 0.3 * rng.standard_normal(HIDDEN)
    known, asked = (np.c_[np.tanh(rows @ weights + shift), np.ones(len(rows))] for rows in (x, new))
    return asked @ np.linalg.solve(known.T @ known + RIDGE * np.eye(HIDDEN + 1), known.T @ y)


def draw(world: str, rows: int, rng: np.random.Generator, worse: int = 0) -> tuple[list[Array], Array]:
    """What each arm sees of the rows, and their labels -1 and 1; the control sees `worse` useless features more."""
    x, way = rng.standard_normal((rows, 5)), rng.standard_normal(5)
    signal = x @ way / np.linalg.norm(way)
    y = np.where(signal + 0.5 * rng.standard_normal(rows) > 0, 1.0, -1.0)
    if world == "seeds":
        seen = [x, x]
    elif world == "noise":
        seen = [np.c_[x, rng.standard_normal((rows, 4))] for _ in range(2)]
    else:
        seen = [signal[:, None] + 1.2 * rng.standard_normal((rows, 3)) for _ in range(2)]
    if worse:
        seen[1] = np.c_[seen[1], rng.standard_normal((rows, worse))]
    return seen, y


def rights(seen: list[Array], y: Array, folds: int, number: int, world: str, repeat: bool) -> Array:
    """Rights and wrongs [2, S, N] of both arms, each row answered by the models of the other folds."""
    rng = np.random.default_rng([number, 1])
    once, out = deal(y, folds, rng), np.empty((2, SEEDS, len(y)))
    for seed in range(SEEDS):
        of = deal(y, folds, rng) if repeat else once
        for fold in range(folds):
            test = of == fold
            for arm in range(2):
                own = [number, seed, arm if world == "seeds" else 0]
                said = answers(seen[arm][~test], y[~test], seen[arm][test], own)
                out[arm, seed, test] = (said > 0) == (y[test] > 0)
    return out


def cell(world: str, rows: int, folds: int, runs: int, seed: int) -> dict[str, Any]:
    """Shares of verdicts in percent over many data sets."""
    ways = {"plain": (False, 1.0), "crossed": (False, crossed(folds)), "repeated": (True, 1.0)}
    false, helped, width = dict.fromkeys(ways, 0), dict.fromkeys(("plain", "crossed"), 0), dict.fromkeys(ways, 0.0)
    for run in range(runs):
        number = 100_000 * seed + run
        seen, y = draw(world, rows, np.random.default_rng([number, rows, folds]))
        said = {repeat: rights(seen, y, folds, number, world, repeat) for repeat in (False, True)}
        for way, (repeat, overlap) in ways.items():
            found = gain(*said[repeat], overlap=overlap)
            false[way] += verdict_of(found, SEEDS) != SAME
            width[way] += (found.high - found.low) / runs
        seen, y = draw(world, rows, np.random.default_rng([number, rows, folds, 7]), worse=6)
        better = rights(seen, y, folds, number, world, False)
        for way in helped:
            helped[way] += verdict_of(gain(*better, overlap=ways[way][1]), SEEDS) == "helped"
    share = {f"false_{way}": 100 * count / runs for way, count in false.items()}
    share |= {f"helped_{way}": 100 * count / runs for way, count in helped.items()}
    return {"world": world, "rows": rows, "folds": folds, **share, "width": {way: width[way] for way in ways}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="data sets a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{options.runs} data sets a cell, {SEEDS} seeds; false verdicts in %, and verdicts 'helped' where it does")
    print("world   rows  folds   plain  crossed  repeated   helps: plain  crossed")
    found = []
    for world in WORLDS:
        for rows, folds in CELLS:
            row = cell(world, rows, folds, options.runs, options.seed)
            found.append(row)
            print(
                f"{world:6}  {rows:4}  {folds:5}  {row['false_plain']:6.1f}  {row['false_crossed']:7.1f}  "
                f"{row['false_repeated']:8.1f}  {row['helped_plain']:13.1f}  {row['helped_crossed']:7.1f}",
                flush=True,
            )
    high = [row for row in found if row["false_crossed"] > GOAL]
    print(f"at most {GOAL:g} % false verdicts (crossed): {len(found) - len(high)} of {len(found)} cells")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
