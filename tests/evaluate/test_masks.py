"""Metrics of masks over images: their values, the influence of an image, and what is said beside them."""

import numpy as np
import pytest

from limbeck.data.masks.measures import counts_of, measures_of
from limbeck.data.task import Outcome
from limbeck.evaluate import fidelity, pixels, predictions
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.stats import linearise
from limbeck.evaluate.taskcard import task_card

NAMES = ("ground", "cell", "edge")


def answered(rows=40, size=60, seed=0, right=0.7):
    draw = np.random.default_rng(seed)
    y = draw.choice(3, size=(rows, size), p=[0.7, 0.2, 0.1]).astype(np.int16)
    y[draw.random(y.shape) < 0.1] = -1
    said = np.where(draw.random(y.shape) < right, np.maximum(y, 0), draw.integers(0, 3, y.shape))
    return said.astype(np.uint8), y


def brute(said, y):
    """Intersections and unions of each class by comparing sets of pixels."""
    known = y >= 0
    both = [int(((said == c) & (y == c) & known).sum()) for c in range(3)]
    either = [int((((said == c) | (y == c)) & known).sum()) for c in range(3)]
    return np.array(both), np.array(either)


def test_metrics_are_those_of_all_pixels_of_all_images():
    said, y = answered()
    both, either = brute(said, y)
    measures = measures_of(NAMES)
    assert measures["mean_iou"].fn(said, y, None) == pytest.approx((both / either).mean())
    assert measures["iou.cell"].fn(said, y, None) == pytest.approx(both[1] / either[1])
    assert measures["dice"].fn(said, y, None) == pytest.approx((2 * both / (both + either)).mean())
    assert measures["pixel_accuracy"].fn(said, y, None) == pytest.approx((said == y)[y >= 0].mean())
    assert list(measures)[:3] == ["mean_iou", "dice", "pixel_accuracy"]


def test_a_weight_of_two_is_an_image_seen_twice():
    said, y = answered(rows=6)
    twice = np.array([0, 0, 1, 2, 3, 4, 5])
    weights = np.array([2.0, 1, 1, 1, 1, 1])
    for measure in measures_of(NAMES).values():
        assert measure.fn(said, y, weights) == pytest.approx(measure.fn(said[twice], y[twice], None))


def test_a_class_that_nobody_shows_counts_nowhere():
    said, y = np.zeros((2, 4), dtype=np.uint8), np.zeros((2, 4), dtype=np.int16)
    assert measures_of(NAMES)["mean_iou"].fn(said, y, None) == 1.0
    assert measures_of(NAMES)["iou.edge"].fn(said, y, None) == 0.0


def test_counts_in_parts_are_counts(monkeypatch):
    said, y = answered(rows=11)
    whole = counts_of(said, y, 3)
    monkeypatch.setattr("limbeck.data.masks.measures._ONCE", 4)
    for one, other in zip(whole, counts_of(said, y, 3), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["mean_iou", "dice", "pixel_accuracy", "iou.edge"])
def test_the_influence_of_an_image_is_what_leaving_it_out_does(name):
    said, y = answered(rows=60)
    measure = measures_of(NAMES)[name]
    weights = np.random.default_rng(1).uniform(0.5, 2, 60)
    exact = measure.influence(said, y, weights)
    left_out = linearise(measure.fn, said[None], y, weights)[0] - measure.fn(said, y, weights)
    assert np.average(exact, weights=weights) == pytest.approx(0, abs=1e-12)
    assert np.allclose(exact, left_out, atol=0.05 * np.abs(exact).max())
    step = 1e-6  # and it is the derivative
    moved = weights.copy()
    moved[3] += step * weights.sum()
    slope = (measure.fn(said, y, moved) - measure.fn(said, y, weights)) / step
    assert slope == pytest.approx(exact[3], rel=1e-3, abs=1e-6)


