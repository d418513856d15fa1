import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch, StoreMismatch
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.data.views import view_of
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer.source import Ensemble, Live, Stored

CLASSES = Classification(("ant", "bee", "cat"))
LABELS = MultiLabel(("round", "red"))
PRICE = Regression(("price",), (300_000.0,), (100_000.0,))


def batch_of(rows, **extra):
    return Batch(keys=rows.keys, **extra)


# ------------------------------------------------------------------------------------------ stored


@pytest.mark.parametrize("tasks", [{"main": CLASSES}, {"price": PRICE}])
def test_answers_bound_to_a_table_are_those_of_its_keys(tmp_path, kit, tasks):
    rows = kit.rows()
    kit.store(tmp_path / "t", rows, kit.Teacher({head: task.size for head, task in tasks.items()}), heads=tasks)
    source = Stored(tmp_path / "t", tasks)
    keys, picked = rows.keys[::-1], np.array([3, 0, 3, 7])
    bound = source.bound_to(keys, 0)
    for head in tasks:
        wanted = source.answer(Batch(keys=keys[picked])).outputs[head]
        assert torch.equal(bound.at(picked, None).outputs[head], wanted)


def test_answers_bound_to_a_table_know_views(tmp_path, kit):
    rows = kit.rows()
    view = view_of("noise(0.5)", "array", 0, rows)
    kit.store(tmp_path / "t", rows, heads={"main": CLASSES}, view=view, views=3)
    source = Stored(tmp_path / "t", {"main": CLASSES})
    picked, views = np.array([1, 1, 1, 4]), np.array([0, 1, 2, 2])
    bound = source.bound_to(rows.keys, 3).at(picked, views).outputs["main"]
    assert torch.equal(bound, source.answer(Batch(keys=rows.keys[picked], views=views)).outputs["main"])
    assert not torch.equal(bound[0], bound[1])
    with pytest.raises(StoreMismatch, match=r"expected answers to all 10 rows .* view 3"):
        source.bound_to(rows.keys[:10], 4)


def test_a_table_without_answers_cannot_be_bound(tmp_path, kit):
    rows = kit.rows()
    kit.store(tmp_path / "t", rows.take(np.arange(5)), heads={"main": CLASSES})
    with pytest.raises(StoreMismatch, match="5 are missing, the first at position 5"):
        Stored(tmp_path / "t", {"main": CLASSES}).bound_to(rows.keys[:10], 0)


def test_stored_answers_are_the_teachers(tmp_path, kit):
    rows = kit.rows()
    store = kit.store(tmp_path / "t", rows, heads={"main": CLASSES})
    source = Stored(tmp_path / "t", {"main": CLASSES})
    assert source.have() == Needs(outputs=("main",))
    live = kit.Teacher().answer(batch_of(rows, teacher_inputs=torch.from_numpy(rows.inputs)))
    stored = source.answer(batch_of(rows))
    torch.testing.assert_close(stored.outputs["main"], live.outputs["main"], atol=5e-3, rtol=0)
    assert not stored.outputs["main"].requires_grad
    assert Stored(store).answer(batch_of(rows)).outputs.keys() == {"main"}


