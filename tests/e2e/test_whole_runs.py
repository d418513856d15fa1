"""Whole runs on every kind of data and task: from a teacher and rows to a verdict that fits its numbers."""

import numpy as np
import pandas as pd
import pytest
from e2e_runs import Trained, consistent, digits, distil, score, trivial, weight_bytes
from sklearn.compose import ColumnTransformer
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_multilabel_classification,
    make_regression,
)
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import limbeck as lb
from limbeck.core.run import Run


def shuffled(bunch):
    order = np.random.default_rng(1).permutation(len(bunch.target))
    return bunch.data[order].astype(np.float32), bunch.target[order]


def test_classes_on_arrays(tmp_path):
    x, y = shuffled(load_iris())
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    data = lb.Data(train=(x[:80], names[:80]), test=(x[80:], names[80:]))
    teacher = LogisticRegression(max_iter=500).fit(x[:80], names[:80])
    run = distil(teacher, "mlp(hidden=[16])", data, tmp_path / "run")
    card = consistent(run, metric="accuracy")
    assert card["tasks"]["main"]["names"] == ["setosa", "versicolor", "virginica"]
    assert score(run) > 0.85 > trivial(run) + 0.4
    assert run.gain.value > -0.1 and score(run, "control") > 0.8
    assert run.retention.value == pytest.approx(score(run) / score(run, "teacher"), abs=1e-6)
    assert run.agreement.value > 0.85
    assert card["costs"]["student"]["parameters"] == 4 * 16 + 16 + 16 * 3 + 3


def test_images_and_their_views(tmp_path):
    x, y = digits()
    x = (15 * x.reshape(-1, 8, 8)).astype(np.uint8)
    splits = {"train": (x[:150], y[:150]), "unlabeled": x[150:250], "test": (x[250:500], y[250:500])}
    splits |= {"validation": (x[500:600], y[500:600])}
    augmented = lb.Data(**splits, view="shift(1) + noise(0.05)", views=3)
    teacher = "cnn(width=12, depth=2)"
    more = {"teacher_train": lb.TrainSpec(steps=80, batch_size=32, learning_rate=0.02)}
    run = distil(teacher, "mlp(hidden=[12])", augmented, tmp_path / "views", **more)
    consistent(run)
    assert score(run) > trivial(run) + 0.4
    answers = lb.TransferSet(run.folder / "transfer")
    assert answers.store.views == 3 and len(answers.store) == 3 * 250
    plain = distil(teacher, "mlp(hidden=[12])", lb.Data(**splits), tmp_path / "plain", until="train", **more)
    assert lb.TransferSet(plain.folder / "transfer").store.views == 1
    for arm in ("student", "control"):  # both arms train on the views
        assert weight_bytes(run, arm) != weight_bytes(plain, arm)


def mixed(x, y):
    """Wine as a table with categories, a flag and holes."""
    frame = pd.DataFrame(x[:, :6], columns=["alcohol", "acid", "ash", "alkali", "magnesium", "phenols"])
    frame["hue"] = pd.cut(x[:, 9], 3, labels=["pale", "red", "dark"]).astype(object)
    frame["strong"] = x[:, 12] > np.median(x[:, 12])
    frame.loc[::9, "hue"] = None
    frame.loc[::7, "ash"] = np.nan
    frame["cultivar"] = np.array(["barolo", "grignolino", "barbera"])[y]
    return frame


def test_a_table_with_categories_and_holes(tmp_path):
    frame = mixed(*shuffled(load_wine()))
    train, test = frame[:100], frame[100:]
    numbers = ["alcohol", "acid", "ash", "alkali", "magnesium", "phenols", "strong"]
    steps = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["hue"]),
        ]
    )
    raw = train.drop(columns="cultivar").assign(hue=train["hue"].where(train["hue"].notna(), np.nan))
    teacher = make_pipeline(steps, LogisticRegression(max_iter=500)).fit(raw, train["cultivar"])
    data = lb.Data(train=train, test=test, columns=lb.Columns(target="cultivar"))
    assert data.train.kind == "table"
    run = distil(teacher, "mlp(hidden=[8])", data, tmp_path / "run")
    card = consistent(run, metric="accuracy")
    assert set(card["tasks"]["main"]["names"]) == {"barolo", "grignolino", "barbera"}
    assert score(run) > trivial(run) + 0.3
    assert "LB113" in {finding.code for finding in run.findings}  # the holes are said


