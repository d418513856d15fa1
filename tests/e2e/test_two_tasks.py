"""Two teachers, each a specialist of one task; rows that carry labels for one task only; one student with two heads."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app

OBJECTIVE = "0.2 * CE(on='kind') + 0.8 * KD(on='kind', temperature=2) + 0.1 * MSE(on='price') + 0.4 * L2KD(on='price')"


def table(rows, seed, half=False):
    """A kind and a price; with `half` rows know one of the two, and every ninth knows neither."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    kind = np.where(x[:, 0] + x[:, 1] > 0, "up", "down").astype(object)
    price = (x[:, 2] * 3 + x[:, 0]).astype(object)
    if half:
        place = np.arange(rows)
        kind[(place % 2 == 1) | (place % 9 == 0)] = None
        price[(place % 2 == 0) | (place % 9 == 0)] = None
    return pd.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"kind": kind, "price": price})


def split(frame):
    return frame[[f"x{i}" for i in range(4)]].to_numpy(), {"kind": frame["kind"], "price": frame["price"].astype(float)}


def specialists():
    """Each was fitted on rows of its own, for its own task."""
    x, y = split(table(300, 7))
    return {"kind": LogisticRegression().fit(x, y["kind"]), "price": HistGradientBoostingRegressor().fit(x, y["price"])}


def data_of(**more):
    return lb.Data(
        train=split(table(200, 0, half=True)), unlabeled=split(table(100, 1))[0], test=split(table(120, 2)),
        validation=split(table(80, 3)), task={"kind": "classification", "price": "regression"}, **more,
    )  # fmt: skip


def judged(run):
    """Each task has metrics, retention, gain and a verdict of its own, in the scorecard and in the report."""
    cards = run.scorecard["tasks"]
    assert list(cards) == ["kind", "price"]
    assert [cards[head]["metric"]["name"] for head in cards] == ["accuracy", "r2"]
    report = run.report(run.folder / "report.md")[0].read_text()
    for head, card in cards.items():
        assert card["verdict"] in ("helped", "no reliable difference", "hurt")
        assert card["gain"]["low"] <= card["gain"]["value"] <= card["gain"]["high"]
        assert card["retention"]["ratio"]["value"] > 0.5
        assert set(card["arms"]) >= {"teacher", "student", "control"}
        assert head in report
    return cards


def test_two_specialists_and_rows_with_one_label_each(tmp_path):
    data = data_of()
    known = {head: int(mask.sum()) for head, mask in data.train.label_mask.items()}
    both = np.logical_and(*data.train.label_mask.values())
    neither = ~np.logical_or(*data.train.label_mask.values())
    assert not both.any() and 80 < known["kind"] < 100 and 80 < known["price"] < 100 and neither.sum() == 23
    (said,) = [finding for finding in data.findings if finding.code == "LB130"]
    assert said.measured == "23 of 200 training rows"
    run = lb.distill(specialists(), "mlp(hidden=[16])", data, objective=OBJECTIVE, train=150, seeds=3,
                     out=tmp_path / "two")  # fmt: skip
    cards = judged(run)
    assert cards["kind"]["arms"]["student"]["metrics"]["accuracy"]["value"] > 0.85
    assert cards["price"]["arms"]["student"]["metrics"]["r2"]["value"] > 0.7
    rows = split(table(5, 9))[0]
    assert set(run.predict(rows, "kind")) <= {"up", "down"} and run.predict(rows, "price").shape == (5,)
    assert run.scorecard["verdict"] is None or isinstance(run.scorecard["verdict"], str)


def test_the_control_has_the_weights_of_each_task():
    from limbeck.stages.arms import control_objective
    from limbeck.stages.verbs import objective_of

    data = data_of()
    control = control_objective(objective_of(OBJECTIVE, data), data.tasks)
    assert {term.objective.on: round(term.weight, 6) for term in control} == {"kind": 1.0, "price": 0.5}


