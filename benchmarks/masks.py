"""Nuclei under the microscope: python benchmarks/masks.py --data DIR [--out runs/masks] [--json].

DIR holds nuclei_fluo (train.parquet and test.parquet). 60 of 344 training images keep their masks, the teacher speaks
about the others. Runs recipes/nuclei_fluo.yaml: three students beside their controls, judged at 128x128 pixels over the
87 test images. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "nuclei_fluo.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/masks"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    from limbeck.core.console import Console
    from limbeck.recipe import Recipe
    from limbeck.stages import run_recipe

    started, worked = time.monotonic(), time.process_time()
    recipe = Recipe.from_yaml(RECIPE, base=args.data / "nuclei_fluo")
    run = run_recipe(recipe, out=args.out, console=Console())
    card, costs = run.scorecard["tasks"]["main"], run.scorecard["costs"]
    found = {
        "verdict": run.verdict,
        "gain": card["gain"],
        "retention": card["retention"],
        "arms": {arm: {m: e["value"] for m, e in entry["metrics"].items()} for arm, entry in card["arms"].items()},
        "agreement": card["fidelity"]["arms"]["student"]["agreement"],
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }
    print(json.dumps(found, indent=2) if args.json else f"{run}\n{json.dumps(found)}")


if __name__ == "__main__":
    main()
