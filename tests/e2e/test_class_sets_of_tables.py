"""Whole runs with a table of predictions whose classes are other than its student's."""

import numpy as np
import pandas as pd
import pytest
from e2e_runs import distil
from scipy.special import softmax
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.stages.recipes import run_recipe

MAPPING = {"red": "strong", "rose": "strong", "white": "light", "water": None}
NAMES = np.array(["strong", "light", "sweet"], dtype=object)
OWN = ["red", "rose", "water", "white"]


@pytest.fixture(scope="module")
def wine():
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    x, y = ((x[order] - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y[order]
    kinds = np.array(["red", "rose", "white", "water"])[np.where(y == 0, x[:, 0] > 1, y + 1)]
    model = LogisticRegression(max_iter=500).fit(x[:100], kinds[:100])
    table = pd.DataFrame(model.predict_proba(x), columns=list(model.classes_)).assign(id=np.arange(len(x)))
    return x, y, model, table


def data_of(x, y):
    ids = np.arange(len(x))
    return lb.Data(
        train=(x[:100], NAMES[y[:100]], ids[:100]), test=(x[100:], NAMES[y[100:]], ids[100:]), classes=list(NAMES)
    )


def test_a_table_answers_as_its_model_with_the_same_mapping(wine, tmp_path):
    x, y, model, table = wine
    table.to_csv(tmp_path / "answers.csv", index=False)
    given = {
        "model": lb.Teacher(model, mapping=MAPPING),
        "table": lb.Predictions(tmp_path / "answers.csv", mapping=MAPPING),
        "lists": lb.Predictions(
            pd.DataFrame({"id": table["id"], "main": table[OWN].to_numpy().tolist()}), classes=OWN, mapping=MAPPING
        ),
    }
    stored, objectives = {}, {}
    for name, teacher in given.items():
        run = distil(
            teacher, "mlp(hidden=[8])", data_of(x, y), tmp_path / name,
            objective="0.3 * CE + 0.7 * KD(temperature=2)", train=lb.TrainSpec(steps=20),
        )  # fmt: skip
        objectives[name] = run.scorecard["provenance"]["objective"]
        (found,) = [f for f in run.scorecard["findings"] if f["code"] == "LB206"]
        assert "not sweet" in found["measured"] and "the loss compares the other classes" in found["why"]
        stored[name] = lb.TransferSet(run.folder / "transfer")
    assert set(objectives.values()) == {objectives["model"]} and "among=(0, 1)" in objectives["table"]
    keys = stored["model"].keys
    wanted = softmax(stored["model"].outputs().astype(np.float64), axis=1)
    chances = model.predict_proba(x)
    kept = np.stack([chances[:, [0, 1]].sum(axis=1), chances[:, 3]], axis=1)
    kept /= kept.sum(axis=1, keepdims=True)
    rows = data_of(x, y).train
    at = stored["model"].store.find(rows.keys)
    where = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in rows.inputs]
    assert wanted[at, :2] == pytest.approx(kept[where], abs=2e-3)  # chances of red and rose are added, water left out
    for name in ("table", "lists"):
        assert (stored[name].keys == keys).all()
        assert softmax(stored[name].outputs().astype(np.float64), axis=1) == pytest.approx(wanted, abs=2e-3)


def test_other_mappings_are_other_teachers(wine):
    x, y, _, table = wine
    data, seen = data_of(x, y), set()
    for mapping in (MAPPING, MAPPING | {"water": "sweet"}, MAPPING | {"rose": "light"}):
        teacher = lb.Predictions(table, mapping=mapping)
        teacher.look(data)
        seen.add(teacher.fingerprint())
        assert teacher.describe()["mapping"] == [list(pair) for pair in mapping.items()]
    assert len(seen) == 3
    renamed = table.rename(columns={"red": "strong", "white": "light", "water": "sweet"}).drop(columns="rose")
    renamed["strong"] += table["rose"]
    plain = lb.Predictions(renamed)
    plain.look(data)
    assert plain.fingerprint() not in seen and "mapping" not in plain.describe()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mapping": MAPPING | {"plonk": "sweet"}}, "mapping.plonk: the teacher has no such class"),
        ({"mapping": MAPPING | {"water": "planet"}}, "mapping.water: the task has no class 'planet'"),
        ({"mapping": {"red": "strong"}}, r"mapping.rose: the task has no class 'rose'.*null \(None\) to leave it out"),
        ({"mapping": dict.fromkeys(OWN, "light")}, "fewer than two classes of the task are known to the teacher"),
        ({"mapping": MAPPING, "classes": [*OWN[:3], "blue"]}, "the task has no class 'blue'"),
        ({"mapping": MAPPING, "classes": OWN[:3]}, "head 'main' .*got 1 unknown: white"),
    ],
)
def test_what_does_not_fit_is_refused(wine, given, message):
    x, y, _, table = wine
    if "classes" in given:
        given = given | {"mapping": {name: MAPPING[name] for name in given["classes"] if name in MAPPING}}
        given["mapping"]["water"] = "sweet"
    with pytest.raises(lb.ConfigError, match=f"(?s){message}"):
        lb.Predictions(table, **given).look(data_of(x, y))


