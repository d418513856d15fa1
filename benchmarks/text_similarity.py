"""STS-B, a static student of MiniLM: python benchmarks/text_similarity.py --data DIR [--model2vec PYTHON].

DIR holds stsb, and multi30k_ende and ag_news, whose training rows give further texts; no test text is trained on.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import static_students as shared


def main() -> None:
    import limbeck as lb

    args = shared.arguments(__doc__ or "", "text_similarity")
    splits = {name: pd.read_parquet(args.data / "stsb" / f"{name}.parquet") for name in ("train", "val", "test")}
    tested = {text for name in ("val", "test") for text in (*splits[name].text1, *splits[name].text2)}
    draw = np.random.default_rng(0)
    more = [
        *splits["train"].text1,
        *splits["train"].text2,  # alone too: most of what a static student learns is which texts are near to which
        *draw.choice(shared.column(args.data, "multi30k_ende", "train", "en"), 6000, replace=False),
        *draw.choice(shared.column(args.data, "ag_news", "train", "title"), 4000, replace=False),
    ]
    data = lb.Data(
        train=splits["train"], validation=splits["val"], test=splits["test"], task="similarity",
        unlabeled=[text for text in dict.fromkeys(more) if text not in tested],
        columns=lb.Columns(inputs=("text1", "text2"), target="score"),
    )  # fmt: skip
    objective = "0.1 * CosineRegression + 0.9 * ContrastiveKD"
    shared.shown(args, shared.judged(args, data, shared.teacher_network(), objective))


if __name__ == "__main__":
    main()