def test_a_specialist_trains_on_the_rows_of_its_task_alone(tmp_path, monkeypatch):
    from limbeck.stages import train

    seen = {}
    fit = train.fit_network

    def noted(job, student, objective, feed, *rest, **more):
        if more["label"] == "teacher":
            seen[next(iter(job.data.tasks))] = feed.labelled
        return fit(job, student, objective, feed, *rest, **more)

    monkeypatch.setattr(train, "fit_network", noted)
    data = data_of()
    lb.distill({"kind": "mlp(hidden=[8])", "price": "mlp(hidden=[8])"}, "mlp(hidden=[4])", data, train=30, seeds=1,
               teacher_train=100, until="label", out=tmp_path / "taught")  # fmt: skip
    assert seen == {head: int(mask.sum()) for head, mask in data.train.label_mask.items()}


RECIPE = f"""
name: two
data:
  train: train.csv
  validation: validation.csv
  test: test.csv
  columns: {{target: {{kind: kind, price: price}}}}
  task: {{kind: classification, price: regression}}
teacher:
  - {{model: "sklearn:LogisticRegression()", task: kind}}
  - {{model: "sklearn:HistGradientBoostingRegressor(max_iter=50)", task: price}}
student: mlp(hidden=[16])
objective: >-
  {OBJECTIVE}
train: {{steps: 100}}
seeds: 3
"""


def folder_of(path):
    for name, rows, seed, half in (("train", 240, 0, True), ("validation", 80, 3, False), ("test", 120, 2, False)):
        table(rows, seed, half).to_csv(path / f"{name}.csv", index=False)  # a cell without a label is empty
    (path / "two.yaml").write_text(RECIPE)
    return path / "two.yaml"


def test_the_same_by_one_recipe(tmp_path):
    recipe = folder_of(tmp_path)
    done = CliRunner().invoke(app, ["distill", str(recipe), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, f"{done.output}{done.stderr}"
    judged(lb.load(tmp_path / "run"))
    told = json.loads(json.dumps(lb.Recipe.from_run(tmp_path / "run").resolved()))
    assert [spec["task"] for spec in told["teacher"]] == ["kind", "price"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", task: price}", "}", "expected every teacher to name its task, or none"),
        ("task: kind}", "task: kinds}", "expected a teacher for each task (kind, price)"),
    ],
)
def test_recipes_that_are_refused(tmp_path, old, new, said):
    recipe = folder_of(tmp_path)
    recipe.write_text(recipe.read_text().replace(old, new))
    done = CliRunner().invoke(app, ["distill", str(recipe), "--out", str(tmp_path / "run")])
    assert done.exit_code == 2 and said in " ".join(done.stderr.split()), done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teacher": {"kinds": None}}, "did you mean 'kind'"),
        ({"teacher": {"kind": None}}, "expected a teacher for each task (kind, price), there is none for 'price'"),
        ({"objective": "0.1 * CE(on='kind') + 0.9 * KD(on='knd')"}, "did you mean 'kind'"),
        ({"objective": "0.1 * CE(on='kind') + 0.9 * KD(on='price')"}, "expected a classification"),
    ],
)
def test_misspelt_tasks_are_refused_before_a_folder_is_made(change, said, tmp_path):
    teachers = specialists()
    if "teacher" in change:
        teachers = dict.fromkeys(change["teacher"], teachers["kind"])
        teachers |= {"price": specialists()["price"]} if "kinds" in change["teacher"] else {}
    with pytest.raises(lb.ConfigError) as error:
        lb.distill(teachers, "mlp", data_of(), objective=change.get("objective", "auto"), train=5, seeds=1,
                   out=tmp_path / "no")  # fmt: skip
    assert said in str(error.value) and not (tmp_path / "no").exists()


def test_test_rows_without_any_label_of_a_task():
    x, y = split(table(120, 2))
    with pytest.raises(lb.ConfigError, match="expected labels of 'price', got none"):
        lb.Data(train=split(table(200, 0, half=True)), test=(x, {"kind": y["kind"]}))
    with pytest.raises(lb.ConfigError, match="expected labels of 'price', all 120 are missing"):
        lb.Data(train=split(table(200, 0, half=True)), test=(x, {**y, "price": [None] * 120}))


def test_a_task_with_too_few_labels_to_be_split():
    x, y = split(table(200, 0))
    y["price"][2:] = np.nan
    with pytest.raises(lb.ConfigError, match="expected labels of 'price', none of its"):
        lb.Data(train=(x, y), test_fraction=0.2, task={"kind": "classification", "price": "regression"})