def test_intervals_over_images_cover_the_truth():
    """95 % intervals of mean IoU over images whose pixels are alike hold the value of many images."""
    from limbeck.evaluate.stats import arm

    measure = measures_of(NAMES)["mean_iou"]

    def drawn(rows, seed):
        draw = np.random.default_rng(seed)
        y = draw.integers(0, 3, (rows, 30)).astype(np.int16)
        quality = draw.beta(4, 2, (rows, 1))  # of a whole image: its pixels are no rows of their own
        said = np.where(draw.random(y.shape) < quality, y, (y + 1) % 3).astype(np.uint8)
        return said, y

    truth = measure.fn(*drawn(60_000, 10_000), None)
    held = 0
    for seed in range(200):
        said, y = drawn(40, seed)
        scores = linearise(measure.fn, said[None], y, None, influence=measure.influence)
        interval = arm(scores, None, None)
        held += interval.low <= truth <= interval.high
    assert 0.90 <= held / 200 <= 0.99


def test_masks_are_judged_with_a_verdict_and_all_that_stands_beside_it():
    said, y = answered(rows=50, right=0.95)
    control = np.stack([answered(rows=50, seed=s, right=0.6)[0] for s in (1, 2, 3)])
    draw = np.random.default_rng(5)
    student = np.stack([np.where(draw.random(y.shape) < 0.2, control[s], said) for s in range(3)]).astype(np.uint8)
    task = Outcome("segmentation", NAMES, "segmentation", "mean_iou", measures_of(NAMES), most_frequent)
    arms = {"teacher": said[None], "student": student, "control": control}
    card = task_card("main", Evidence(task, y, arms, y_train=y, stored=(said, y)), margin=0.01).card
    assert card["metric"]["name"] == "mean_iou" and card["verdict"] == "helped"
    assert card["gain"]["value"] == pytest.approx(np.mean(card["gain_per_seed"]))
    assert card["fidelity"]["arms"]["student"]["agreement"]["value"] == pytest.approx((student == said).mean())
    assert sum(card["fidelity"]["arms"]["student"]["rows"].values()) == pytest.approx((y >= 0).sum())
    assert np.sum(card["fidelity"]["matrix"]["matrix"]) == pytest.approx(y.size, abs=0.1)
    assert {line["name"] for line in card["classes"]} == set(NAMES) and card["knowledge"]["credited"]
    assert card["calibration"] is None and "iou.edge" in card["arms"]["student"]["metrics"]
    assert card["trivial"]["metrics"]["mean_iou"] < 0.3


def most_frequent(y_train, rows):
    return np.full((rows, y_train.shape[1]), np.bincount(y_train[y_train >= 0]).argmax(), dtype=np.uint8)


def test_images_that_show_a_class_stand_for_its_rows():
    y = np.array([[0, 0, 1], [0, 0, 0]], dtype=np.int16)
    (worst, other) = pixels.class_damage(("a", "b"), y, y[None], np.zeros_like(y)[None], None, None)
    assert (worst["name"], worst["rows"], worst["damage"]) == ("b", 1, -1.0) and other["rows"] == 2


def test_agreement_of_masks_is_the_share_of_equal_pixels():
    task = Outcome("segmentation", NAMES, "segmentation", "mean_iou", {})
    teacher, student = np.array([[[0, 1, 2, 2]]]), np.array([[[0, 1, 2, 0]], [[0, 1, 2, 2]]])
    assert fidelity.agreement_rows(task, teacher, student).tolist() == [[0.75], [1.0]]


def test_predictions_of_masks_are_bytes_on_disk(tmp_path):
    keys = np.stack([np.zeros(50, np.uint64), np.arange(50, dtype=np.uint64)], axis=1)
    masks = np.zeros((1, 50, 4096), dtype=np.uint8)
    masks[:, :, 100:900] = 1
    predictions.write(tmp_path / "p.parquet", keys, "student", {"main": masks}, [0])
    found = predictions.read(tmp_path / "p.parquet").answers["student"]["main"]
    assert found.dtype == np.uint8 and np.array_equal(found, masks)
    assert (tmp_path / "p.parquet").stat().st_size < masks.size / 4
