"""Write offers of a shop that does not exist as CSV: a title in words, numbers, and what is to be told from them.

    python examples/offers.py DIR

`category` can be read off the title alone, `price` needs words and numbers both. Of four training offers one carries a
label, of the category or of the price in turn; one in seven of these categories is wrong, as where people label in
haste. The cells of what is not known are empty.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

BY_WEIGHT = {"kitchen": 3.0, "garden": 1.5, "office": 2.0, "sport": 4.0}  # category: its price by weight
THINGS = {
    "kitchen": ["pan", "kettle", "knife", "bowl", "cup", "grater", "spoon", "jug", "whisk", "ladle", "plate", "oven"],
    "garden": ["rake", "spade", "hose", "pot", "seeds", "shears", "bench", "trellis", "mower", "fence", "hoe", "tap"],
    "office": ["pen", "stapler", "folder", "lamp", "pad", "ruler", "tray", "chair", "desk", "board", "marker", "clip"],
    "sport": ["ball", "racket", "rope", "mat", "weight", "mitt", "helmet", "net", "skates", "bat", "sled", "whistle"],
}
WORTH = {"plain": 0.0, "steel": 6.0, "oak": 12.0, "titanium": 25.0}  # what a material adds
EXTRAS = ["new", "in stock", "free returns", "best seller", "as seen on tv", "limited", "for you", "set of two"]
WRONG = 1 / 7


def offers(count: int, seed: int) -> pd.DataFrame:
    """Offers with both labels."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        category, material = str(draw.choice(list(THINGS))), str(draw.choice(list(WORTH)))
        weight, rating, used = draw.gamma(2.0, 1.5), int(draw.integers(1, 6)), bool(draw.random() < 0.3)
        words = [material, str(draw.choice(THINGS[category])), *draw.choice(EXTRAS, 2, replace=False)]
        price = (4 + BY_WEIGHT[category] * weight + WORTH[material]) * (0.6 if used else 1) * (0.85 + 0.05 * rating)
        rows.append({"title": " ".join(words), "weight": round(weight, 2), "rating": rating,
                     "state": "used" if used else "as new", "category": category,
                     "price": round(price * draw.normal(1, 0.1), 2)})  # fmt: skip
    return pd.DataFrame(rows)


def as_labelled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One offer in four with a label, of the category or of the price in turn, and some of the categories wrong."""
    draw, place = np.random.default_rng(seed), np.arange(len(frame)) % 8
    other = pd.Series(draw.choice(list(THINGS), len(frame)))
    category = frame.category.where(draw.random(len(frame)) > WRONG, other)
    return frame.assign(category=category.where(place == 0), price=frame.price.where(place == 4))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    as_labelled(offers(3200, 0), 10).to_csv(folder / "train.csv", index=False)
    offers(400, 1).to_csv(folder / "validation.csv", index=False)
    offers(1000, 2).to_csv(folder / "test.csv", index=False)
