"""Every kind of teacher, from what a user hands in to its stored answers."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import limbeck as lb
from limbeck.core.errors import ConfigError, LimbeckError, NotSupported, ShapeMismatch
from limbeck.signals import Needs, Signals
from limbeck.stages.several import EnsembleTeacher, PerTaskTeacher, teacher_of
from limbeck.stages.taught import TaughtEstimator, TaughtNetwork

X, Y = load_wine(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(len(X))
X, Y = X[ORDER].astype(np.float32), Y[ORDER]
IDS = np.arange(500, 500 + len(X))
CLASSIFIER = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:120], Y[:120])


@pytest.fixture(scope="module")
def data():
    return lb.Data(train=(X[:120], Y[:120], IDS[:120]), test=(X[120:], Y[120:], IDS[120:]))


@pytest.fixture(scope="module")
def both():
    def part(rows):
        return X[rows], {"kind": Y[rows], "proline": X[rows, 12]}

    tasks = {"kind": "classification", "proline": "regression"}
    return lb.Data(train=part(slice(120)), test=part(slice(120, None)), task=tasks)


@pytest.fixture
def answers(tmp_path):
    """What lies in the transfer set of a teacher, by task, for the training rows."""

    def ask(teacher, data):
        store = lb.label(teacher, data, out=tmp_path / "run").store
        found = store.gather(store.find(data.train.keys))
        return {head: np.asarray(found[head]) for head in data.tasks}

    return ask


def soft(logits):
    return torch.as_tensor(logits).float().softmax(-1).numpy()


def network():
    """The classifier as a torch module on raw rows."""
    scaler, logistic = CLASSIFIER[0], CLASSIFIER[1]
    module = nn.Linear(13, 3)
    with torch.no_grad():
        weight = logistic.coef_ / scaler.scale_
        module.weight.copy_(torch.as_tensor(weight))
        module.bias.copy_(torch.as_tensor(logistic.intercept_ - weight @ scaler.mean_))
    return module


def table():
    return pd.DataFrame(CLASSIFIER.predict_proba(X), columns=["0", "1", "2"]).assign(id=IDS)


class Source:
    """A source of the user's own."""

    def have(self):
        return Needs(outputs=("main",))

    def answer(self, batch):
        return Signals({"main": torch.as_tensor(CLASSIFIER.predict_log_proba(batch.teacher_inputs)).float()})


