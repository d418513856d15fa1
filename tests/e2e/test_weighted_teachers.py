"""Whole runs with several teachers that are weighed in each row."""

import sys

import numpy as np
import pytest
import torch
from e2e_runs import consistent, distil, score
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import limbeck as lb
from limbeck.stages.recipes import run_recipe
from limbeck.transfer.store import Store
from limbeck.transfer.weighting import confidence_weights, entropy_weights

X, Y = load_wine(return_X_y=True)
ORDER = np.random.default_rng(1).permutation(len(X))
X, Y = ((X - X.mean(axis=0)) / X.std(axis=0))[ORDER].astype(np.float32), Y[ORDER]
NAMES = np.array(["strong", "light", "sweet"], dtype=object)
SURE = GaussianNB().fit(X[:60, :6], Y[:60])
VAGUE = LogisticRegression(C=0.02).fit(X[:60], Y[:60])
TINY = lb.TrainSpec(steps=20, batch_size=32, learning_rate=0.02, validate_every=20)


def sure(rows):
    return SURE.predict_proba(rows[:, :6])


def data_of(y=Y, **more):
    return lb.Data(train=(X[:100], y[:100]), test=(X[100:], y[100:]), **more)


def stored(teacher, data, out):
    store = lb.label(teacher, data, out=out).store
    found = store.gather(store.find(data.train.keys))
    return torch.as_tensor(np.asarray(found["main"])).double().softmax(dim=-1)


def both(data):
    rows = data.train.inputs
    return torch.from_numpy(np.stack([sure(rows), VAGUE.predict_proba(rows)]).astype(np.float64).clip(1e-12))


@pytest.mark.parametrize("weighting", ["entropy", "confidence", "routing"])
def test_a_whole_run_with_each_weighting(weighting, tmp_path):
    teacher = lb.Teachers([sure, VAGUE], weighting=weighting)
    run = distil(teacher, "mlp(hidden=[8])", data_of(), tmp_path / "run", train=TINY)
    consistent(run)
    described = (run.folder / "resolved.yaml").read_text()
    assert f"weighting: {weighting}" in described


def test_stored_answers_are_weighed_by_their_labels_and_those_without_by_entropy(tmp_path):
    data = data_of(labels=50, seed=0)
    answers, mask = both(data), torch.from_numpy(data.train.label_mask["main"])
    by_entropy = entropy_weights(-(answers * answers.log()).sum(dim=-1))
    y = torch.from_numpy(data.train.targets["main"])
    by_label = confidence_weights(-answers[:, torch.arange(len(y)), y].log())
    wanted = (torch.where(mask, by_label, by_entropy)[..., None] * answers).sum(dim=0)
    found = stored(lb.Teachers([sure, VAGUE], "confidence"), data, tmp_path / "run")
    torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)


def test_judged_rows_never_show_their_labels_to_the_teacher(tmp_path):
    """On test rows, weighing by confidence is weighing by entropy."""
    scores = {}
    for weighting in ("entropy", "confidence"):
        run = distil(lb.Teachers([sure, VAGUE], weighting), "linear", data_of(), tmp_path / weighting, train=TINY)
        scores[weighting] = run.scorecard["tasks"]["main"]["arms"]["teacher"]["metrics"]
    assert scores["entropy"] == scores["confidence"]


def test_the_weighting_is_part_of_the_identity_of_answers(tmp_path):
    found = {}
    other = Y.copy()
    other[:5] = (other[:5] + 1) % 3
    for name, weighting, y in (
        ("m", "mean", Y),
        ("e", "entropy", Y),
        ("c", "confidence", Y),
        ("o", "confidence", other),
    ):
        lb.label(lb.Teachers([sure, VAGUE], weighting), data_of(y), out=tmp_path / name)
        found[name] = Store(tmp_path / name / "transfer").manifest.identity.teacher
    assert len(set(found.values())) == 4
    with pytest.raises(lb.LimbeckError, match="weighting"):
        lb.label(lb.Teachers([sure, VAGUE], "routing"), data_of(), out=tmp_path / "m")