def test_stored_regression_comes_back_standardised(tmp_path, kit):
    rows = kit.rows()
    teacher = kit.Teacher({"price": 1})
    kit.store(tmp_path / "t", rows, teacher, heads={"price": PRICE})
    live = teacher.answer(batch_of(rows, teacher_inputs=torch.from_numpy(rows.inputs))).outputs["price"]
    stored = Stored(tmp_path / "t", {"price": PRICE}).answer(batch_of(rows)).outputs["price"]
    natural = Stored(tmp_path / "t").answer(batch_of(rows)).outputs["price"]
    torch.testing.assert_close(stored, live, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(natural, live * 100_000 + 300_000)
    assert stored.dtype == torch.float32


def test_stored_answers_must_be_of_these_classes_in_this_order(tmp_path, kit):
    kit.store(tmp_path / "t", heads={"main": CLASSES})
    with pytest.raises(StoreMismatch, match=r"over \[bee, ant, cat\] \(3\), .* over \[ant, bee, cat\]"):
        Stored(tmp_path / "t", {"main": Classification(("bee", "ant", "cat"))})
    with pytest.raises(StoreMismatch, match=r"expected multilabel answers for 'main'"):
        Stored(tmp_path / "t", {"main": MultiLabel(("ant", "bee", "cat"))})
    with pytest.raises(StoreMismatch, match=r"answers for head 'colour' in the transfer set .* it holds main"):
        Stored(tmp_path / "t", {"colour": CLASSES})


def test_a_row_that_was_never_labelled_is_refused(tmp_path, kit):
    kit.store(tmp_path / "t", heads={"main": CLASSES})
    with pytest.raises(StoreMismatch, match="10 are missing, the first at position 0"):
        Stored(tmp_path / "t").answer(batch_of(kit.rows(10, start=100)))
    with pytest.raises(StoreMismatch, match="view 1"):
        Stored(tmp_path / "t").answer(batch_of(kit.rows(2), views=np.array([0, 1])))


# ------------------------------------------------------------------------------------------ live


class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(5, width)

    def forward(self, x):
        return self.last(self.drop(self.body(x)))


def test_a_live_module_answers_in_eval_mode_without_gradients(kit):
    torch.manual_seed(0)
    net = Net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    batch = batch_of(kit.rows(6), teacher_inputs=torch.randn(6, 4))
    source = Live(net, {"main": CLASSES}, taps=("body",))
    first = source.answer(batch)
    net.drop.train()
    second = source.answer(batch)
    assert torch.equal(first.outputs["main"], second.outputs["main"]), "dropout is off, again"
    assert not first.outputs["main"].requires_grad
    assert torch.equal(first.taps["body"], net.body(batch.teacher_inputs))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert source.have() == Needs(outputs=("main",), taps=("body",), on_policy=True)


def test_gradients_reach_the_input_and_never_the_weights(kit):
    net = Net()
    x = torch.randn(6, 4, requires_grad=True)
    source = Live(net, {"main": CLASSES}, input_grad=True)
    source.answer(batch_of(kit.rows(6), teacher_inputs=x)).outputs["main"].sum().backward()
    assert x.grad is not None and bool(x.grad.any())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert source.have().teacher_input_grad


def test_probabilities_become_logits_as_the_first_batch_says(kit):
    logits = torch.randn(8, 3)
    batch = batch_of(kit.rows(8), teacher_inputs=logits)
    source = Live(lambda x: x.softmax(-1).numpy(), {"main": CLASSES})
    for _ in range(2):
        got = source.answer(batch).outputs["main"]
        torch.testing.assert_close(got, logits.log_softmax(-1), atol=1e-4, rtol=1e-4)
    raw = Live(lambda x: x.softmax(-1), {"main": CLASSES}, output="logits")
    assert torch.equal(raw.answer(batch).outputs["main"], logits.softmax(-1))
    labels = Live(lambda x: {"main": x[:, :2].sigmoid()}, {"main": LABELS}, output="probabilities")
    torch.testing.assert_close(labels.answer(batch).outputs["main"], logits[:, :2], atol=1e-4, rtol=1e-4)


def test_regression_units(kit):
    batch = batch_of(kit.rows(2), teacher_inputs=torch.tensor([[300_000.0], [500_000.0]]))
    natural = Live(lambda x: x, {"main": PRICE})
    torch.testing.assert_close(natural.answer(batch).outputs["main"], torch.tensor([[0.0], [2.0]]))
    training = Live(lambda x: x, {"main": PRICE}, units="training")
    assert torch.equal(training.answer(batch).outputs["main"], batch.teacher_inputs)
    with pytest.raises(ConfigError, match="units of a teacher to be natural or training, got 'dollars'"):
        Live(lambda x: x, {"main": PRICE}, units="dollars")


def test_what_a_live_teacher_cannot_give(kit):
    with pytest.raises(MissingSignal, match="expected a torch module for taps, attention or input gradients, got func"):
        Live(lambda x: x, {"main": CLASSES}, taps=("body",))
    batch = batch_of(kit.rows(6), teacher_inputs=torch.randn(6, 4))
    with pytest.raises(ShapeMismatch, match="expected the teacher to give 3 numbers a row for 'main', it gives 7"):
        Live(Net(7), {"main": CLASSES}).answer(batch)


# ------------------------------------------------------------------------------------------ ensembles


class Fixed:
    def __init__(self, **outputs):
        self.outputs = {name: torch.as_tensor(value) for name, value in outputs.items()}
        self.asked = 0

    def have(self):
        return Needs(outputs=tuple(self.outputs))

    def answer(self, batch):
        self.asked += 1
        return Signals(self.outputs)


def test_an_ensemble_averages_probabilities_and_values(kit):
    generator = torch.Generator().manual_seed(0)
    heads = {"main": CLASSES, "labels": LABELS, "price": PRICE}
    members = [
        Fixed(**{name: torch.randn(5, head.size, generator=generator) * 3 for name, head in heads.items()})
        for _ in range(3)
    ]
    got = Ensemble(members, [2.0, 1.0, 5.0], heads=heads).answer(batch_of(kit.rows(5))).outputs
    shares = (0.25, 0.125, 0.625)
    mean = sum(w * m.outputs["main"].softmax(-1) for w, m in zip(shares, members, strict=True))
    torch.testing.assert_close(got["main"].softmax(-1), mean)
    torch.testing.assert_close(got["main"].logsumexp(-1), torch.zeros(5), atol=1e-6, rtol=0)
    mean = sum(w * m.outputs["labels"].sigmoid() for w, m in zip(shares, members, strict=True))
    torch.testing.assert_close(got["labels"].sigmoid(), mean)
    mean = sum(w * m.outputs["price"] for w, m in zip(shares, members, strict=True))
    torch.testing.assert_close(got["price"], mean)


def test_sure_members_stay_finite(kit):
    heads = {"main": LABELS, "c": CLASSES}
    far = [[200.0, -200.0]]
    one = Fixed(main=far, c=[[300.0, -300.0, 0.0]])
    other = Fixed(main=[[-200.0, -200.0]], c=[[300.0, -300.0, 0.0]])
    got = Ensemble([one, other], heads=heads).answer(batch_of(kit.rows(1))).outputs
    assert torch.isfinite(got["main"]).all() and torch.isfinite(got["c"]).all()
    torch.testing.assert_close(got["main"][0, 0], torch.tensor(0.0))
    assert got["main"][0, 1] < -150


def test_members_without_weight_are_not_asked(kit):
    one, other = Fixed(main=torch.zeros(1, 3)), Fixed(main=torch.full((1, 3), float("nan")))
    got = Ensemble([one, other], [3.0, 0.0], heads={"main": CLASSES}).answer(batch_of(kit.rows(1)))
    assert torch.isfinite(got.outputs["main"]).all()
    assert (one.asked, other.asked) == (1, 0)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, -0.5], r"not negative and not all zero, got \[1.0, -0.5\]"),
        ([0.0, 0.0], "not all zero"),
        ([float("nan"), 1.0], "finite"),
        ([1.0], "one weight per teacher, got 1 weights for 2 teachers"),
    ],
)
def test_weights_that_are_none(weights, words):
    with pytest.raises(ConfigError, match=words):
        Ensemble([Fixed(main=torch.zeros(1, 3))] * 2, weights, heads={"main": CLASSES})