FORMS = {
    "estimator": lambda: CLASSIFIER,
    "callable": lambda: CLASSIFIER.predict_proba,
    "logits": lambda: CLASSIFIER.decision_function,
    "module": network,
    "module with softmax": lambda: nn.Sequential(network(), nn.Softmax(-1)),
    "table": table,
    "logits in a table": lambda: lb.Predictions(
        table().assign(**{c: np.log(table()[c]) for c in "012"}), output="logits"
    ),
    "source": Source,
    "mapping": lambda: {"main": CLASSIFIER},
    "list": lambda: [CLASSIFIER, network()],
    "weights": lambda: [(CLASSIFIER, 0.25), (table(), 3), (network(), 1)],
    "other order": lambda: lb.Teacher(lambda x: CLASSIFIER.predict_proba(x)[:, ::-1], classes=[2, 1, 0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_teacher_in_every_form_gives_one_answer(form, data, answers):
    found = answers(FORMS[form](), data)["main"]
    np.testing.assert_allclose(soft(found), CLASSIFIER.predict_proba(data.train.inputs), atol=5e-3)


def test_rows_as_the_student_takes_them(data, answers):
    seen = []

    def encoded(x):
        seen.append(np.asarray(x))
        return CLASSIFIER.predict_proba(x * np.asarray(data.preprocess.spec["scale"]) + data.preprocess.spec["mean"])

    found = answers(lb.Teacher(encoded, inputs="encoded"), data)["main"]
    np.testing.assert_allclose(soft(found), CLASSIFIER.predict_proba(data.train.inputs), atol=5e-3)
    assert abs(np.concatenate(seen[2:]).mean()) < 0.2


def test_a_weighted_ensemble_is_a_mean_of_probabilities(data, answers):
    other = KNeighborsClassifier(5).fit(X[:120], Y[:120])
    found = answers([(CLASSIFIER, 3), (other, 1)], data)["main"]
    want = 0.75 * CLASSIFIER.predict_proba(data.train.inputs) + 0.25 * other.predict_proba(data.train.inputs)
    np.testing.assert_allclose(soft(found), want, atol=5e-3)


def test_a_teacher_of_its_own_for_each_task(both, answers):
    price = LinearRegression().fit(X[:120], X[:120, 12])
    parts = {"kind": network(), "proline": [price, lambda x: price.predict(x) + 10]}
    found = answers(parts, both)
    np.testing.assert_allclose(soft(found["kind"]), CLASSIFIER.predict_proba(both.train.inputs), atol=5e-3)
    np.testing.assert_allclose(found["proline"][:, 0], both.train.inputs[:, 12] + 5, rtol=1e-2)


def test_one_callable_for_all_tasks(both, answers):
    found = answers(lambda x: {"proline": x[:, 12], "kind": CLASSIFIER.predict_proba(x)}, both)
    np.testing.assert_allclose(found["proline"][:, 0], both.train.inputs[:, 12], rtol=1e-4)
    np.testing.assert_allclose(soft(found["kind"]), CLASSIFIER.predict_proba(both.train.inputs), atol=5e-3)


def test_a_mapping_names_the_tasks(both, answers):
    with pytest.raises(
        ConfigError, match=r"a teacher for each task \(kind, proline\), there is none for 'proline' and 'pro"
    ) as e:
        answers({"kind": CLASSIFIER, "prolin": CLASSIFIER}, both)
    assert e.value.todo == "did you mean 'proline'?"
    with pytest.raises(ConfigError, match=r"one model in lb.Teacher, got a mapping of kind"):
        lb.Teacher({"kind": CLASSIFIER})


def test_regression_stays_in_natural_units(answers):
    x, y = load_diabetes(return_X_y=True)
    rows = lb.Data(train=(x[:300], y[:300]), test=(x[300:], y[300:]), task="regression")
    estimator = LinearRegression().fit(x[:300], y[:300])
    module = nn.Linear(10, 1)
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(estimator.coef_[None]))
        module.bias.fill_(float(estimator.intercept_))
    want = estimator.predict(rows.train.inputs)
    np.testing.assert_allclose(answers([estimator, module], rows)["main"][:, 0], want, rtol=1e-3)


def frame(rows):
    shape = np.where(X[rows, 0] > 13, "tall", "small")
    return pd.DataFrame({"shape": shape, "alcohol": X[rows, 0], "proline": X[rows, 12], "label": Y[rows]})


@pytest.mark.parametrize("fitted", [True, False])
def test_a_pipeline_gets_tables_with_the_names_of_their_columns(fitted, answers):
    columns = lb.Columns(target="label")
    rows = lb.Data(train=frame(slice(120)), test=frame(slice(120, None)), columns=columns, task="classification")
    prepared = make_column_transformer((OneHotEncoder(), ["shape"]), (StandardScaler(), ["alcohol", "proline"]))
    pipeline = make_pipeline(prepared, LogisticRegression())
    if fitted:
        pipeline.fit(frame(slice(120)).drop(columns="label"), Y[:120])
    found = answers(pipeline, rows)["main"]
    assert (found.argmax(1) == rows.train.targets["main"]).mean() > 0.75


def test_row_weights_reach_the_estimators_that_take_them(answers):
    weights = np.where(Y[:120] == 0, 1.0, 1e-6)
    rows = lb.Data(train=(X[:120], Y[:120]), test=(X[120:], Y[120:]), weights=weights)
    heavy = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ConfigError, match="a teacher that knows the task"):
        answers(heavy, rows)  # it learned to say class 0 always
    assert isinstance(teacher_of(heavy), TaughtEstimator)


def test_an_estimator_without_row_weights_is_fitted_without(answers):
    rows = lb.Data(train=(X[:120], Y[:120]), test=(X[120:], Y[120:]), weights=np.ones(120))
    assert answers(KNeighborsClassifier(), rows)["main"].shape == (96, 3)


# ------------------------------------------------------------------------------------------ refused


def broken(x):
    raise KeyError("alcohol")


class BrokenSource(Source):
    def answer(self, batch):
        raise ValueError("no answer today")


@pytest.mark.parametrize(
    ("teacher", "error", "words"),
    [
        (lambda x: np.zeros((len(x), 7)), ShapeMismatch, "to give 3 numbers a row for 'main', it gives 7"),
        (
            CLASSIFIER.predict,
            ShapeMismatch,
            "the teacher Pipeline.predict to give 3 numbers a row for 'main', it gives 1",
        ),
        (lambda x: np.full((len(x), 3), np.nan), LimbeckError, "finite answers from the teacher for 'main', got NaN"),
        (lambda x: CLASSIFIER.predict_proba(x)[1:], ShapeMismatch, "to answer each of 64 rows for 'main', it gives 63"),
        (broken, LimbeckError, r"the teacher broken to answer 64 rows .*, it raised KeyError: 'alcohol'"),
        (BrokenSource(), LimbeckError, "the teacher BrokenSource to answer .*, it raised ValueError: no answer today"),
        (nn.Linear(5, 3), LimbeckError, "the teacher Linear to answer 64 rows .*, it raised RuntimeError"),
        (nn.Linear, ConfigError, "expected a trained teacher, got the class Linear"),
        (LogisticRegression, ConfigError, "expected a trained teacher, got the class LogisticRegression"),
        (
            lambda x: CLASSIFIER.predict_proba(x)[:, [2, 0, 1]],
            ConfigError,
            "with the classes mapped: 0 → 2, 1 → 0, 2 → 1",
        ),
        (lambda x: -CLASSIFIER.decision_function(x), ConfigError, "a teacher that knows the task|classes mapped"),
        (
            lambda x: np.tile([[-1.0, 3.0, 0.0]], (len(x), 1)),
            ConfigError,
            "a teacher that knows the task, its accuracy on",
        ),
    ],
)
def test_bad_teachers_are_refused_before_a_student_is_trained(teacher, error, words, data, tmp_path):
    with pytest.raises(error, match=words) as caught:
        lb.distill(teacher, "linear", data, train=5, seeds=1, out=tmp_path / "run")
    assert caught.value.todo
    assert not (tmp_path / "run" / "student").exists()


def test_a_function_that_reads_a_table_of_texts_as_a_list_is_told_what_it_gets(tmp_path):
    rows = pd.DataFrame([(f"good film {n}" if n % 2 else f"bad plot {n}", n % 2) for n in range(60)])
    texts = lb.Data(train=rows.set_axis(["sentence", "label"], axis=1), test_fraction=0.3)
    with pytest.raises(LimbeckError, match="it raised KeyError") as caught:
        lb.distill(
            lambda rows: [len(rows[i]) for i in range(len(rows))], "bag_of_words(dim=4)", texts, out=tmp_path / "r"
        )
    assert caught.value.todo.startswith(
        "it gets a DataFrame with the column 'sentence': read a column by its name, rows['sentence']; call it on such"
    )


def test_an_untrained_network_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=400) * 0.1 > 0.8).astype(int)  # most rows are of one class
    rows = lb.Data(train=(x[:300], y[:300]), test=(x[300:], y[300:]))
    torch.manual_seed(1)
    fresh = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    with pytest.raises(
        ConfigError, match="a teacher that knows the task, its accuracy on 240 labelled rows is"
    ) as caught:
        lb.label(fresh, rows, out=tmp_path / "run")
    assert "train it first (lb.teach)" in caught.value.todo