def test_lists_need_the_names_of_their_places_and_values_have_no_classes(wine):
    x, y, _, table = wine
    lists = pd.DataFrame({"id": table["id"], "main": table[OWN].to_numpy().tolist()})
    with pytest.raises(lb.ConfigError, match=r"classes of the lists in the column 'main', in their order.* got none"):
        lb.Predictions(lists, mapping=MAPPING).look(data_of(x, y))
    with pytest.raises(lb.ConfigError, match="lists of 3 numbers in the column 'main', got lengths 4"):
        lb.Predictions(lists, classes=["strong", "light", "sweet"], mapping={}).look(data_of(x, y))
    ids = np.arange(len(x))
    values = lb.Data(train=(x[:100], x[:100, 0], ids[:100]), test=(x[100:], x[100:, 0], ids[100:]), task="regression")
    with pytest.raises(lb.ConfigError, match="a mapping of classes for one task of classification, got main"):
        lb.Predictions(table, mapping=MAPPING).look(values)


RECIPE = """
data:
  train: wine.csv
  columns: {target: kind, id: id}
  test_fraction: 0.3
teacher:
  model: answers.csv
  mapping: {red: strong, rose: strong, white: light, water: null}
student: mlp(hidden=[8])
objective: 0.3 * CE + 0.7 * KD(temperature=2)
train: {steps: 20}
seeds: 3
"""


def test_a_recipe_maps_the_classes_of_a_table(wine, tmp_path):
    x, y, _, table = wine
    table.to_csv(tmp_path / "answers.csv", index=False)
    frame = pd.DataFrame(x, columns=[f"x{n}" for n in range(x.shape[1])]).assign(kind=NAMES[y], id=np.arange(len(x)))
    frame.to_csv(tmp_path / "wine.csv", index=False)
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    for verb in ("check", "label"):
        done = CliRunner().invoke(app, [verb, str(path), "--out", str(tmp_path / verb), "-q"])
        assert done.exit_code in (0, 3), done.output
    run = run_recipe(lb.Recipe.from_yaml(path), out=tmp_path / "run", until="evaluate")
    assert "among=(0, 1)" in run.scorecard["provenance"]["objective"]
    assert run.scorecard["tasks"]["main"]["names"] == ["light", "strong", "sweet"]
    path.write_text(RECIPE.replace("water: null", "water: planet"))
    for verb in ("check", "label", "distill"):
        done = CliRunner().invoke(app, [verb, str(path), "--out", str(tmp_path / "bad"), "-q"])
        assert done.exit_code == 2 and "mapping.water: the task has no class 'planet'" in done.stderr, done.output


def test_a_mapping_belongs_to_kinds_of_teachers_with_classes_of_their_own():
    with pytest.raises(lb.ConfigError, match="it belongs to a teacher of kind import or predictions"):
        lb.Recipe.from_text("data: a.csv\nteacher: {model: mlp, mapping: {a: b}}\nstudent: mlp\n")


def test_answers_remember_which_classes_their_teacher_knew(wine, tmp_path):
    x, y, model, _ = wine
    data = data_of(x, y)
    answers = lb.label(lb.Teacher(model, mapping=MAPPING), data, out=tmp_path / "answers")
    run = distil(
        answers, "mlp(hidden=[8])", data, tmp_path / "run", objective="0.3 * CE + 0.7 * KD(temperature=2)",
        train=lb.TrainSpec(steps=20), until="evaluate",
    )  # fmt: skip
    assert "among=(0, 1)" in run.scorecard["provenance"]["objective"]
    with pytest.raises(
        lb.ConfigError, match="a loss that can leave classes out, since the teacher does not know sweet"
    ):
        distil(answers, "mlp(hidden=[8])", data, tmp_path / "other", objective="0.3 * CE + 0.7 * DKD")