def test_several_labels_a_row(tmp_path):
    x, y = make_multilabel_classification(400, 10, n_classes=4, random_state=0)
    x = x.astype(np.float32)
    data = lb.Data(train=(x[:200], y[:200]), test=(x[200:], y[200:]))
    assert data.tasks["main"].kind == "multilabel"
    teacher = KNeighborsClassifier(7).fit(x[:200], y[:200])
    run = distil(teacher, "mlp(hidden=[12])", data, tmp_path / "run")
    card = consistent(run)
    assert score(run) > trivial(run) + 0.05
    assert {line["name"] for line in card["tasks"]["main"]["classes"]} == {"0", "1", "2", "3"}
    assert "BernoulliKD" in card["provenance"]["objective"]


def test_numbers_in_their_own_units(tmp_path):
    x, y = shuffled(load_diabetes())
    data = lb.Data(train=(x[:250], y[:250]), test=(x[250:], y[250:]))
    teacher = GradientBoostingRegressor(n_estimators=40, random_state=0).fit(x[:250], y[:250])
    run = distil(teacher, "mlp(hidden=[8])", data, tmp_path / "run")
    consistent(run, metric="r2")
    assert 0.2 < score(run) < 1 and trivial(run) == pytest.approx(0, abs=0.1)
    rmse = score(run, metric="rmse")
    assert 30 < rmse < trivial(run, metric="rmse")  # disease progression runs from 25 to 346
    assert score(run, "teacher", metric="rmse") == pytest.approx(
        np.sqrt(np.mean((teacher.predict(data.test.inputs) - y[250:]) ** 2)), rel=1e-4
    )
    by_rmse = lb.Data(train=(x[:250], y[:250]), test=(x[250:], y[250:]), metric="rmse")
    again = distil(teacher, "mlp(hidden=[8])", by_rmse, tmp_path / "rmse")
    consistent(again, metric="rmse")
    assert again.gain.value == pytest.approx(score(again) - score(again, "control"), abs=1e-3)
    assert (again.verdict == "helped") == (again.gain.high < 0)  # less is better


def test_several_numbers_of_different_size(tmp_path):
    x, y = make_regression(250, 5, n_targets=2, noise=5, random_state=0)
    y[:, 1] = 1000 * y[:, 1] + 50_000
    targets = pd.DataFrame(y, columns=["small", "large"])
    data = lb.Data(train=(x[:150], targets[:150]), test=(x[150:], targets[150:]))
    run = distil(Ridge().fit(x[:150], y[:150]), "mlp(hidden=[16])", data, tmp_path / "run")
    card = consistent(run, metric="r2")
    assert card["tasks"]["main"]["names"] == ["small", "large"]
    assert score(run) > 0.8 and score(run, "teacher") > 0.95
    answers = lb.TransferSet(run.folder / "transfer").outputs()  # on disk in natural units
    np.testing.assert_allclose(answers.std(axis=0), y[:150].std(axis=0), rtol=0.3)


def test_a_teacher_of_margins_on_two_classes(tmp_path):
    x, y = shuffled(load_breast_cancer())
    names = np.array(["malignant", "benign"])[y]
    teacher = make_pipeline(StandardScaler(), LinearSVC()).fit(x[:200], names[:200])
    data = lb.Data(train=(x[:200], names[:200]), test=(x[200:], names[200:]))
    run = distil(teacher, "mlp(hidden=[8])", data, tmp_path / "run", train=40)
    consistent(run, metric="accuracy")
    assert score(run) > 0.9 and run.agreement.value > 0.9


def test_two_tasks_at_once_with_labels_missing_for_one(tmp_path):
    x, y = shuffled(load_wine())
    x, kind, alcohol = x[:, 1:], y, x[:, 0].astype(np.float64)
    kind = np.array(["a", "b", "c"], dtype=object)[kind]
    holes = kind.copy()
    holes[:100:3] = None
    labels = {"kind": holes[:100], "alcohol": alcohol[:100]}
    data = lb.Data(train=(x[:100], labels), test=(x[100:], {"kind": kind[100:], "alcohol": alcohol[100:]}))
    assert {head: task.kind for head, task in data.tasks.items()} == {"kind": "classification", "alcohol": "regression"}
    classes = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:100], kind[:100])
    values = make_pipeline(StandardScaler(), Ridge()).fit(x[:100], alcohol[:100])

    def teacher(rows):
        return {"kind": classes.predict_proba(rows), "alcohol": values.predict(rows)[:, None]}

    run = distil(teacher, "mlp(hidden=[16])", data, tmp_path / "run")
    card = consistent(run, heads=("kind", "alcohol"), metric="accuracy")
    known = int(data.train.label_mask["kind"].sum())
    assert known < len(data.train) == card["tasks"]["alcohol"]["counts"]["training_rows"]
    assert card["tasks"]["kind"]["counts"]["training_rows"] == known
    assert score(run, head="kind") > trivial(run, head="kind") + 0.3
    assert score(run, head="alcohol", metric="r2") > 0.2
    assert run.verdict in {task["verdict"] for task in card["tasks"].values()}