def test_a_teacher_that_is_no_better_than_the_control_is_said(data, tmp_path):
    def weak(x):  # knows one class
        return np.stack([CLASSIFIER.decision_function(x)[:, 0], 1e-3 * x[:, 1], np.zeros(len(x))], axis=1)

    run = lb.distill(weak, "linear", data, train=150, seeds=3, onnx=False, attribution=False, out=tmp_path / "run")
    found = next(check for check in run.scorecard["findings"] if check["code"] == "LB201")
    silenced = lb.distill(
        weak, "linear", data, train=150, seeds=3, onnx=False, attribution=False, ignore=("LB201",), out=tmp_path / "b"
    )
    kept = [check for check in run.scorecard["findings"] if check["code"] != "LB201"]
    assert silenced.scorecard["findings"] == kept, "a silenced check that the evaluation makes is left out too"
    worse = found["title"] == "the teacher is worse than the control"
    assert worse or found["title"] == "the teacher is not reliably better than the control"
    assert (found["grade"] == "issue") is worse


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (7, "expected a teacher, got int"),
        (None, "expected a teacher, got NoneType"),
        ([], "expected a teacher, got list"),
        ({}, "expected a teacher, got dict"),
        ([CLASSIFIER, 0.5], "expected a teacher, got float"),
        ([(CLASSIFIER, -1.0)], "weights of an ensemble that are finite, not negative and not all zero"),
        ("nofile.csv", "a table of predictions as a file .*, got nofile.csv, which is not there"),
        ("sklearn:RandomForst(n=1)", "an estimator of scikit-learn, got 'RandomForst'"),
        ("sklearn:RandomForestClassifier(trees=5)", "expected settings of RandomForestClassifier, got"),
        ("sklearn:__import__('os')", r"expected sklearn:NAME\(setting=value\)"),
        ("mpl(hidden=[4])", "expected the name of a network, got 'mpl'"),
    ],
)
def test_what_is_no_teacher(what, words):
    with pytest.raises(ConfigError, match=words):
        teacher_of(what)


