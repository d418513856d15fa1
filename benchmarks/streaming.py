"""Labelling and training from a stream ten times larger than the memory that the process may take.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py [--what texts] [--megabytes 600] [--out results.json]

Makes tar shards of images (64 x 64 x 3 bytes) or of texts (1.5 to 10 kB), starts a process, lets it go through a tiny
run of the same kind, so that what libraries take for themselves is there, and then limits it: RLIMIT_DATA is set to
what it has now (VmData) plus a tenth of the bytes of the stream. That limit counts what a process may write to (heap,
anonymous mappings, stacks), whether it is resident or not; RLIMIT_AS would count the gigabytes of addresses that torch
reserves, too. An allocation beyond it fails, so a run that comes to its end has kept to it. In the limited process the
teacher answers every row of the stream, and a student sees every row once. Resident memory is sampled all the while
(RssAnon and RssFile of /proc/self/status), at the full size and at a quarter of it: flat means that both are alike.
As a check that the limit is one, the same rows are read into an array under it, which must fail.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 64
ROW = SIDE * SIDE * 3
SHARD = 1024  # rows
EPOCH_BATCH = 64
SHARE = 10  # the limit is a tenth of the stream
TEXT = 6000  # bytes of a text, on average
WORDS = [f"word{number}" for number in range(500)]


def images(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one brighter quarter, which is the class."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 4, rows)
    x = draw.integers(0, 180, (rows, SIDE, SIDE, 3), dtype=np.uint8)
    half = SIDE // 2
    for row, quarter in enumerate(y):
        down, right = half * (quarter // 2), half * (quarter % 2)
        x[row, down : down + half, right : right + half] += 40
    return x, y


def write_shard(path: Path, first: int, rows: int) -> None:
    """One tar of images as .npy members."""
    x, _ = images(rows, first + 1)
    with tarfile.open(path, "w") as tar:
        for row in range(rows):
            buffer = io.BytesIO()
            np.save(buffer, x[row])
            info = tarfile.TarInfo(f"{first + row:08d}.npy")
            info.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(info, buffer)


def teacher(inputs: np.ndarray) -> np.ndarray:
    """Logits [N, 4] from the brightness of the quarters."""
    half = SIDE // 2
    pixels = np.asarray(inputs).reshape(-1, SIDE, SIDE, 3)
    quarters = [
        pixels[:, down : down + half, right : right + half].mean(axis=(1, 2, 3), dtype=np.float32)
        for down in (0, half)
        for right in (0, half)
    ]
    return np.stack(quarters, axis=1) / 4


def texts(rows: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Words by chance, of which a quarter belongs to the class."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 4, rows)
    names = np.array(WORDS)
    found = []
    for label in y:
        length = int(draw.integers(TEXT // 4, 7 * TEXT // 4)) // 8
        words = names[draw.integers(0, len(WORDS), length)]
        own = draw.random(length) < 0.25
        words[own] = f"class{label}"
        found.append(" ".join(words))
    return found, y


def write_texts(path: Path, first: int, rows: int) -> None:
    """One tar of texts as .txt members."""
    made, _ = texts(rows, first + 1)
    with tarfile.open(path, "w") as tar:
        for row, text in enumerate(made):
            info = tarfile.TarInfo(f"{first + row:08d}.txt")
            data = text.encode()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def text_teacher(inputs: Any) -> np.ndarray:
    """Logits [N, 4] from the share of the words of each class."""
    column = inputs.iloc[:, 0]
    counts = [[text.count(f"class{label}") for label in range(4)] for text in column]
    sizes = np.array([max(len(text), 1) for text in column])
    return (np.array(counts) * 200 / sizes[:, None]).astype(np.float32)


class Sampler(threading.Thread):
    """Resident memory of this process over time, with the phase it was in."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.phase, self.rows, self.over = "start", [], False  # type: ignore[var-annotated]

    def run(self) -> None:
        """Sample until it is over."""
        while not self.over:
            self.rows.append((self.phase, memory("RssAnon"), memory("RssFile")))
            time.sleep(0.02)


