"""Placebo: python benchmarks/placebo.py [--runs 40] [--json].

Digit runs in which both arms are the same: five students against five controls of other seeds, on a new split each
time; the teacher has a billionth of the weight. (With the same seeds the two would be equal row by row, which no test
could fail.) A verdict other than "no reliable difference" is a false one; the nominal rate is 5 %.
Then runs whose teacher's answers were permuted over the rows: they must never be credited as knowledge.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.evaluate.predictions import read

SEEDS, STEPS = 5, 300


def split(number: int):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(number).permutation(len(x))
    return x[order].astype(np.float32), y[order]


def placebo(number: int, folder: Path) -> str | None:
    """The verdict on five students against the controls of five other seeds."""
    x, y = split(number)
    first = 2 * SEEDS * number  # new initial weights each time: some of them are good ones on every split
    data = lb.Data(train=(x[:300], y[:300]), validation=(x[300:500], y[300:500]), test=(x[500:], y[500:]))
    lb.distill(
        "mlp(hidden=[32])",
        "mlp(hidden=[16])",
        data,
        objective=1.0 * lb.CE() + 1e-9 * lb.KD(temperature=1),
        onnx=False,
        train=lb.TrainSpec(steps=STEPS, batch_size=64, learning_rate=0.004),
        seeds=2 * SEEDS,
        seed=first,
        out=folder,
        teacher_train=200,
        until="train",
    )
    arms = {}
    middle, end = first + SEEDS, first + 2 * SEEDS
    for arm, seeds in (("student", range(first, middle)), ("control", range(middle, end))):
        found = read([folder / "predictions" / f"test-{arm}-{seed}.parquet" for seed in seeds])
        place = {tuple(key): i for i, key in enumerate(found.keys.tolist())}
        order = [place[tuple(key)] for key in data.test.keys.tolist()]
        arms[arm] = found.answers[arm]["main"][:, order]
    card = lb.judge(
        data.test.targets["main"],
        student=arms["student"],
        control=arms["control"],
        classes=data.tasks["main"].classes,
    )
    return card.verdict


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
        verdicts = [placebo(n, Path(folder) / f"placebo-{n}") for n in range(args.runs)]
        shuffled = [permuted(n, Path(folder) / f"permuted-{n}") for n in range(3)]
    false = sum(v != "no reliable difference" for v in verdicts)
    if args.json:
        print(json.dumps({"runs": args.runs, "false": false, "verdicts": verdicts, "permuted": shuffled}))
        return
    share = 100 * false / args.runs
    print(f"placebo: {false} of {args.runs} verdicts other than 'no reliable difference' ({share:.1f} %)")
    for line in shuffled:
        print(f"permuted answers: {line}")


if __name__ == "__main__":
    main()
