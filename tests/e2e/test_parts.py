"""Whole runs on rows of several parts: from Python and from a recipe, to an exported student that answers raw rows."""

import json

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from typer.testing import CliRunner

import limbeck as lb
from limbeck.cli.main import app
from limbeck.models.parts.student import encoded_parts

TWO = "parts(text='bag_of_words(dim=8, hidden=[8], vocabulary=100)', table='mlp(hidden=[8])', join=8)"
WORDS = {"sport": ["ball", "goal", "team"], "food": ["soup", "bread", "salt"]}


def table(rows, seed):
    """A topic that the title tells, a price that numbers and title tell."""
    rng = np.random.default_rng(seed)
    topic = rng.choice(list(WORDS), rows)
    title = [f"{rng.choice(['good', 'new'])} {rng.choice(WORDS[t])} {rng.integers(9)}" for t in topic]
    size, state = rng.normal(size=rows), rng.choice(["old", "new"], rows)
    price = 2 * size + (state == "new") + 2.0 * (topic == "food")
    return pd.DataFrame({"title": title, "size": size, "state": state, "topic": topic, "price": price})


def parts_of(frame):
    pixels = np.zeros((len(frame), 6, 6), np.uint8)
    pixels[:, :3] = (60 * (frame["size"].to_numpy() + 3)).clip(0, 255).astype(np.uint8)[:, None, None]
    return {"text": frame.title.tolist(), "table": frame[["size", "state"]], "picture": pixels}


def both(frame):
    return {"topic": frame.topic.to_numpy(), "price": frame.price.to_numpy()}


@pytest.fixture(scope="module")
def data():
    train, more, test = (table(rows, seed) for rows, seed in ((160, 0), (100, 1), (80, 2)))
    return lb.Data(
        train=(parts_of(train), both(train)), unlabeled=parts_of(more), test=(parts_of(test), both(test)),
        task={"topic": "classification", "price": "regression"}, view={"text": "drop(0.1)"}, views=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    plan = lb.TrainSpec(steps=80, batch_size=32, learning_rate=0.02)
    return lb.distill("parts(join=32)", "parts(join=8)", data, train=plan, seeds=3, int8=True, attribution=False,
                      out=tmp_path_factory.mktemp("runs") / "three")  # fmt: skip


def test_texts_tables_and_pictures_two_tasks(run, data):
    cards = run.scorecard["tasks"]
    assert list(cards) == ["topic", "price"] and all(card["verdict"] for card in cards.values())
    assert cards["topic"]["arms"]["student"]["metrics"]["accuracy"]["value"] > 0.9
    assert "topic" in run.report(run.folder / "r.md")[0].read_text()
    assert json.loads((run.folder / "export" / "parity.json").read_text())["held"]
    assert run.scorecard["int8"]["tensors"] > 0


def test_the_exported_student_is_the_trained_one(run, data):
    session = ort.InferenceSession(str(run.exported))
    names = {given.name for given in session.get_inputs()}
    assert names == {"text.input_ids", "text.attention_mask", "size", "state", "picture"}
    test, module = table(80, 2), run.student
    rows = encoded_parts(data.test.inputs, data.preprocess, module.encoders)
    with torch.no_grad():
        said = module(rows.plain())["topic"].argmax(1).numpy()
    found = run.predict(data.test.inputs.plain(), "topic")
    assert (np.asarray(data.tasks["topic"].names)[said] == found).all()
    assert (found == test.topic).mean() > 0.9
    price = run.predict(parts_of(test), "price")
    assert np.corrcoef(price, test.price)[0, 1] > 0.8
    assert len(run.predict({name: part[:0] for name, part in parts_of(test).items()}, "price")) == 0
    with pytest.raises(lb.ConfigError, match="expected the parts text, table, picture of each row, got ndarray"):
        run.predict(np.zeros((2, 3)), "price")


def test_what_is_done_is_not_done_again_and_a_cut_run_goes_on(data, tmp_path):
    how = {"train": 20, "seeds": 2, "onnx": False, "out": tmp_path / "cut"}
    lb.distill(TWO.replace("table=", "picture='mlp', table="), "parts(join=4)", data, until="train", **how)
    weights = {path: path.read_bytes() for path in (tmp_path / "cut").rglob("*.safetensors")}
    done = lb.distill(TWO.replace("table=", "picture='mlp', table="), "parts(join=4)", data, **how)
    assert done.status == "done" and weights
    assert all(path.read_bytes() == before for path, before in weights.items())


# ------------------------------------------------------------------------------------------ teachers


def raw_teacher(parts):
    """Gets the raw parts: texts, a frame, pixels."""
    assert isinstance(parts, dict) and isinstance(parts["table"], pd.DataFrame) and parts["picture"].dtype == np.uint8
    food = np.array([any(word in title for word in WORDS["food"]) for title in parts["text"].iloc[:, 0]])
    price = 2 * parts["table"]["size"] + (parts["table"].state == "new") + 2.0 * food
    return {"topic": np.stack([4.0 * food, 4.0 * ~food], axis=1), "price": price.to_numpy()}


def test_a_function_as_teacher_gets_the_raw_parts(data, tmp_path):
    run = lb.distill(lb.Teacher(raw_teacher, output="logits"), "parts(join=8)", data, train=60, seeds=1, onnx=False,
                     out=tmp_path / "raw")  # fmt: skip
    assert run.scorecard["tasks"]["topic"]["arms"]["teacher"]["metrics"]["accuracy"]["value"] == 1.0


def pipeline(last):
    return make_pipeline(make_column_transformer((OneHotEncoder(), ["state"]), remainder="passthrough"), last)


def test_estimators_take_the_parts_that_they_are_told(data, tmp_path):
    train = table(160, 0)
    fitted = pipeline(Ridge()).fit(train[["size", "state"]], train.price)
    teachers = {"topic": raw_topic, "price": lb.Teacher(fitted, parts=["table"])}
    run = lb.distill(teachers, "parts(join=8)", data, train=60, seeds=1, onnx=False, out=tmp_path / "given")
    assert run.scorecard["tasks"]["price"]["arms"]["teacher"]["metrics"]["r2"]["value"] > 0.7
    teachers = {"topic": raw_topic, "price": lb.Teacher(pipeline(Ridge()), parts=["table"])}
    taught = lb.distill(teachers, "parts(join=8)", data, train=60, seeds=1, onnx=False, out=tmp_path / "taught")
    assert taught.scorecard["tasks"]["price"]["arms"]["teacher"]["metrics"]["r2"]["value"] > 0.7


def raw_topic(parts):
    return raw_teacher(parts)["topic"]


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (lambda: lb.Teacher(pipeline(Ridge()), parts=["tabel"]), "did you mean 'table'"),
        (lambda: pipeline(Ridge()), "expected one part of the rows (text, table, picture) for a scikit-learn teacher"),
        (lambda: torch.nn.Linear(3, 1), "expected a teacher that brings a tokenizer for the text 'text', Linear has"),
    ],
)
def test_teachers_that_do_not_fit_parts(data, teacher, said, tmp_path):
    with pytest.raises(lb.LimbeckError) as error:
        lb.distill({"topic": raw_topic, "price": teacher()}, "parts", data, train=5, seeds=1, out=tmp_path / "no")
    assert said in str(error.value)