def test_members_that_do_not_fit(kit):
    with pytest.raises(ConfigError, match="expected at least one teacher in an ensemble"):
        Ensemble([], heads={"main": CLASSES})
    one = Fixed(main=torch.zeros(1, 3))
    with pytest.raises(MissingSignal, match="teacher 1 lacks output 'main'"):
        Ensemble([one, Fixed(other=torch.zeros(1, 3))], heads={"main": CLASSES})
    with pytest.raises(ShapeMismatch, match=r"one shape, got \[1, 2\] and \[1, 3\]"):
        Ensemble([one, Fixed(main=torch.zeros(1, 2))], heads={"main": CLASSES}).answer(batch_of(kit.rows(1)))


def test_an_ensemble_can_be_stored(tmp_path, kit):
    rows = kit.rows()
    heads = {"main": CLASSES}
    members = Ensemble([Live(Net(), heads), kit.Teacher()], [1.0, 3.0], heads=heads)
    kit.store(tmp_path / "t", rows, members, heads=heads)
    live = members.answer(batch_of(rows, teacher_inputs=torch.from_numpy(rows.inputs)))
    stored = Stored(tmp_path / "t", heads).answer(batch_of(rows))
    torch.testing.assert_close(stored.outputs["main"], live.outputs["main"], atol=1e-2, rtol=0)
