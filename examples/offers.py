"""Write offers of a shop that does not exist as CSV: a title in words, numbers, and what is to be told from them.

    python examples/offers.py DIR

`category` can be read off the title alone, `price` needs words and numbers both. Of four training offers one carries
labels; half of those know the category only, half the price only: the cells of what is not known are empty.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

THINGS = {  # category: what is sold, its price by weight
    "kitchen": (["pan", "kettle", "knife", "bowl", "cup", "grater", "spoon", "jug"], 3.0),
    "garden": (["rake", "spade", "hose", "pot", "seeds", "shears", "bench", "trellis"], 1.5),
    "office": (["pen", "stapler", "folder", "lamp", "desk pad", "ruler", "tray", "chair"], 2.0),
    "sport": (["ball", "racket", "rope", "mat", "weight", "glove", "helmet", "net"], 4.0),
}
WORTH = {"plain": 0.0, "steel": 6.0, "oak": 12.0, "titanium": 25.0}  # what a material adds
EXTRAS = ["new", "in stock", "free returns", "best seller", "as seen on tv", "limited", "for you", "set of two"]


def offers(count: int, seed: int) -> pd.DataFrame:
    """Offers with both labels."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        category = str(draw.choice(list(THINGS)))
        things, by_weight = THINGS[category]
        material, weight, rating = str(draw.choice(list(WORTH))), draw.gamma(2.0, 1.5), draw.integers(1, 6)
        words = [material, str(draw.choice(things)), *draw.choice(EXTRAS, 2, replace=False)]
        used = bool(draw.random() < 0.3)
        price = (4 + by_weight * weight + WORTH[material]) * (0.6 if used else 1) * (0.85 + 0.05 * rating)
        rows.append({"title": " ".join(words), "weight": round(weight, 2), "rating": rating,
                     "state": "used" if used else "as new", "category": category,
                     "price": round(price * draw.normal(1, 0.05), 2)})  # fmt: skip
    return pd.DataFrame(rows)


def without_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """One offer in four with a label, of the category or of the price in turn."""
    place = np.arange(len(frame)) % 8
    return frame.assign(category=frame.category.where(place == 0), price=frame.price.where(place == 4))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    without_labels(offers(2400, 0)).to_csv(folder / "train.csv", index=False)
    offers(400, 1).to_csv(folder / "validation.csv", index=False)
    offers(1000, 2).to_csv(folder / "test.csv", index=False)
