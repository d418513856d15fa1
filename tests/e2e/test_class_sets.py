"""Whole runs with a teacher of other classes than its student's."""

import numpy as np
import pytest
import torch
from e2e_runs import distil, score
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

import limbeck as lb
from limbeck.objectives import KD
from limbeck.signals import Batch, Signals
from limbeck.stages.recipes import run_recipe


def rows():
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    x = (x[order] - x.mean(axis=0)) / x.std(axis=0)
    return x.astype(np.float32), y[order]


def fine(x, y):
    """A teacher of four kinds: those of class 0 of two colours, class 1, and what the student does not speak of."""
    kinds = np.array(["red", "rose", "white", "water"])[np.where(y == 0, x[:, 0] > 1, y + 1)]
    return LogisticRegression(max_iter=500).fit(x, kinds)


MAPPING = {"red": "strong", "rose": "strong", "white": "light", "water": None}
NAMES = np.array(["strong", "light", "sweet"], dtype=object)


def test_a_class_that_the_teacher_does_not_know_is_left_to_the_labels(tmp_path):
    x, y = rows()
    data = lb.Data(train=(x[:100], NAMES[y[:100]]), test=(x[100:], NAMES[y[100:]]), classes=list(NAMES))
    teacher = lb.Teacher(fine(x[:100], y[:100]), mapping=MAPPING)
    run = distil(teacher, "mlp(hidden=[16])", data, tmp_path / "run", objective="0.3 * CE + 0.7 * KD(temperature=2)")
    card = run.scorecard
    assert "among=(0, 1)" in card["provenance"]["objective"]
    student, teacher_score = score(run), score(run, "teacher")
    assert student > 0.9 > teacher_score  # the teacher is wrong wherever the third class is right
    (found,) = [f for f in card["findings"] if f["code"] == "LB206"]
    assert "not sweet" in found["measured"] and "the loss compares the other classes" in found["why"]


def test_a_recipe_maps_classes(tmp_path):
    x, y = rows()
    np.savez(tmp_path / "wine.npz", x=x, y=NAMES[y].astype(str))
    (tmp_path / "wine_teacher.py").write_text("def answers(rows):\n    return rows[:, :3]\n")
    text = """
    data: {train: wine.npz, columns: {inputs: [x], target: y}, task: classification, test_fraction: 0.3}
    teacher:
      model: wine_teacher:answers
      output: logits
      classes: [a, b, c]
      mapping: {a: strong, b: light, c: planet}
    student: mlp(hidden=[8])
    train: {steps: 20}
    """
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(lb.ConfigError, match=r"mapping.c: the task has no class 'planet'"):
            run_recipe(lb.Recipe.from_text(text, base=tmp_path), out=tmp_path / "run")
        recipe = lb.Recipe.from_text(
            text.replace("planet", "sweet"), base=tmp_path, assignments=["checks.ignore=[LB201]"]
        )
        run = run_recipe(recipe.with_(seeds=3), out=tmp_path / "run", until="evaluate")
    finally:
        sys.path.remove(str(tmp_path))
    assert run.scorecard["tasks"]["main"]["names"] == ["light", "strong", "sweet"]


def test_a_loss_that_cannot_leave_classes_out_is_refused(tmp_path):
    x, y = rows()
    data = lb.Data(train=(x[:100], NAMES[y[:100]]), test=(x[100:], NAMES[y[100:]]), classes=list(NAMES))
    teacher = lb.Teacher(fine(x[:100], y[:100]), mapping=MAPPING)
    with pytest.raises(lb.ConfigError, match=r"leave classes out, since the teacher does not know sweet .* got DKD"):
        distil(teacher, "mlp", data, tmp_path / "run", objective="0.3 * CE + 0.7 * DKD")
    with pytest.raises(lb.ConfigError, match="teachers that know every class where one of them answers alone"):
        distil(lb.Teachers([teacher, "mlp"], weighting="routing"), "mlp", data, tmp_path / "run")


def test_kd_among_some_classes_is_kd_of_their_columns_and_moves_nothing_else():
    student, teacher = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch, picked = Batch(keys=np.zeros((4, 2), np.uint64)), [0, 2, 3]
    student.requires_grad_()
    found = KD(among=(0, 2, 3)).loss(Signals({"main": student}), Signals({"main": teacher}), batch, None)[0]
    wanted = KD().loss(Signals({"main": student[:, picked]}), Signals({"main": teacher[:, picked]}), batch, None)[0]
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)
    found.backward()
    assert (student.grad[:, [1, 4]] == 0).all() and (student.grad[:, picked] != 0).all()
    with pytest.raises(lb.ConfigError, match=r"among: expected distinct ids of two classes or more"):
        KD(among=(1,))