def memory(name: str) -> int:
    """Bytes of one entry of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def one_run(what: str, shards: str, folder: Path, steps: int, sampler: Sampler | None) -> Any:
    """A whole run with the shards as unlabelled rows."""
    import pandas as pd

    import limbeck as lb

    def phase(name: str) -> None:
        if sampler is not None:
            sampler.phase = name

    phase("read")
    given, y = images(512, 0) if what == "images" else texts(512, 0)
    x: Any = given if what == "images" else pd.DataFrame({"text": given})
    asked = teacher if what == "images" else text_teacher
    student = "mlp(hidden=[16])" if what == "images" else "bag_of_words(dim=8)"
    data = lb.Data(
        train=(x[:256], y[:256]), validation=(x[256:384], y[256:384]), test=(x[384:], y[384:]),
        unlabeled=lb.Stream(shards, cache=folder / "cache"),
    )  # fmt: skip
    phase("label")
    lb.label(lb.Teacher(asked, inputs="raw", output="logits"), data, out=folder / "answers")
    phase("train")
    plan = lb.TrainSpec(
        steps=steps, batch_size=EPOCH_BATCH, unlabeled_batch=EPOCH_BATCH, validate_every=max(steps // 4, 1)
    )
    return lb.distill(
        lb.Teacher(asked, inputs="raw", output="logits"), student, data, train=plan, seeds=1, onnx=False,
        attribution=False, until="evaluate", out=folder / "run",
    )  # fmt: skip


def child(what: str, shards: Path, rows: int, limited: int) -> None:
    """The process that is limited; prints what it measured."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=shards.parent) as base:
        few = Path(base) / "few"
        few.mkdir()
        (write_shard if what == "images" else write_texts)(few / "few.tar", 10**7, 300)
        one_run(what, str(few / "few.tar"), few, 4, None)
        allowed = memory("VmData") + limited
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
        sampler = Sampler()
        before = memory("RssAnon")
        sampler.start()
        started = time.process_time()
        run = one_run(
            what,
            str(shards / "{000..999}.tar".replace("999", f"{rows // SHARD - 1:03d}")),
            Path(base),
            rows // EPOCH_BATCH,
            sampler,
        )
        sampler.over = True
        try:
            whole: Any = np.zeros((rows, ROW if what == "images" else TEXT), dtype=np.uint8)
            refused = len(whole) < 0
        except MemoryError:
            refused = True
        answers = json.loads((Path(base) / "run" / "run.json").read_text())["stages"]["label"]["facts"]["answers"]
        score = run.scorecard["tasks"]["main"]["arms"]["student"]["metrics"]["accuracy"]["value"]
        print(json.dumps({
            "rows": rows, "bytes": rows * (ROW if what == "images" else TEXT), "limit": limited, "before": before,
            "cpu": time.process_time() - started,
            "samples": sampler.rows, "refused": refused, "answers": answers, "accuracy": score,
        }))  # fmt: skip


def curve(found: dict[str, Any]) -> list[str]:
    """Growth of resident memory by phase, in lines."""
    names = ("start", "25 %", "50 %", "75 %", "end", "max", "file")
    lines = [f"{'phase':<8}{'samples':>8}" + "".join(f"{name:>9}" for name in names) + "  (MB over the start)"]
    for phase in ("read", "label", "train"):
        part = np.array([(anon, file) for name, anon, file in found["samples"] if name == phase], dtype=np.float64)
        if len(part):
            grown = (part[:, 0] - found["before"]) / 1e6
            at = [grown[int(share * (len(grown) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)]
            lines.append(
                f"{phase:<8}{len(part):>8}" + "".join(f"{v:>9.1f}" for v in (*at, grown.max(), part[:, 1].max() / 1e6))
            )
    return lines


def in_words(name: str, found: dict[str, Any]) -> str:
    """What was done under which limit."""
    array = "refused" if found["refused"] else "NOT refused: the limit is none"
    return (
        f"\n{name}: {found['rows']:,} rows, {found['bytes'] / 1e6:,.0f} MB in tar shards, limit "
        f"{found['limit'] / 1e6:.0f} MB over what the process had; {found['answers']:,} rows answered, "
        f"{found['cpu']:.0f} s of CPU, student {found['accuracy']:.3f}; the rows as one array: {array}"
    )


def main() -> None:
    """Make shards, run both sizes, print the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("images", "texts"), default="images")
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("SHARDS", "ROWS", "LIMIT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.what, Path(asked.child[0]), int(asked.child[1]), int(asked.child[2]))
        return
    size = ROW if asked.what == "images" else TEXT
    shards = max(asked.megabytes * 10**6 // (SHARD * size) // 4 * 4, 4)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "shards"
        folder.mkdir()
        for shard in range(shards):
            (write_shard if asked.what == "images" else write_texts)(folder / f"{shard:03d}.tar", shard * SHARD, SHARD)
        limit = shards * SHARD * size // SHARE
        for name, count in (("a quarter", shards // 4), ("whole", shards)):
            done = subprocess.run(
                [sys.executable, __file__, "--what", asked.what,
                 "--child", str(folder), str(count * SHARD), str(limit)],
                capture_output=True, text=True, env=os.environ | {"LIMBECK_CACHE": base}, check=False,
            )  # fmt: skip
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            results[name] = found
            print("\n".join([in_words(name, found), *curve(found)]))
        peaks = [max(anon for _, anon, _ in found["samples"]) - found["before"] for found in results.values()]
        print(f"\npeak over the start: {peaks[0] / 1e6:.1f} MB of a quarter, {peaks[1] / 1e6:.1f} MB of the whole")
    if asked.out:
        asked.out.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
