"""Teachers that know nothing are refused, those that know no more than the control are named, noise gets no credit."""

import numpy as np
import pandas as pd
import pytest
import torch
from e2e_runs import Trained, consistent, distil
from torch import nn

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Classification
from limbeck.evaluate import scorecard
from limbeck.evaluate.evidence import Evidence

NOISE = "0.3 * CE + 0.7 * KD(temperature=2)"


@pytest.fixture(scope="module")
def data(rows):
    x, y = rows
    ids = np.arange(1100)
    cuts = {"train": slice(0, 100), "validation": slice(100, 200), "test": slice(200, 700)}
    splits = {split: (x[cut], y[cut], ids[cut]) for split, cut in cuts.items()}
    return lb.Data(unlabeled=(x[700:1100], None, ids[700:1100]), **splits)


def table_of(rows, moved):
    """A good teacher's answers; those of the training and unlabelled rows may belong to other rows."""
    x, y = rows
    teacher = Trained(x[1100:], y[1100:])
    said = teacher(torch.from_numpy(x[:1100])).softmax(-1).detach().numpy()
    if moved:
        taught = np.r_[0:100, 700:1100]
        said[taught] = said[np.random.default_rng(5).permutation(taught)]
    return pd.DataFrame(said, columns=[str(c) for c in range(10)]).assign(id=np.arange(1100))


def test_permuted_answers_are_refused_and_never_credited(rows, data, tmp_path):
    table = table_of(rows, moved=True)
    with pytest.raises(ConfigError, match="expected a teacher that knows the task, its accuracy on 100 labelled rows"):
        distil(table, "mlp(hidden=[16])", data, tmp_path / "run")
    run = distil(table, "mlp(hidden=[16])", data, tmp_path / "loose", ignore=("LB201",), objective=NOISE)
    known = run.scorecard["tasks"]["main"]["knowledge"]
    assert not known["credited"] and "do not fit the labels of their rows" in known["reason"]
    assert "LB203" in {finding.code for finding in run.findings}
    assert "istillation helped" not in run.scorecard["sentence"]


def test_the_same_answers_in_their_places_are_credited(rows, data, tmp_path):
    run = distil(table_of(rows, moved=False), "mlp(hidden=[16])", data, tmp_path / "run", objective=NOISE)
    known = consistent(run)["tasks"]["main"]["knowledge"]
    assert known["credited"] and known["reason"] is None and known["stored"]["fits"]
    assert not {"LB201", "LB203", "LB308"} & {finding.code for finding in run.findings}


def test_a_gain_from_noise_is_told_from_knowledge():
    """Answers that help by smoothing alone: the verdict stands, the credit does not."""
    rng, task = np.random.default_rng(0), Classification(tuple("abcde"))
    y = rng.integers(0, 5, 800)
    signal = np.eye(5)[y]
    arms = {
        "teacher": 3 * signal[None] + rng.normal(size=(1, 800, 5)),
        "student": 2.2 * signal + rng.normal(size=(5, 800, 5)),
        "control": 1.4 * signal + rng.normal(size=(5, 800, 5)),
    }
    moved = arms["teacher"][0][rng.permutation(800)]
    card = scorecard.build({"main": Evidence(task=task, y=y, arms=arms, stored=(moved, y))}, seeds=range(5))
    assert card["verdict"] == "helped"
    assert "but this is not the teacher's knowledge: the stored answers do not fit the labels" in card["sentence"]
    assert "Distillation helped" not in card["sentence"]
    assert {"LB203", "LB308"} <= {finding["code"] for finding in card["findings"]}


def test_an_untrained_teacher_is_refused_before_anything_is_trained(data, tmp_path):
    torch.manual_seed(0)
    untrained = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    with pytest.raises(ConfigError, match=r"(?s)expected a teacher that knows the task.*train it first \(lb\.teach\)"):
        distil(untrained, "linear", data, tmp_path / "run")
    assert not (tmp_path / "run" / "student").exists()


def test_a_teacher_that_was_trained_here_for_too_few_steps_is_told_how_many(data, tmp_path):
    with pytest.raises(ConfigError, match="expected a teacher that knows the task") as caught:
        plan = lb.TrainSpec(steps=1, learning_rate=1e-9)
        lb.distill("mlp(hidden=[2])", "linear", data, teacher_train=plan, seeds=1, out=tmp_path / "run")
    assert "it was trained 1 steps here: raise them (teacher.train in a recipe, teacher_train in" in caught.value.todo


def test_a_teacher_no_better_than_the_control_is_named(rows, data, tmp_path):
    x, y = rows
    weak = Trained(x[:100], y[:100], width=2, steps=60)  # the same labels, and fewer units than its student
    run = distil(weak, "mlp(hidden=[16])", data, tmp_path / "run")
    found = {finding.code: finding for finding in run.findings}
    assert found["LB201"].title == "the teacher is worse than the control"
    assert found["LB201"].grade == "issue" and "teacher against the control" in found["LB201"].measured
    known = run.scorecard["tasks"]["main"]["knowledge"]
    assert run.verdict != "helped" or known["credited"] is (known["uptake"]["low"] > 0)