def test_teachers_that_know_some_classes_each(tmp_path):
    """Nobody knows all three; together they do, and a loss compares all of them."""
    data = data_of(NAMES[Y], classes=list(NAMES))
    parts = []
    for known in ([0, 1], [1, 2]):
        rows = np.isin(Y[:100], known)
        model = LogisticRegression().fit(X[:100][rows], NAMES[Y[:100][rows]].astype(str))
        parts.append(lb.Teacher(model, mapping={}))
    run = distil(parts, "mlp(hidden=[8])", data, tmp_path / "run", train=TINY)
    consistent(run)
    assert "among" not in run.scorecard["provenance"]["objective"]
    assert score(run, "teacher") > 0.8  # alone each knows two thirds of the rows at most
    one = distil([parts[0], parts[0]], "mlp(hidden=[8])", data, tmp_path / "one", train=TINY)
    assert "among=(0, 1)" in one.scorecard["provenance"]["objective"]


RECIPE = """
data: {train: wine.npz, columns: {inputs: [x], target: y}, task: classification, test_fraction: 0.3}
teacher:
- {model: "weighed_teachers:one", output: logits}
- {model: "weighed_teachers:two", output: logits}
weighting: entropi
student: linear
train: {steps: 20}
checks: {ignore: [LB201]}
"""


def test_a_recipe_weighs_its_teachers(tmp_path, monkeypatch):
    np.savez(tmp_path / "wine.npz", x=X, y=Y)
    source = "def one(rows):\n    return rows[:, :3]\n\n\ndef two(rows):\n    return -rows[:, 3:6]\n"
    (tmp_path / "weighed_teachers.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(lb.ConfigError, match=r"weighting.*entropi"):
        lb.Recipe.from_text(RECIPE, base=tmp_path)
    text = RECIPE.replace("entropi", "entropy")
    run = run_recipe(lb.Recipe.from_text(text, base=tmp_path).with_(seeds=3), out=tmp_path / "run", until="evaluate")
    consistent(run)
    assert "weighting: entropy" in (run.folder / "resolved.yaml").read_text()
    sys.modules.pop("weighed_teachers", None)


def test_recipes_that_weigh_nothing_are_refused(tmp_path):
    np.savez(tmp_path / "wine.npz", x=X, y=Y)
    text = "data: wine.npz\nteacher: mlp\nweighting: entropy\nstudent: linear\n"
    start = "data: {train: wine.npz, columns: {inputs: [x], target: y}}\n"
    with pytest.raises(lb.ConfigError, match="expected several teachers to be weighed by entropy, got one"):
        lb.Recipe.from_text(start + text.partition("\n")[2], base=tmp_path)
    several = "teacher: [{model: mlp, weight: 2}, linear]\nweighting: routing\nstudent: linear\n"
    with pytest.raises(lb.ConfigError, match="equal weights beside routing, which weighs every row by itself"):
        lb.Recipe.from_text(start + several, base=tmp_path)


def test_numbers_are_refused_before_a_folder_is_made(tmp_path):
    data = lb.Data(train=(X[:100], X[:100, 3]), test=(X[100:], X[100:, 3]), task="regression")
    for verb in (lb.label, lambda teacher, data, out: distil(teacher, "linear", data, out)):
        with pytest.raises(lb.ConfigError, match="classes or labels where teachers are weighed by entropy"):
            verb(lb.Teachers(["linear", "mlp"], "entropy"), data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(lb.ConfigError, match="weighting of teachers to be one of mean, entropy, confidence, routing"):
        lb.Teachers(["linear", "mlp"], "entropi")
    with pytest.raises(lb.ConfigError, match="at least one teacher in an ensemble"):
        lb.Teachers([])
