"""int8 on tables: every task is measured, options are refused before any work, nothing to quantise is said."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import limbeck as lb
from limbeck.compress.onnx_model import OnnxStudent
from limbeck.core.errors import ConfigError
from limbeck.core.run import Run
from limbeck.recipe import Recipe

PLAN = lb.TrainSpec(steps=40, batch_size=32)


def table(rows, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    frame["kind"] = np.where(frame["a"] + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    frame["price"] = 100 + 20 * frame["b"] + rng.normal(size=rows)
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = lb.Data(
        train=table(300, 0), test=table(200, 1), columns=lb.Columns(target={"kind": "kind", "price": "price"})
    )
    return lb.distill(
        "mlp(hidden=[32])", "mlp(hidden=[64])", data, train=PLAN, teacher_train=200, seeds=1, int8=True,
        out=tmp_path_factory.mktemp("int8") / "r",
    )  # fmt: skip


def test_every_task_is_measured(run):
    found, test = run.scorecard["int8"], table(200, 1)
    assert set(found["tasks"]) == {"kind", "price"} and found["tensors"] > 0
    quick = OnnxStudent(run.folder / "export" / "student.int8.onnx")
    assert found["tasks"]["kind"]["changed"]["value"] == pytest.approx(
        (quick.predict(test, "kind") == test["kind"]).mean()
    )
    card = found["tasks"]["price"]
    plain, said = run.answers(test)["price"], quick.answers(test)["price"]
    assert card["correlation"] == pytest.approx(np.corrcoef(plain[:, 0], said[:, 0])[0, 1], abs=1e-6)
    assert card["rmse_to_original"] == pytest.approx(float(np.sqrt(np.mean((plain - said) ** 2))), rel=1e-3)
    for page in ((run.folder / "report.html").read_text(), (run.folder / "report.md").read_text(), str(run)):
        assert page.count("exported, int8") == 2


def test_the_files_are_the_export_stage_s_own(run):
    files = json.loads((run.folder / "run.json").read_text())["stages"]["export"]["files"]
    assert {"export/student.int8.onnx", "export/int8.json"} <= set(files) and not Run.read(run.folder).verify()


def test_int8_without_onnx_is_refused_before_any_work(tmp_path):
    data = lb.Data(train=table(60, 0)[["a", "b", "kind"]], test=table(30, 1)[["a", "b", "kind"]], columns="kind")
    with pytest.raises(ConfigError, match=r"expected onnx=True, int8 is made of the ONNX file"):
        lb.distill("mlp", "mlp", data, onnx=False, int8=True, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()
    recipe = {
        "data": "digits",
        "teacher": "mlp",
        "student": "mlp",
        "export": {"onnx": False, "int8": True, "tolerance": 0},
    }
    with pytest.raises(ConfigError) as error:
        Recipe.from_dict(recipe)
    assert "expected onnx: true, int8 is made of the ONNX file" in str(error.value)
    assert "tolerance" in str(error.value)  # all at once


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, -1.0]))

    def forward(self, x):
        return x[:, :1] * self.scale


def test_a_student_with_nothing_to_quantise_says_so_and_the_run_goes_on(tmp_path):
    data = lb.Data(train=table(200, 0)[["a", "b", "kind"]], test=table(60, 1)[["a", "b", "kind"]], columns="kind")
    run = lb.distill(
        "mlp(hidden=[16])", Scaled(), data, train=PLAN, teacher_train=100, seeds=1, int8=True, out=tmp_path / "r"
    )
    assert run.status == "done" and run.scorecard["int8"]["bytes"]["int8"] is None
    assert not (run.folder / "export" / "student.int8.onnx").exists()
    assert "no int8: none of its operators has weights" in str(run)