def test_parts_of_a_teacher_of_other_rows_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    plain = lb.Data(train=(x, y), test_fraction=0.3)
    with pytest.raises(lb.ConfigError, match="expected rows of several parts for a teacher that takes table"):
        lb.distill(lb.Teacher(LogisticRegression().fit(x, y), parts=["table"]), "mlp", plain, train=5, seeds=1,
                   out=tmp_path / "no")  # fmt: skip


class Whole(torch.nn.Module):
    """A torch module of a user's own that takes the parts of a row as a mapping and answers with a nested one."""

    def __init__(self):
        super().__init__()
        self.topic, self.price = torch.nn.Linear(41, 2), torch.nn.Linear(41, 1)

    def forward(self, parts):
        together = torch.cat([parts["table"], parts["picture"].flatten(1)], dim=1)
        return {"offer": {"topic": self.topic(together), "price": self.price(together)}}


def test_a_module_of_ones_own_with_nested_outputs_is_exported(tmp_path):
    def without_text(frame):
        return {name: part for name, part in parts_of(frame).items() if name != "text"}

    def labels(frame):
        return {"offer": {"topic": np.where(frame["size"] > 0, "large", "small"), "price": frame.price}}

    train, test = table(160, 0), table(60, 1)
    data = lb.Data(train=(without_text(train), labels(train)), test=(without_text(test), labels(test)))
    plan = lb.TrainSpec(steps=150, batch_size=32, learning_rate=0.02)
    run = lb.distill("parts(join=16)", Whole(), data, train=plan, seeds=1, out=tmp_path / "own")
    assert json.loads((run.folder / "export" / "parity.json").read_text())["held"]
    assert isinstance(run.student, Whole)
    truth = np.where(test["size"] > 0, "large", "small")
    assert (run.predict(without_text(test), "offer.topic") == truth).mean() > 0.8


# ------------------------------------------------------------------------------------------ a recipe


RECIPE = f"""
name: offers
data:
  train: train.csv
  test: test.csv
  columns:
    inputs: {{text: [title], table: [size, state]}}
    target: {{topic: topic, price: price}}
    id: id
  view: {{text: drop(0.1)}}
  views: 2
  task: {{topic: classification, price: regression}}
teacher: "parts(join=32)"
student: "{TWO}"
train: {{steps: 60, batch_size: 32, learning_rate: 0.02}}
seeds: 3
"""


def called(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, f"{done.output}{done.stderr}"
    return done.output


def test_a_recipe_and_predict_on_a_table_with_the_columns_of_all_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows, seed in (("train", 160, 0), ("test", 80, 1), ("new", 12, 2)):
        table(rows, seed).assign(id=[f"{name}{i}" for i in range(rows)]).to_csv(f"{name}.csv", index=False)
    (tmp_path / "offers.yaml").write_text(RECIPE)
    called("check", "offers.yaml")
    called("distill", "offers.yaml", "--out", "here")
    new = pd.read_csv("new.csv").drop(columns=["topic", "price"])
    new.loc[3, "title"] = None
    new.to_csv("new.csv", index=False)
    said = called("predict", "here", "new.csv").splitlines()
    assert said[0] == "id,topic,price" and len(said) == 13 and said[1].startswith("new0,")
    with_proba = called("predict", "here", "new.csv", "--proba").splitlines()
    assert with_proba[0] == "id,topic.food,topic.sport,price"
    new.drop(columns="state").to_csv("new.csv", index=False)
    refused = CliRunner().invoke(app, ["predict", "here", "new.csv"])
    assert refused.exit_code == 2 and "expected column 'state'" in refused.stderr
