"""How several teachers are weighed: the published formulas, what must hold for any weights, and what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from limbeck.core.errors import ConfigError
from limbeck.data.tasks import Classification, MultiLabel, Regression
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer.ensemble import Ensemble
from limbeck.transfer.weighting import confidence_weights, entropies_of, entropy_weights, routing_weights

CLASSES = Classification(("ant", "bee", "cat"))
LABELS = MultiLabel(("round", "red"))
PRICE = Regression(("price",), (300_000.0,), (100_000.0,))
WEIGHED = ("entropy", "confidence", "routing")


class Fixed:
    def __init__(self, values):
        self.values = values
        self.seen = []

    def have(self):
        return Needs(outputs=("main",))

    def answer(self, batch):
        self.seen.append(batch)
        return Signals({"main": self.values})


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def asked(answers, weighting, task=CLASSES, targets=None, mask=None, **more):
    given = {} if targets is None else {"targets": {"main": targets}}
    given |= {} if mask is None else {"label_mask": {"main": mask}}
    batch = Batch(keys=np.zeros((len(answers[0]), 2), np.uint64), **given)
    source = Ensemble([Fixed(each) for each in answers], heads={"main": task}, weighting=weighting, **more)
    return source.answer(batch).outputs["main"]


@pytest.mark.parametrize("weigh", [entropy_weights, confidence_weights, routing_weights])
def test_weights_sum_to_one_and_follow_their_teachers(weigh):
    measured = random(4, 6).abs()
    weights = weigh(measured)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(6, dtype=torch.float64))
    assert (weights >= 0).all()
    order = [2, 0, 3, 1]
    torch.testing.assert_close(weigh(measured[order]), weights[order])
    assert (weights.argmax(dim=0) == measured.argmin(dim=0)).all()  # the surest, or the one of the least error
    assert torch.equal(weigh(measured[:1]), torch.ones(1, 6, dtype=torch.float64))  # alone: not 0/0
    torch.testing.assert_close(weigh(torch.zeros(2, 3)), torch.full((2, 3), 0.5))


def test_entropy_weights_are_those_of_the_authors_up_to_their_sum():
    """Rorozhl/CA-MKD (commit c2f39a9f13), helper/loops.py, on the inputs of `tests/objectives/golden_inputs.py`.

    Their weights sum to K - 1 and the loss is divided by it; ours sum to one.
    """
    theirs = torch.tensor(
        [
            [
                0.7776714220430438, 0.6946454408893057, 0.6631209332972194,
                0.7269764651384546, 0.7629133442969037, 0.6617876869964764,
            ],
            [
                0.6631434253791362, 0.7554593456484716, 0.7329323840469888,
                0.6556081377225682, 0.703953146705909, 0.776776621675743,
            ],
            [
                0.5591851525778198, 0.5498952134622226, 0.6039466826557918,
                0.6174153971389773, 0.5331335089971871, 0.5614356913277807,
            ],
        ],
        dtype=torch.float64,
    )  # fmt: skip
    i, j = torch.arange(6, dtype=torch.float64)[:, None], torch.arange(7, dtype=torch.float64)[None, :]
    labels = torch.tensor([0, 3, 6, 2, 5, 1])
    teacher = 3 * torch.cos(0.9 * i - 0.5 * j + 0.3) + 1.5 * (j == labels[:, None])
    student = 2 * torch.sin(1.3 * i + 0.7 * j + 0.1)
    members = (teacher, teacher.flip(0), 0.5 * student)
    ours = entropy_weights(torch.stack([entropies_of(each, "classes", 7) for each in members]))
    torch.testing.assert_close(ours.sum(dim=0), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(ours * (len(members) - 1), theirs, atol=1e-9, rtol=0)


def test_confidence_by_hand():
    errors = torch.tensor([[0.0], [np.log(3.0)]], dtype=torch.float64)
    torch.testing.assert_close(confidence_weights(errors), torch.tensor([[0.75], [0.25]], dtype=torch.float64))


@pytest.mark.parametrize("task", [CLASSES, LABELS])
@pytest.mark.parametrize("weighting", WEIGHED)
def test_equal_teachers_give_their_mean(weighting, task):
    answers, targets = random(5, task.size), torch.tensor([0, 1, 2, 0, 1])
    targets = targets if task is CLASSES else torch.ones(5, 2)
    torch.testing.assert_close(asked([answers] * 3, weighting, task, targets), asked([answers], "mean", task))


@pytest.mark.parametrize("weighting", WEIGHED)
def test_an_ensemble_mixes_by_the_weights_of_each_row(weighting):
    answers, targets = list(random(3, 6, 3)), torch.tensor([0, 1, 2, 2, 1, 0])
    mask = torch.tensor([True, True, True, True, False, False])
    chances = torch.stack(answers).softmax(dim=-1)
    weights = entropy_weights(-(chances * chances.log()).sum(dim=-1))
    if weighting == "routing":
        weights = routing_weights(-(chances * chances.log()).sum(dim=-1))
    if weighting == "confidence":
        by_label = confidence_weights(-chances[:, torch.arange(6), targets].log())
        weights = torch.where(mask, by_label, weights)  # rows without a label are weighed by entropy
    wanted = (weights[..., None] * chances).sum(dim=0)
    torch.testing.assert_close(asked(answers, weighting, targets=targets, mask=mask).softmax(dim=-1), wanted)


def test_labels_are_weighed_by_the_mean_over_what_is_known_of_them():
    answers = list(random(2, 4, 2, seed=3))
    targets = torch.tensor([[1.0, 0.0], [float("nan"), 1.0], [float("nan")] * 2, [0.0, 0.0]])
    chances = torch.stack(answers).sigmoid()
    both = torch.stack([chances, 1 - chances])
    entropy = -(both * both.log()).sum(dim=0).mean(dim=-1)
    error = -torch.where(targets > 0, chances, 1 - chances).log()
    by_label = confidence_weights(torch.where(targets.isnan(), torch.nan, error).nanmean(dim=-1))
    weights = torch.where(targets.isnan().all(dim=-1), entropy_weights(entropy), by_label)
    wanted = (weights[..., None] * chances).sum(dim=0)
    torch.testing.assert_close(asked(answers, "confidence", LABELS, targets).sigmoid(), wanted)
    wanted = (entropy_weights(entropy)[..., None] * chances).sum(dim=0)
    torch.testing.assert_close(asked(answers, "entropy", LABELS).sigmoid(), wanted)


def test_sure_teachers_stay_finite():
    sure = [torch.tensor([[9e4, -9e4, 0.0]]), torch.tensor([[-9e4, 9e4, 0.0]])]
    for weighting in WEIGHED:
        assert asked(sure, weighting, targets=torch.tensor([0])).softmax(dim=-1).isfinite().all()


def test_a_class_is_a_mean_over_those_who_know_it():
    far = -1e4
    one = torch.tensor([[0.75, 0.25, 0.0]], dtype=torch.float64).log().clamp_min(far)
    two = torch.tensor([[0.0, 0.5, 0.5]], dtype=torch.float64).log().clamp_min(far)
    known = [{"main": (0, 1)}, {"main": (1, 2)}]
    found = asked([one, two], "mean", known=known).softmax(dim=-1)
    wanted = torch.tensor([[0.75, 0.375, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted / wanted.sum())
    torch.testing.assert_close(asked([two, one], "mean", known=known[::-1]).softmax(dim=-1), found)
    nobody = asked([one, one], "mean", known=[{"main": (0, 1)}] * 2)
    torch.testing.assert_close(nobody.softmax(dim=-1), one.softmax(dim=-1))
    with pytest.raises(ConfigError, match=r"answers alone .weighting routing., one of them knows only some"):
        asked([one, two], "routing", known=known)


def test_only_who_weighs_by_labels_sees_them():
    targets, members = torch.tensor([1, 2]), [Fixed(random(2, 3)), Fixed(random(2, 3, seed=1))]
    source = Ensemble(members, heads={"main": CLASSES}, weighting="confidence")
    assert source.uses_labels and not Ensemble(members, heads={"main": CLASSES}, weighting="entropy").uses_labels
    source.answer(Batch(keys=np.zeros((2, 2), np.uint64), targets={"main": targets}))
    assert all(not batch.targets for member in members for batch in member.seen)


def test_what_is_refused():
    answers = [torch.zeros(1, 3)] * 2
    with pytest.raises(ConfigError, match="one of mean, entropy, confidence, routing, got 'entropi'"):
        asked(answers, "entropi")
    with pytest.raises(ConfigError, match="classes or labels where teachers are weighed by entropy, 'main' is of kind"):
        asked([torch.zeros(1, 1)] * 2, "entropy", PRICE)
    with pytest.raises(ConfigError, match=r"equal weights beside the weighting entropy.*got \[3.0, 1.0\]"):
        asked(answers, "entropy", weights=[3.0, 1.0])


def test_entropies_are_shares_of_the_largest_there_can_be():
    assert entropies_of(torch.zeros(2, 5), "classes", 5).tolist() == pytest.approx([1, 1])
    assert entropies_of(torch.zeros(2, 5), "labels", 5).tolist() == pytest.approx([1, 1])
    assert entropies_of(torch.tensor([[0.0, 0.0, -1e4]]), "classes", 2).item() == pytest.approx(1)


@dataclass(frozen=True)
class Words(Classification):
    """Classes of every word of a row."""

    kind = "words"
    positions = True


def test_answers_at_positions_are_weighed_at_each_of_them():
    answers = list(random(2, 4, 5, 3))
    chances = torch.stack(answers).softmax(dim=-1)
    weights = entropy_weights(-(chances * chances.log()).sum(dim=-1))
    found = asked(answers, "entropy", Words(("a", "b", "c")))
    torch.testing.assert_close(found.softmax(dim=-1), (weights[..., None] * chances).sum(dim=0))
    with pytest.raises(
        ConfigError, match=r"one label a row .* confidence, 'main' \(words\) is answered at every position"
    ):
        asked(answers, "confidence", Words(("a", "b", "c")))
