"""A whole distillation through limbeck against a script written by hand that does the same.

    python benchmarks/end_to_end.py [--quick] [--json FILE]

Made data (100 features, 10 classes), a torch teacher that is given. Both sides: standardise, let the teacher answer
the training rows and keep the answers on disk, train a student with 0.1 * CE + 0.9 * KD(temperature=4) and the same
student on labels alone (AdamW, cosine, 20 validations, best state kept), answer validation and test rows, save the
weights. One thread, CPU time of the process, rounds in changing order; the A/A control is the script against itself.
`whole` adds what the script does not do: the scorecard with its intervals, latency, ONNX with parity, the report.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

import limbeck as lb
from limbeck.core.runtime import keep_freed_memory

FEATURES, CLASSES, BATCH = 100, 10, 128
TEMPERATURE, HARD, SOFT = 4.0, 0.1, 0.9


def network(*hidden: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = FEATURES
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def made(count: int, seed: int, truth: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, FEATURES, generator=g)
    with torch.no_grad():
        y = (truth(x) + 0.3 * torch.randn(count, CLASSES, generator=g)).argmax(1)
    return x.numpy(), y.numpy()


def schedule(step: int, steps: int, peak: float) -> float:
    warm = round(0.05 * steps)
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    return peak * 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm)))


def arm_by_hand(
    x: torch.Tensor, y: torch.Tensor, answers: torch.Tensor | None, held: tuple[torch.Tensor, torch.Tensor], steps: int,
    seed: int,
) -> nn.Module:  # fmt: skip
    torch.manual_seed(seed)
    model = network(256, 128)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, fused=True)
    order, best, kept = torch.randperm(len(x)), -1.0, model.state_dict()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step, steps, 2e-3)
        start = step * BATCH % (len(x) - BATCH)
        index = order[start : start + BATCH]
        logits = model(x.index_select(0, index))
        loss = F.cross_entropy(logits, y.index_select(0, index))
        if answers is not None:
            soft = F.log_softmax(answers.index_select(0, index).float() / TEMPERATURE, dim=1)
            kl = F.kl_div(F.log_softmax(logits / TEMPERATURE, dim=1), soft, reduction="batchmean", log_target=True)
            loss = HARD * loss + SOFT * TEMPERATURE**2 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % (steps // 20) == 0:
            model.eval()
            with torch.no_grad():
                score = float((model(held[0]).argmax(1) == held[1]).float().mean())
            model.train()
            if score >= best:
                best, kept = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return model.eval()


def by_hand(splits: dict[str, Any], teacher: nn.Module, steps: int, seeds: int, folder: Path) -> None:
    x, y = splits["train"]
    mean, scale = x.mean(0), x.std(0)
    encoded = {name: torch.from_numpy((part[0] - mean) / scale) for name, part in splits.items()}
    labels = torch.from_numpy(y)
    with torch.no_grad():
        parts = [teacher(torch.from_numpy(x[at : at + 1024])) for at in range(0, len(x), 1024)]
    np.save(folder / "answers.npy", torch.cat(parts).half().numpy())
    stored = torch.from_numpy(np.load(folder / "answers.npy"))
    held = (encoded["validation"], torch.from_numpy(splits["validation"][1]))
    for seed in range(seeds):
        for name, answers in (("student", stored), ("control", None)):
            model = arm_by_hand(encoded["train"], labels, answers, held, steps, seed)
            with torch.no_grad():
                for split in ("validation", "test"):
                    np.save(folder / f"{split}-{name}-{seed}.npy", model(encoded[split]).numpy())
            save_file(model.state_dict(), folder / f"{name}-{seed}.safetensors")


def through_limbeck(
    splits: dict[str, Any], teacher: nn.Module, steps: int, seeds: int, folder: Path, until: str
) -> None:
    data = lb.Data(**splits)
    lb.distill(
        teacher, lambda: network(256, 128), data, objective=HARD * lb.CE() + SOFT * lb.KD(temperature=TEMPERATURE),
        train=lb.TrainSpec(steps=steps, batch_size=BATCH, learning_rate=2e-3), seeds=seeds, attribution=False,
        out=folder, until=until,
    )  # fmt: skip


def measure(subjects: dict[str, Callable[[Path], None]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    names = list(subjects)
    for number in range(rounds + 1):  # the first round warms up
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with tempfile.TemporaryDirectory() as folder:
                started = time.process_time()
                subjects[name](Path(folder))
                if number:
                    taken[name].append(time.process_time() - started)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    truth = network(32)
    splits = {name: made(count, seed, truth) for seed, (name, count) in enumerate(
        (("train", 20_000), ("validation", 4_000), ("test", 10_000)))}  # fmt: skip
    teacher = arm_by_hand(
        *(torch.from_numpy(part) for part in splits["train"]), None,
        tuple(torch.from_numpy(part) for part in splits["validation"]), 600, 7,
    )  # fmt: skip
    steps, seeds, rounds = 2_000, 3, 3 if options.quick else 9
    subjects: dict[str, Callable[[Path], None]] = {
        "script": lambda folder: by_hand(splits, teacher, steps, seeds, folder),
        "script again": lambda folder: by_hand(splits, teacher, steps, seeds, folder),
        "limbeck": lambda folder: through_limbeck(splits, teacher, steps, seeds, folder / "run", "train"),
        "whole": lambda folder: through_limbeck(splits, teacher, steps, seeds, folder / "run", "report"),
    }
    taken = measure(subjects, rounds)
    ratios = {
        name: sorted(a / b for a, b in zip(taken[name], taken["script"], strict=True)) for name in list(subjects)[1:]
    }
    found = {
        "script, seconds of CPU": float(np.median(taken["script"])),
        **{f"{name} / script": (float(np.median(r)), r[0], r[-1]) for name, r in ratios.items()},
        "whole - limbeck, seconds of CPU": float(
            np.median([a - b for a, b in zip(taken["whole"], taken["limbeck"], strict=True)])
        ),
        "rounds": rounds,
    }
    print(f"end to end, {seeds} seeds, student and control of {steps} steps each; median [lowest, highest] of {rounds}")
    for name, value in found.items():
        if isinstance(value, tuple):
            note = "  (A/A control)" if "again" in name else "  (goal <= 1.1)" if name.startswith("limbeck") else ""
            print(f"  {name:34s} {value[0]:.3f}  [{value[1]:.3f}, {value[2]:.3f}]{note}")
        elif name != "rounds":
            print(f"  {name:34s} {value:.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
