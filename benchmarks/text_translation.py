"""Translation, a whole run: python benchmarks/text_translation.py --data DIR [--quick] [--rows N] [--json].

DIR holds the folder multi30k_ende (train, val and test as Parquet with the columns de and en). German is translated to
English, all texts lower-cased, with 2,000 sub-words that teacher and students share. The teacher is trained here and
writes for every training source once, with a beam of 4; students of a fifth of its size learn from its texts, their
controls from the references, in the same number of steps. Prints sacreBLEU of all arms, the gain and the verdict. A
run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

SET = "multi30k_ende"
VOCABULARY = "vocabulary=2000, max_length=60"
TEACHER = f"seq2seq(d_model=192, layers=3, decoder_layers=2, heads=4, ffn=384, {VOCABULARY})"
STUDENT = f"seq2seq(d_model=96, layers=2, decoder_layers=1, heads=4, ffn=192, {VOCABULARY})"
STEPS, TEACHER_STEPS, SEEDS = 1600, 3400, 3
QUICK = {"rows": 600, "test": 100, "steps": 40, "teacher_steps": 80}


def texts(data: Path, split: str, rows: int | None):
    """One split as a table of sources and targets, lower-cased."""
    import pandas as pd

    frame = pd.read_parquet(data / SET / f"{split}.parquet")[["de", "en"]]
    frame = frame if rows is None else frame.iloc[:rows]
    return frame.apply(lambda column: column.str.lower())


def run(args: argparse.Namespace) -> dict[str, object]:
    import limbeck as lb
    from limbeck.core.console import Console

    rows, held = (QUICK["rows"], QUICK["test"]) if args.quick else (args.rows, None)
    data = lb.Data(
        train=texts(args.data, "train", rows), validation=texts(args.data, "val", held),
        test=texts(args.data, "test", held), task="generation", columns=lb.Columns(inputs=("de",), target="en"),
    )  # fmt: skip
    steps, teacher_steps = (QUICK["steps"], QUICK["teacher_steps"]) if args.quick else (STEPS, TEACHER_STEPS)
    wall, cpu = time.monotonic(), time.process_time()
    done = lb.distill(
        TEACHER, STUDENT, data, objective=args.objective,
        train=lb.TrainSpec(steps=steps, batch_size=64, learning_rate=4e-3, warmup=0.1, clip=1.0),
        teacher_train=lb.TrainSpec(steps=teacher_steps, batch_size=64, learning_rate=2.5e-3, warmup=0.1, clip=1.0),
        seeds=SEEDS, ignore=("LB201",) if args.quick else (), name="translation",
        out=args.out / "translation", console=Console(),
    )  # fmt: skip
    card = done.scorecard["tasks"]["main"]
    stages = json.loads((done.folder / "run.json").read_text())["stages"]
    return {
        "set": SET,
        "training_rows": len(data.train),
        "objective": args.objective,
        "verdict": done.verdict,
        "sentence": done.scorecard["sentence"],
        "arms": {arm: entry["metrics"]["bleu"] for arm, entry in card["arms"].items()},
        "gain": card["gain"],
        "bleu_against_teacher": {arm: entry["bleu"] for arm, entry in card["fidelity"]["arms"].items()},
        "parameters": {arm: done.scorecard["costs"][arm]["parameters"] for arm in ("teacher", "student")},
        "texts_dropped": stages["train"]["facts"]["writing"],
        "stage_seconds": {name: round(stage["seconds"], 1) for name, stage in stages.items()},
        "seconds": round(time.monotonic() - wall, 1),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 1),
        "examples": card["examples"][:3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/text_translation"))
    parser.add_argument("--objective", default="SequenceKD", help="for example 'CE + SequenceKD + KD(temperature=1)'")
    parser.add_argument("--rows", type=int, help="training pairs, the first ones; all without it")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; no result")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    row = run(args)
    if args.json:
        print(json.dumps(row, indent=2, ensure_ascii=False))
        return
    print(f"{row['set']}: {row['verdict']} ({row['cpu_minutes']} CPU minutes, {row['training_rows']} training pairs)")
    for arm, bleu in row["arms"].items():
        print(f"  {arm}: sacreBLEU {100 * bleu['value']:.2f} ({100 * bleu['low']:.2f}-{100 * bleu['high']:.2f})")
    gain = row["gain"]
    print(f"  gain {100 * gain['value']:+.2f} [{100 * gain['low']:+.2f}, {100 * gain['high']:+.2f}]; {row['sentence']}")


if __name__ == "__main__":
    main()
