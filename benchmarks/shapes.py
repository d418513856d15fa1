"""Answers of other shapes: python benchmarks/shapes.py --data DIR [--only wine_quality] [--out runs] [--json].

DIR holds one folder for each set: wine_quality (levels in order), etth1 (quantiles of 24 hours), the series of
ucr_basicmotions, ucr_osuleaf and ucr_italypowerdemand, the photos of sign_digits, and the labels of emotions_multilabel
and scene_multilabel. Prints the verdicts, intervals and every metric of the recipes
of the same names; a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = {  # recipes, and the folder of each where it has another name
    "wine_quality": "", "etth1": "", "ucr_basicmotions": "", "ucr_osuleaf": "", "ucr_italypowerdemand": "",
    "sign_digits": "", "emotions": "emotions_multilabel", "scene": "scene_multilabel",
}  # fmt: skip


def run(name: str, data: Path, out: Path) -> dict[str, object]:
    from limbeck.core.console import Console
    from limbeck.recipe import Recipe
    from limbeck.stages import run_recipe

    recipe = Recipe.from_yaml(RECIPES / f"{name}.yaml", base=data / (SETS[name] or name))
    started = time.monotonic()
    done = run_recipe(recipe, out=out / name, console=Console())
    card, costs = done.scorecard["tasks"]["main"], done.scorecard["costs"]
    values = {arm: {n: m["value"] for n, m in entry["metrics"].items()} for arm, entry in card["arms"].items()}
    return {
        "set": name,
        "verdict": done.verdict,
        "metric": card["metric"]["name"],
        "arms": values | {"trivial": card["trivial"]["metrics"]},
        "gain": card["gain"],
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=tuple(SETS), action="append")
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [run(name, args.data, args.out) for name in args.only or SETS]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        gain = row["gain"]
        print(f"{row['set']}: {row['verdict']}  ({row['seconds']} s; parameters {row['parameters']})")
        for arm, metrics in row["arms"].items():
            print(f"  {arm:8}  " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
        print(f"  gain in {row['metric']} {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]")


if __name__ == "__main__":
    main()