def test_an_import_path_names_a_teacher_a_maker_or_a_function(monkeypatch, data, answers):
    def fails():
        raise OSError("no weights\nhere")

    module = SimpleNamespace(model=CLASSIFIER, make=network, answer=lambda x: CLASSIFIER.predict_proba(x), fails=fails)
    monkeypatch.setitem(sys.modules, "my_teachers", module)
    kinds = [type(teacher_of(f"my_teachers:{name}").model).__name__ for name in ("model", "make", "answer")]
    assert kinds == ["Pipeline", "Linear", "function"]
    with pytest.raises(
        ConfigError, match="expected my_teachers:fails to make a teacher, it raised OSError: no weights"
    ):
        teacher_of("my_teachers:fails")


def test_words_of_a_teacher_are_checked_at_once():
    with pytest.raises(ConfigError, match="inputs of a teacher to be one of auto, raw, encoded, got 'row'"):
        lb.Teacher(CLASSIFIER, inputs="row")
    for make in (lb.Teacher, lb.Predictions):
        with pytest.raises(ConfigError, match="output to be one of logits, probabilities, auto, got 'logit'"):
            make(table(), output="logit")
    with pytest.raises(ConfigError, match="predictions as a DataFrame or a file, got ndarray"):
        lb.Predictions(table().to_numpy())


def test_kinds_are_told_apart():
    assert isinstance(teacher_of("mlp(hidden=[4])"), TaughtNetwork)
    assert isinstance(teacher_of(LogisticRegression()), TaughtEstimator)
    assert isinstance(teacher_of((CLASSIFIER, CLASSIFIER)), EnsembleTeacher)
    assert isinstance(teacher_of({"a": CLASSIFIER}), PerTaskTeacher)
    ready = lb.Teacher(CLASSIFIER)
    assert teacher_of(ready) is ready


# ------------------------------------------------------------------------------------------ left as it was


def test_a_teacher_is_left_as_it_was(data, tmp_path):
    module = nn.Sequential(nn.BatchNorm1d(13, affine=False), nn.Dropout(0.2), network()).train()
    module[0].running_mean.zero_(), module[0].running_var.fill_(1)
    module[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    inputs = data.train.inputs.copy()
    lb.label(module, data, out=tmp_path / "run")
    assert [part.training for part in module] == [False, True, True]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    np.testing.assert_array_equal(data.train.inputs, inputs)


def test_a_teacher_that_works_in_place_leaves_the_data_alone(data, answers):
    inputs = data.train.inputs.copy()

    def in_place(x):
        x -= CLASSIFIER[0].mean_.astype(np.float32)
        x /= CLASSIFIER[0].scale_.astype(np.float32)
        return CLASSIFIER[1].predict_proba(x)

    found = answers(in_place, data)["main"]
    np.testing.assert_array_equal(data.train.inputs, inputs)
    np.testing.assert_allclose(soft(found), CLASSIFIER.predict_proba(inputs), atol=5e-3)


def test_a_live_teacher_is_left_in_its_mode(data, tmp_path):
    body = nn.Sequential(nn.Linear(13, 8), nn.Linear(8, 3)).train()
    with torch.no_grad():
        left, values, right = torch.linalg.svd(network().weight)
        body[0].weight.zero_()[:3] = values[:, None] * right[:3]
        body[0].bias.zero_()
        body[1].weight.zero_()[:, :3] = left
        body[1].bias.copy_(network().bias)
    objective = lb.CE() + lb.KD() + 0.1 * lb.Hint(pair=("body.0", "0"))
    lb.distill(
        body, "mlp(hidden=[4])", data, objective=objective, train=5, seeds=1, onnx=False, attribution=False,
        out=tmp_path / "run",
    )  # fmt: skip
    assert all(part.training for part in body.modules())


def test_losses_that_look_inside_are_refused_where_there_is_no_inside(data, tmp_path):
    objective = lb.CE() + lb.Hint(pair=("body.1", "0"))
    for teacher in (table(), [network(), network()], {"main": network()}):
        with pytest.raises(NotSupported, match="a teacher with inner features for tap '0', got"):
            lb.distill(teacher, "mlp(hidden=[4])", data, objective=objective, train=5, seeds=1, out=tmp_path / "run")


def test_a_class_that_the_teacher_never_saw_is_said(data, tmp_path):
    seen = Y[:120] != 2
    partial = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:120][seen], Y[:120][seen])
    run = lb.distill(partial, "linear", data, train=5, seeds=1, onnx=False, attribution=False, out=tmp_path / "run")
    assert "LB206" in [check["code"] for check in run.scorecard["findings"]]


def test_another_order_of_classes_is_another_teacher():
    same = {lb.Teacher(CLASSIFIER).fingerprint(), teacher_of(CLASSIFIER).fingerprint()}
    other = lb.Teacher(CLASSIFIER, classes=[0, 2, 1]).fingerprint()
    assert len(same) == 1 and other not in same
