"""Spoken digits: python benchmarks/audio_fsdd.py --data DIR [--what digits|speakers|strings] [--out runs] [--pilot].

DIR holds fsdd (train.npz and test.npz; the official split is by take). `digits` names the digit of a clip, `speakers`
the same with two of the six speakers in the test rows alone, `strings` transcribes two to four digits of one speaker
in a row, made of official training takes for training and of official test takes for the test (CTC). Writes the clips
as WAV files beside tables and runs the recipe of that name on them; validation clips are later takes of training
speakers (`speakers`: a speaker of their own). With --pilot the test rows are further training takes, on which
settings may be chosen. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RECIPES = Path(__file__).parents[1] / "recipes"
RATE = 8000
GAP = (0.05, 0.15)  # seconds of silence between the digits of a string
HELD = {"validation": (3,), "test": (4, 5)}  # speakers; of a pilot 2 and 3
VALIDATION, PILOT = (45, 50), (40, 45)  # official training takes
STRINGS = {"train": 1500, "validation": 200, "test": 300}


def clips_of(data: Path) -> tuple[list[np.ndarray], pd.DataFrame]:
    """All clips, and digit, speaker and take of each."""
    clips: list[np.ndarray] = []
    facts = []
    for split in ("train", "test"):
        stored = dict(np.load(data / "fsdd" / f"{split}.npz"))
        clips += [stored["audio"][start:stop] for start, stop in pairwise(stored["offsets"])]
        facts.append(pd.DataFrame({"digit": stored["label"], "speaker": stored["speaker"], "take": stored["take"]}))
    return clips, pd.concat(facts, ignore_index=True).astype(int)


def splits_of(facts: pd.DataFrame, what: str, pilot: bool) -> dict[str, np.ndarray]:
    """Positions of the clips of each split."""
    take, who = facts["take"], facts["speaker"]
    if what == "speakers":
        held = {"validation": (2,), "test": (3,)} if pilot else HELD
        found = {split: who.isin(speakers) for split, speakers in held.items()}
        found["train"] = ~who.isin((4, 5) if pilot else ()) & ~found["validation"] & ~found["test"]
    else:
        found = {"validation": take.between(VALIDATION[0], VALIDATION[1] - 1), "test": take < 5}
        found["train"] = (take >= 5) & ~found["validation"]
        if pilot:
            found["test"] = take.between(PILOT[0], PILOT[1] - 1)
            found["train"] &= ~found["test"]
    return {split: np.flatnonzero(mask) for split, mask in found.items()}


def write(folder: Path, split: str, clips: list[np.ndarray], labels: dict[str, list[Any]]) -> None:
    """The clips of a split as WAV files and their table."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    names = [f"{split}/{number:05}.wav" for number in range(len(clips))]
    for name, clip in zip(names, clips, strict=True):
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(clip.astype("<i2").tobytes())
    pd.DataFrame({"file": names, **labels}).to_csv(folder / f"{split}.csv", index=False)


def strings(
    clips: list[np.ndarray], facts: pd.DataFrame, rows: np.ndarray, count: int, seed: int
) -> tuple[list[np.ndarray], list[str]]:
    """Strings of two to four digits of one speaker, with silence between them, and what they say."""
    draw = np.random.default_rng(seed)
    own = facts.iloc[rows]
    made, texts = [], []
    for _ in range(count):
        mine = rows[(own["speaker"] == draw.choice(own["speaker"].unique())).to_numpy()]
        chosen = draw.choice(mine, draw.integers(2, 5))
        parts: list[np.ndarray] = []
        for i in chosen:
            parts += [clips[i], np.zeros(int(draw.uniform(*GAP) * RATE), dtype=np.int16)]
        made.append(np.concatenate(parts[:-1]))
        texts.append(" ".join(str(facts["digit"][i]) for i in chosen))
    return made, texts


def prepare(data: Path, what: str, folder: Path, pilot: bool) -> None:
    """Write the folder that the recipe reads."""
    clips, facts = clips_of(data)
    for seed, (split, rows) in enumerate(sorted(splits_of(facts, what, pilot).items())):
        if what == "strings":
            made, texts = strings(clips, facts, rows, STRINGS[split], seed)
            write(folder, split, made, {"text": list(texts)})
        else:
            write(folder, split, [clips[i] for i in rows], {"digit": facts["digit"][rows].tolist()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--what", choices=("digits", "speakers", "strings"), default="digits")
    parser.add_argument("--out", type=Path, default=Path("runs/fsdd"))
    parser.add_argument("--pilot", action="store_true", help="test rows are training takes or speakers")
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, KEY=VALUE")
    args = parser.parse_args()
    from limbeck.core.console import Console
    from limbeck.recipe import Recipe
    from limbeck.stages import run_recipe

    name = args.what + ("_pilot" if args.pilot else "")
    folder = args.out / f"{name}_clips"
    if not (folder / "validation.csv").exists():
        prepare(args.data, args.what, folder, args.pilot)
    started = time.monotonic()
    recipe = Recipe.from_yaml(RECIPES / f"fsdd_{args.what}.yaml", args.set, base=folder)
    done = run_recipe(recipe, out=args.out / name, console=Console(), overwrite=bool(args.set))
    print(done)
    card: dict[str, Any] = done.scorecard["tasks"]["main"]
    costs = done.scorecard["costs"]
    print(json.dumps({
        "what": name, "seconds": round(time.monotonic() - started), "verdict": done.verdict, "gain": card["gain"],
        "metrics": {arm: {m: v["value"] for m, v in each["metrics"].items()} for arm, each in card["arms"].items()},
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "real_time_factor": {arm: costs[arm].get("real_time_factor") for arm in ("teacher", "student")},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