def written_on(tap):
    return 0.5 * lb.CE() + 0.5 * lb.KD(temperature=2) + 0.1 * lb.Hint(pair=(tap, "body.1"))


def test_features_are_learnt_through_a_projector_that_is_not_kept(tmp_path):
    x, y = digits(1 / 16)
    teacher = Trained(x[800:], y[800:])
    data = lb.Data(train=(x[:200], y[:200]), validation=(x[200:300], y[200:300]), test=(x[300:700], y[300:700]))
    text = "0.5 * CE + 0.5 * KD(temperature=2) + 0.1 * Hint(pair=('body.2', 'body.1'))"
    plan = lb.TrainSpec(steps=60, batch_size=32, learning_rate=0.01, validate_every=20)
    run = distil(teacher, "mlp(hidden=[12])", data, tmp_path / "text", objective=text, train=plan)
    consistent(run)
    assert score(run) > trivial(run) + 0.4
    short = {"train": lb.TrainSpec(steps=10, batch_size=32), "until": "train", "seeds": 1}
    one, other = (
        distil(teacher, "linear", data, tmp_path / str(n), objective=objective, **short)
        for n, objective in enumerate((text.replace("body.2", "body"), written_on("body")))
    )
    assert weight_bytes(one, "student") == weight_bytes(other, "student")
    assert set(run.student.state_dict()) == {"body.1.weight", "body.1.bias", "head.weight", "head.bias"}
    events = [e for e in Run.read(run.folder).events() if e.get("arm") == "student" and e["name"] == "hint"]
    first, last = events[0]["value"], events[-1]["value"]
    assert last < 0.8 * first  # the projector learns


def higher(truth, guess):
    return float(np.mean(truth == guess))


def lower(truth, guess):
    return float(np.mean(truth != guess))


@pytest.mark.parametrize("own", [higher, lower])
def test_a_metric_of_the_users_own(tmp_path, own):
    x, y = shuffled(load_iris())
    data = lb.Data(train=(x[:80], y[:80]), test=(x[80:], y[80:]), metric=own)
    run = distil(LogisticRegression(max_iter=500).fit(x[:80], y[:80]), "mlp(hidden=[8])", data, tmp_path / "run")
    card = consistent(run, metric=own.__name__)
    assert card["tasks"]["main"]["metric"]["higher_is_better"] == (own is higher)
    assert score(run) == pytest.approx(
        score(run, metric="accuracy") if own is higher else 1 - score(run, metric="accuracy"), abs=1e-6
    )
    assert score(run, metric="accuracy") > 0.8  # the best checkpoint is the best one, not the worst


def test_rows_of_weight_0_teach_neither_arm(tmp_path):
    x, y = shuffled(load_iris())
    teacher = LogisticRegression(max_iter=500).fit(x[:80], y[:80])
    splits = {"validation": (x[80:100], y[80:100]), "test": (x[100:], y[100:])}
    silent = np.arange(80) % 4 == 0
    other = np.where(silent, (y[:80] + 1) % 3, y[:80])
    weights = np.where(silent, 0.0, 1.0)
    runs = [
        distil(
            teacher,
            "linear",
            lb.Data(train=(x[:80], labels), weights=weight, **splits),
            tmp_path / name,
            train=20,
            seeds=1,
            until="train",
        )
        for name, labels, weight in (("a", y[:80], weights), ("b", other, weights), ("c", y[:80], None))
    ]
    for arm in ("student", "control"):  # labels of rows without weight are nothing to them; the weights are
        assert weight_bytes(runs[0], arm) == weight_bytes(runs[1], arm) != weight_bytes(runs[2], arm)


def test_rows_of_a_group_stay_in_one_split(tmp_path):
    x, y = shuffled(load_wine())
    groups = np.arange(len(y)) // 3
    data = lb.Data(train=(x, y), groups=groups, test_fraction=0.4)
    parts = [set(rows.groups) for rows in (data.train, data.validation, data.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    teacher = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.train.inputs, data.train.targets["main"])
    run = distil(teacher, "mlp(hidden=[8])", data, tmp_path / "run")
    consistent(run)
    assert score(run) > trivial(run) + 0.3
