"""Text and table in, two tasks out: one recipe, one student, a verdict for each task.

    python examples/text_and_table.py DIR

Writes offers of a shop (offers.py) into DIR and runs recipes/text_and_table.yaml on them.
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from limbeck.recipe import Recipe
from limbeck.stages import run_recipe

here, folder = Path(__file__).parent, Path(sys.argv[1])
subprocess.run([sys.executable, str(here / "offers.py"), str(folder)], check=True)
recipe = Recipe.from_yaml(here.parent / "recipes" / "text_and_table.yaml", sys.argv[2:], base=folder)
run = run_recipe(recipe, out=folder / "run")
for name, task in run.scorecard["tasks"].items():
    gain, metric = task["gain"], task["metric"]["name"]
    print(f"{name}\t{task['verdict']}\t{metric} {gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})")
offer = pd.DataFrame({"title": ["oak bench for you new"], "weight": [4.0], "rating": [5], "state": ["as new"]})
print(offer.title[0], run.predict(offer, "category")[0], round(float(run.predict(offer, "price")[0]), 2), sep="\t")
