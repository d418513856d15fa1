"""Intent and slots: python benchmarks/text_joint.py --data DIR [--encoder DIR] [--rows 3000] [--quick] [--json].

DIR holds the folder snips (7 intents; slots as IOB2 tags of words). One network has both tasks: the teacher is a
pretrained encoder that limbeck fine-tunes (see text_ner.py), the student has two of its layers. `--rows` training rows
are taken, the first of the shuffled file. Prints metric, gain with its interval and verdict of each task, and the
entity F1 of the slots by seqeval.

Trained in bf16; teacher and students see the rows seven and six times. `--quick` takes a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from text_ner import encoder_folder, entity_scores, plan, some, student_of


def run(data_folder: Path, encoder: Path, out: Path, rows: int, quick: bool) -> dict[str, Any]:
    import pandas as pd

    import limbeck as lb
    from limbeck.core.console import Console

    folder = data_folder / "snips"
    meta = json.loads((folder / "meta.json").read_text())
    train = some(pd.read_parquet(folder / "train.parquet"), 120 if quick else rows)
    test = some(pd.read_parquet(folder / "test.parquet"), 40 if quick else None)
    data = lb.Data(
        train=train,
        test=test,
        validation_fraction=0.1,
        columns=lb.Columns(inputs=("tokens",), target={"intent": "label", "slots": "tags"}),
        task={"intent": "classification", "slots": "tagging"},
        classes={"intent": meta["classes"], "slots": meta["slot_tags"]},
    )
    started, spent = time.monotonic(), time.process_time()
    done = lb.distill(
        f"hf:{encoder}",
        student_of(encoder, out),
        data,
        teacher_train=plan(6 if quick else 700, quick, 3e-4),
        train=plan(3 if quick else 600, quick, 4e-4),
        seeds=3,
        onnx=False,
        out=out / ("quick" if quick else f"rows-{rows}"),
        ignore=("LB201",) if quick else (),
        console=Console(),
    )
    numbers = tuple(done.scorecard["seeds"])
    tasks = {}
    for head, card in done.scorecard["tasks"].items():
        name = card["metric"]["name"]
        tasks[head] = {
            "metric": name,
            "verdict": card["verdict"],
            "verdict_together": card["verdict_together"],
            "arms": {arm: entry["metrics"][name]["value"] for arm, entry in card["arms"].items()},
            "gain": card["gain"],
            "retention": card["retention"],
        }
    costs = done.scorecard["costs"]
    return {
        "set": "snips",
        "rows": {"train": len(train), "test": len(test)},
        "tasks": tasks,
        "seqeval": {
            "teacher": entity_scores(done.folder, data, "teacher", (0,), "slots"),
            **{arm: entity_scores(done.folder, data, arm, numbers, "slots") for arm in ("student", "control")},
        },
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
    }


def show(row: dict[str, Any]) -> None:
    """One result in words."""
    print(f"{row['set']}: {row['rows']['train']:,} training rows  ({row['seconds']} s, {row['cpu_seconds']} CPU s)")
    for head, task in row["tasks"].items():
        arms = "  ".join(f"{arm} {value:.4f}" for arm, value in task["arms"].items())
        gain = task["gain"]
        print(f"  {head}: {task['verdict']}; {task['metric']}: {arms}")
        print(f"    gain {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]")
    means = "  ".join(f"{arm} {np.mean(values):.4f}" for arm, values in row["seqeval"].items())
    print(f"  slots by seqeval: {means}")
    print(f"  parameters: teacher {row['parameters']['teacher']:,}, student {row['parameters']['student']:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/text_joint"))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    row = run(args.data, encoder_folder(args.encoder), args.out, args.rows, args.quick)
    print(json.dumps(row, indent=2)) if args.json else show(row)


if __name__ == "__main__":
    main()
