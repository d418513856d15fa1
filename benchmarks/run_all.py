"""The quick form of every benchmark, one after the other: python benchmarks/run_all.py [--data DIR] [--only NAME].

Quick forms show that a benchmark runs and roughly where it stands; the figures in README.md come from the full forms.
Those on real data are run only where --data names the folder that holds them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
QUICK = {
    "loop": ["--quick"],
    "end_to_end": ["--quick"],
    "transfer": ["--quick"],
    "intervals": ["--quick"],
    "placebo": ["--runs", "5"],
    "cross_validated": ["--runs", "10"],
    "streaming": [],
}
ON_DATA: dict[str, list[str]] = {
    "real_sets": [],
    "shapes": ["--only", "ucr_italypowerdemand"],
    "audio_fsdd": ["--set", "train.steps=20", "--set", "teacher.train.steps=20"],
    "two_tasks": ["--steps", "20", "--teacher-steps", "20"],
    "text_labelling": ["--quick"],
    "text_training": ["--quick"],
    "text_classification": ["--quick"],
    "text_ner": ["--quick"],
    "text_joint": ["--quick"],
    "text_translation": ["--quick"],
    "text_similarity": ["--steps", "20"],
    "text_retrieval": ["--steps", "20"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a folder with the sets that benchmarks on real data name")
    parser.add_argument("--only", choices=(*QUICK, *ON_DATA), action="append", help="leave the others out")
    options = parser.parse_args()
    chosen = {name: flags for name, flags in QUICK.items() if options.only is None or name in options.only}
    if options.data is not None:
        asked = [name for name in ON_DATA if options.only is None or name in options.only]
        chosen |= {name: ["--data", options.data, *ON_DATA[name]] for name in asked}
    failed = []
    for name, flags in chosen.items():
        print(f"== {name} {' '.join(flags)}", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, str(HERE / f"{name}.py"), *flags], check=False).returncode:
            failed.append(name)
        print(f"== {name} took {time.monotonic() - started:.0f} s\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
