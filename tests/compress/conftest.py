"""Small students on every kind of input, exported once for all tests."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from limbeck.compress.export import export_onnx
from limbeck.data.keys import row_keys
from limbeck.data.preprocess import Preprocess
from limbeck.data.rows import Rows
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.models.zoo import build


def rows_of(kind, inputs):
    return Rows(kind, inputs, row_keys(kind, inputs))


def table(rows=60, seed=0):
    """Numbers with holes, a constant column, text with holes, booleans, and columns named as outputs are."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, rows).astype(float),
            "income": rng.lognormal(10, 1, rows),
            "label": rng.normal(size=rows),
            "same": np.ones(rows),
            "colour": rng.choice(["red", "green", "blau, hell"], rows),
            "logits": rng.choice(["x", "y"], rows),
            "member": rng.random(rows) < 0.5,
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::5, "colour"] = None
    return frame


@dataclass
class Case:
    kind: str
    train: object
    test: object
    tasks: dict
    model: str


def _cases():
    rng = np.random.default_rng(1)
    unseen = table(20, seed=2)
    unseen.loc[3, "colour"], unseen.loc[4, "logits"], unseen.loc[5, "age"] = "violet", "z", np.nan
    images = rng.integers(0, 256, (40, 12, 10), dtype=np.uint8)
    colours = rng.random((40, 8, 8, 3)).astype(np.float32)
    holes = rng.normal(3, 50, (40, 6))
    holes[::4, 2], holes[:, 5] = np.nan, 7.0
    three, labels = Classification(("cat", "dog", "owl")), MultiLabel(("sun", "rain"))
    real = Regression(("price", "size"), (100.0, -3.0), (40.0, 0.1))
    return {
        "table": Case("table", table(), unseen, {"main": three}, "mlp(hidden=[16], dropout=0.3)"),
        "array": Case("array", holes, holes[:21], {"kind": three, "weather": labels, "cost": real}, "mlp(hidden=[16])"),
        "gray": Case("image", images, images[:15], {"main": labels}, "cnn(width=4, depth=2)"),
        "colour": Case("image", colours, colours[:15], {"main": real}, "cnn(width=4, depth=2)"),
    }


CASES = _cases()


@pytest.fixture(scope="session", params=list(CASES))
def shipped(request, tmp_path_factory):
    """A student in eval mode, its preprocessing and its exported file."""
    case = CASES[request.param]
    torch.manual_seed(0)
    preprocess = Preprocess.fit(rows_of(case.kind, case.train))
    student = build(case.model, tuple(preprocess.shape), {h: t.size for h, t in case.tasks.items()}).eval()
    path = tmp_path_factory.mktemp("export") / f"{request.param}.onnx"
    export_onnx(student, preprocess, case.tasks, path, example=case.test, metadata={"note": "für später"})
    return SimpleNamespace(
        name=request.param, path=path, student=student, preprocess=preprocess, tasks=case.tasks, inputs=case.test
    )
