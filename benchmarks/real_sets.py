"""Real sets, whole runs: python benchmarks/real_sets.py --data DIR [--only adult] [--out runs] [--json].

DIR holds one folder for each set: fashion_mnist, adult, california_housing. Prints the verdicts and intervals of the
recipes of the same names; a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = ("adult", "california_housing", "fashion_mnist")


def run(name: str, data: Path, out: Path) -> dict[str, object]:
    from limbeck.core.console import Console
    from limbeck.recipe import Recipe
    from limbeck.stages import run_recipe

    recipe = Recipe.from_yaml(RECIPES / f"{name}.yaml", base=data / name)
    started = time.monotonic()
    done = run_recipe(recipe, out=out / name, console=Console())
    card = done.scorecard["tasks"]["main"]
    costs = done.scorecard["costs"]
    return {
        "set": name,
        "verdict": done.verdict,
        "sentence": done.scorecard["sentence"],
        "metric": card["metric"]["name"],
        "arms": {arm: entry["metrics"][card["metric"]["name"]]["value"] for arm, entry in card["arms"].items()},
        "gain": card["gain"],
        "retention": card["retention"],
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=SETS, action="append")
    parser.add_argument("--out", type=Path, default=Path("runs/real_sets"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [run(name, args.data, args.out) for name in args.only or SETS]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        arms = "  ".join(f"{arm} {value:.4f}" for arm, value in row["arms"].items())
        gain = row["gain"]
        print(f"{row['set']}: {row['verdict']}  ({row['seconds']} s)")
        print(f"  {row['metric']}: {arms}")
        print(f"  gain {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]; {row['sentence']}")


if __name__ == "__main__":
    main()
