"""A run that takes a second, for the tests that kill it, with small batches wherever something is answered."""

import json
from functools import cache, partial
from unittest import mock

import numpy as np
from sklearn.datasets import load_digits

import limbeck as lb
from limbeck.stages import label
from limbeck.transfer.label import label as label_rows

# what evaluation measures with a clock
MEASURED = ("costs", "findings", "smaller")


@cache
def small_data():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    return lb.Data(
        train=(x[:90], y[:90]), unlabeled=x[90:200], validation=(x[200:260], y[200:260]), test=(x[260:400], y[260:400])
    )


def small_run(folder):
    """Two seeds, four arms, a teacher that is trained too; 38 batches of answers, 156 steps."""
    plan = lb.TrainSpec(steps=12, batch_size=32, learning_rate=0.01, checkpoint_every=5, validate_every=6)
    with (
        mock.patch.object(label, "label_rows", partial(label_rows, batch_size=8, shard_rows=32)),
        mock.patch.object(label, "_BATCH", 16),
    ):
        return lb.distill(
            "mlp(hidden=[12])",
            "mlp(hidden=[6], dropout=0.2)",
            small_data(),
            objective="0.5 * CE + 0.5 * KD(temperature=auto)",
            train=plan,
            teacher_train=lb.TrainSpec(steps=60, checkpoint_every=25, learning_rate=0.02),
            seeds=2,
            out=folder,
        )


def content(folder):
    """What a run has come to: bytes of weights, answers, predictions and export, and the verdict of its scorecard."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in ("*/seed-*/model.safetensors", "teacher/**/*.safetensors", "transfer/**/*", "predictions/*")
        for path in sorted(folder.glob(pattern))
        if path.is_file() and path.name != ".lock"
    }
    found["onnx"] = (folder / "export" / "student.onnx").read_bytes()
    card = json.loads((folder / "scorecard.json").read_text())
    return found | {"scorecard": {name: value for name, value in card.items() if name not in MEASURED}}
