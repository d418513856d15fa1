"""SciTLDR, a static student of MiniLM finds abstracts: python benchmarks/text_retrieval.py --data DIR.

DIR holds scitldr: a summary is the query, its abstract the document; texts and titles of the training rows are learned
alone too. `--model2vec PYTHON` sets model2vec's distillation of the same teacher beside it.
"""

from __future__ import annotations

import pandas as pd
import static_students as shared


def main() -> None:
    import limbeck as lb

    args = shared.arguments(__doc__ or "", "text_retrieval")
    splits = {}
    for name in ("train", "val", "test"):
        table = pd.read_parquet(args.data / "scitldr" / f"{name}.parquet")
        splits[name] = pd.DataFrame({"query": [said[0] for said in table.targets], "document": table.source})
    titles = shared.column(args.data, "scitldr", "train", "title")
    alone = [*titles, *splits["train"]["query"], *splits["train"]["document"]]
    data = lb.Data(
        train=splits["train"], validation=splits["val"], test=splits["test"], task="retrieval",
        unlabeled=list(dict.fromkeys(alone)),
    )  # fmt: skip
    objective = "0.1 * InfoNCE + 0.9 * ContrastiveKD"
    shared.shown(args, shared.judged(args, data, shared.teacher_network(), objective))


if __name__ == "__main__":
    main()
