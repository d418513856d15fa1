"""Every form of a teacher gives the same answers; every form of a student comes back as it was written."""

import numpy as np
import pandas as pd
import pytest
import torch
from e2e_runs import Trained, consistent, distil, score, trivial, weights_of
from sklearn.linear_model import LogisticRegression
from torch import nn

import limbeck as lb
from limbeck.core.yamltext import read_yaml

SHORT = {"train": lb.TrainSpec(steps=10, batch_size=16, learning_rate=0.02), "seeds": 1, "until": "train"}


@pytest.fixture(scope="module")
def data(rows):
    x, y = rows
    ids = np.array([f"row {number}" for number in range(400)])
    cuts = {"train": slice(0, 120), "validation": slice(120, 180), "test": slice(180, 400)}
    return lb.Data(**{split: (x[cut], y[cut], ids[cut]) for split, cut in cuts.items()})


@pytest.fixture(scope="module")
def module(rows):
    x, y = rows
    return Trained(x[400:], y[400:])


@pytest.fixture(scope="module")
def table(rows, module):
    """The module's probabilities of all rows, in an order of its own."""
    with torch.no_grad():
        said = module(torch.from_numpy(rows[0][:400])).softmax(-1).numpy()
    frame = pd.DataFrame(said, columns=[str(c) for c in range(10)])
    return frame.assign(id=[f"row {number}" for number in range(400)]).sample(frac=1, random_state=0)


def answers(teacher, data, out):
    return lb.label(teacher, data, out=out).outputs()


def shares(logits):
    return torch.from_numpy(np.asarray(logits, dtype=np.float32)).softmax(-1).numpy()


def test_forms_of_one_teacher_give_the_same_answers(data, module, table, tmp_path):
    table.to_csv(tmp_path / "said.csv", index=False)
    table.to_parquet(tmp_path / "said.parquet")

    def logits(x):
        return module(torch.from_numpy(x)).numpy()

    def probabilities(x):
        return module(torch.from_numpy(x)).softmax(-1).numpy()

    forms = [module, logits, probabilities, table, tmp_path / "said.csv", str(tmp_path / "said.parquet")]
    found = [answers(form, data, tmp_path / str(place)) for place, form in enumerate(forms)]
    np.testing.assert_array_equal(found[0], found[1])
    assert shares(found[0]).std() > 0.1
    for other in found[2:]:  # logarithms in half precision
        np.testing.assert_allclose(shares(other), shares(found[0]), atol=3e-3)


def test_a_table_of_predictions_goes_the_whole_way(data, table, tmp_path):
    run = distil(table, "mlp(hidden=[12])", data, tmp_path / "run")
    card = consistent(run)
    assert score(run) > trivial(run) + 0.4
    assert card["provenance"]["teacher"]["kind"] == "predictions"
    assert card["smaller"] is None and card["costs"]["teacher"]["parameters"] is None  # nobody knows


def test_an_ensemble_is_the_weighted_mean_of_its_members(rows, data, module, tmp_path):
    x, y = rows
    plain = LogisticRegression(max_iter=300).fit(x[400:600], y[400:600])
    both = answers([(module, 3.0), (plain, 1.0)], data, tmp_path / "both")
    with torch.no_grad():
        one = module(torch.from_numpy(np.asarray(data.train.inputs))).softmax(-1).numpy()
    mean = 0.75 * one + 0.25 * plain.predict_proba(data.train.inputs)
    keys = lb.TransferSet(tmp_path / "both" / "transfer").store.find(data.train.keys)
    np.testing.assert_allclose(shares(both[keys]), mean, atol=5e-3)
    alike = [answers(each, data, tmp_path / name) for name, each in (("a", [module, plain]), ("b", [plain, module]))]
    np.testing.assert_allclose(alike[0], alike[1], atol=0.02)


class Small(nn.Module):
    """A student with batch statistics of its own and a softmax at its end."""

    def __init__(self, softmax=True):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))
        self.last = nn.Softmax(-1) if softmax else nn.Identity()

    def forward(self, inputs):
        return self.last(self.layers(inputs))


def test_a_final_softmax_is_taken_off_for_training_and_put_back(data, module, tmp_path):
    with_softmax = distil(module, Small, data, tmp_path / "with", **SHORT)
    without = distil(module, lambda: Small(softmax=False), data, tmp_path / "without", **SHORT)
    for arm in ("student", "control"):
        one, other = weights_of(with_softmax, arm), weights_of(without, arm)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    inputs = torch.from_numpy(np.ascontiguousarray(data.preprocess.encode(data.test.inputs), dtype=np.float32))
    with torch.no_grad():
        said, logits = with_softmax.student(inputs), without.student(inputs)
    assert isinstance(with_softmax.student, Small) and not with_softmax.student.training
    torch.testing.assert_close(said, logits.softmax(-1))


def test_a_factory_is_initialised_for_each_seed_and_an_instance_is_copied(data, module, tmp_path):
    torch.manual_seed(3)
    own = Small()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    settings = SHORT | {"seeds": 2, "train": lb.TrainSpec(steps=1, batch_size=16, learning_rate=1e-9, weight_decay=0.0)}
    copied = distil(module, own, data, tmp_path / "instance", **settings)
    made = distil(module, Small, data, tmp_path / "factory", **settings)
    assert all(torch.equal(before[name], value) for name, value in own.state_dict().items())
    for run, same in ((copied, True), (made, False)):
        one, other = (weights_of(run, "student", seed)["layers.0.weight"] for seed in (0, 1))
        assert torch.allclose(one, other, atol=1e-6) == same
        control = weights_of(run, "control")["layers.0.weight"]
        torch.testing.assert_close(weights_of(run, "student")["layers.0.weight"], control, atol=1e-6, rtol=0)
    torch.testing.assert_close(weights_of(copied, "student")["layers.0.weight"], before["layers.0.weight"])
    described = [read_yaml(run.folder / "resolved.yaml").value["student"] for run in (copied, made)]
    assert [(each["kind"], each["pretrained"]) for each in described] == [("instance", True), ("factory", False)]


def test_a_teacher_is_left_as_it_was(data, module, tmp_path):
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    text = "0.5 * CE + 0.5 * KD + 0.1 * Hint(pair=('body.2', 'body.1'))"  # it runs while the student trains
    distil(module, "mlp(hidden=[8])", data, tmp_path / "run", objective=text, **SHORT)
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    module.eval()
