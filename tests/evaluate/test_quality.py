"""Metric values against scikit-learn, baselines, and metrics of the user's own."""

import re

import numpy as np
import pytest
import sacrebleu
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.data.tasks import Generation
from limbeck.evaluate.answers import Plain, decide, stacked
from limbeck.evaluate.influence import linearise
from limbeck.evaluate.quality import METRICS, metric_for, user_values

CLASSES = Plain("classification", ("a", "b", "c", "d"))
LABELS = Plain("multilabel", ("x", "y", "z"))
REAL = Plain("regression", ("p", "q"))


def case(kind, seed, rows=60):
    rng = np.random.default_rng(seed)
    if kind == "classification":
        return rng.normal(size=(rows, 4)), rng.integers(0, 4, rows), rng.uniform(0.1, 3, rows)
    if kind == "multilabel":
        return rng.normal(size=(rows, 3)), (rng.random((rows, 3)) < 0.4).astype(float), rng.uniform(0.1, 3, rows)
    if kind == "generation":
        return *texts(rng, rows), rng.uniform(0.1, 3, rows)
    if kind == "similarity":  # with ties on both sides
        values, truth = rng.normal(size=(rows, 1)).round(1), rng.integers(0, 9, (rows, 1)) / 8
        return values + truth, truth, rng.uniform(0.1, 3, rows)
    if kind == "retrieval":
        return rng.integers(1, 25, (rows, 1)) / 1.0, np.full((rows, 1), 25.0), rng.uniform(0.1, 3, rows)
    return rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2)) * 3 + 1, rng.uniform(0.1, 3, rows)


def correlation(z, y, w):
    covariance = np.cov(z[:, 0], y[:, 0], aweights=w)
    return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])


def places(values, w):
    """Weight below each value and half of the weight at it: a rank, where all weights are 1."""
    w = np.ones(len(values)) if w is None else w
    below, at = values[None, :, 0] < values[:, None, 0], values[None, :, 0] == values[:, None, 0]
    return (below @ w + at @ w / 2)[:, None]


def texts(rng, rows):
    """Texts and noisy copies of them: words replaced, the end cut off."""
    words = np.array([*(f"w{number}" for number in range(12)), "Über,", "it's", "3.5"])
    y = [rng.choice(words, rng.integers(4, 12)) for _ in range(rows)]
    copies = [np.where(rng.random(len(t)) < 0.2, rng.choice(words, len(t)), t)[: rng.integers(3, 12)] for t in y]
    return tuple(np.array([" ".join(t) for t in each], dtype=object) for each in (copies, y))


def sums_of_sacrebleu(metric, z, y, w):
    """What sacreBLEU makes of its own counts, weighted; it takes whole numbers, and the scale changes nothing."""
    counts = np.array(metric._extract_corpus_statistics(list(z), [list(y)]), dtype=float)
    scaled = counts.sum(0) if w is None else np.round(w @ counts * 1e12)
    return metric._compute_score_from_stats([int(count) for count in scaled]).score / 100


def rouge_of_the_table(z, y):
    """ROUGE-L by the table of all prefixes."""
    found = []
    for left, right in ((re.findall(r"\w+", text.lower()) for text in pair) for pair in zip(z, y, strict=True)):
        table = np.zeros((len(left) + 1, len(right) + 1))
        for i, word in enumerate(left):
            for j, other in enumerate(right):
                table[i + 1, j + 1] = table[i, j] + 1 if word == other else max(table[i, j + 1], table[i + 1, j])
        found.append(2 * table[-1, -1] / (len(left) + len(right)))
    return found


REFERENCE = {
    ("classification", "accuracy"): lambda z, y, w: sk.accuracy_score(y, z.argmax(1), sample_weight=w),
    ("classification", "balanced_accuracy"): lambda z, y, w: sk.balanced_accuracy_score(
        y, z.argmax(1), sample_weight=w
    ),
    ("classification", "macro_f1"): lambda z, y, w: sk.f1_score(y, z.argmax(1), average="macro", sample_weight=w),
    ("multilabel", "macro_f1"): lambda z, y, w: sk.f1_score(y, z > 0, average="macro", sample_weight=w),
    ("multilabel", "subset_accuracy"): lambda z, y, w: sk.accuracy_score(y, z > 0, sample_weight=w),
    ("multilabel", "map"): lambda z, y, w: sk.average_precision_score(y, z, average="macro", sample_weight=w),
    ("regression", "r2"): lambda z, y, w: sk.r2_score(y, z, sample_weight=w),
    ("regression", "rmse"): lambda z, y, w: sk.root_mean_squared_error(y, z, sample_weight=w),
    ("similarity", "pearson"): correlation,
    ("similarity", "spearman"): lambda z, y, w: correlation(places(z, w), places(y, w), w),
    ("retrieval", "recall@10"): lambda z, y, w: np.average([rank <= 10 for rank in z[:, 0]], weights=w),
    ("retrieval", "recall@1"): lambda z, y, w: np.average([rank <= 1 for rank in z[:, 0]], weights=w),
    ("retrieval", "mrr@10"): lambda z, y, w: np.average([1 / r if r <= 10 else 0 for r in z[:, 0]], weights=w),
    ("regression", "mae"): lambda z, y, w: sk.mean_absolute_error(y, z, sample_weight=w),
    ("generation", "bleu"): lambda z, y, w: sums_of_sacrebleu(sacrebleu.BLEU(), z, y, w),
    ("generation", "chrf"): lambda z, y, w: sums_of_sacrebleu(sacrebleu.CHRF(), z, y, w),
    ("generation", "rouge_l"): lambda z, y, w: np.average(rouge_of_the_table(z, y), weights=w),
}


def test_every_metric_has_a_reference():
    assert set(REFERENCE) == {(kind, name) for kind, names in METRICS.items() for name in names}


@pytest.mark.parametrize(("kind", "name"), REFERENCE)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_those_of_others(kind, name, weighted):
    for seed in range(5):
        z, y, w = case(kind, seed)
        w = w if weighted else None
        assert METRICS[kind][name](z, y, w) == pytest.approx(REFERENCE[kind, name](z, y, w), abs=1e-12)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, v in METRICS.items() for n, m in v.items() if m.row_mean])
def test_row_scores_average_to_the_metric(kind, name):
    z, y, w = case(kind, 3)
    metric = METRICS[kind][name]
    assert np.average(metric.rows(z, y), weights=w) == pytest.approx(metric(z, y, w))


WITH_INFLUENCE = [(k, n) for k, v in METRICS.items() for n, m in v.items() if m.influence]


@pytest.mark.parametrize(("kind", "name"), WITH_INFLUENCE)
@pytest.mark.parametrize("weighted", [False, True])
def test_influences_are_derivatives(kind, name, weighted):
    z, y, w = case(kind, 7, rows=40)
    metric, w = METRICS[kind][name], w if weighted else np.ones(len(y))
    found, step = metric.influence(z, y, w), 1e-6 * w.sum()
    assert np.average(found, weights=w) == pytest.approx(0, abs=1e-12)
    for row in range(len(y)):
        more = w * (1 - 1e-6)
        more[row] += step
        assert (metric(z, y, more) - metric(z, y, w)) / 1e-6 == pytest.approx(found[row], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("kind", "name"), WITH_INFLUENCE)
def test_influences_make_the_intervals_of_the_jackknife(kind, name):
    z, y, _ = case(kind, 9, rows=300)
    metric = METRICS[kind][name]
    quick, slow = (linearise(metric, z[None], y, influence=i) for i in (metric.influence, None))
    assert quick.mean() == pytest.approx(metric(z, y))
    assert quick.std() == pytest.approx(slow.std(), rel=0.05)


@given(st.integers(0, 1000), st.integers(2, 30))
@settings(max_examples=30, deadline=None)
def test_order_of_rows_changes_nothing(seed, rows):
    order = np.random.default_rng(seed).permutation(rows)
    for kind, metrics in METRICS.items():
        z, y, w = case(kind, seed, rows)
        for metric in metrics.values():
            assert metric(z[order], y[order], w[order]) == pytest.approx(metric(z, y, w), nan_ok=True)


def test_bleu_and_chrf_are_those_of_sacrebleu_on_odd_texts():
    metrics = METRICS["generation"]
    for answers in ([""] * 3, ["a b", "x", "y"], ["a b c d e", "x y", "k"], ["a b c d", "x y z", "k l"]):
        y = ["a b c d", "x y z", "k l"]
        z, truth = np.array(answers, dtype=object), np.array(y, dtype=object)
        assert metrics["bleu"](z, truth) == pytest.approx(sacrebleu.corpus_bleu(answers, [y]).score / 100, abs=1e-12)
        assert metrics["chrf"](z, truth) == pytest.approx(sacrebleu.corpus_chrf(answers, [y]).score / 100, abs=1e-12)


def test_summaries_are_judged_by_rouge_and_translations_by_bleu():
    assert metric_for(Generation("summary")).name == "rouge_l"
    assert metric_for(Generation("de")).name == "bleu"


def test_classes_missing_from_the_test_rows_do_not_count():
    y, guess = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])
    assert METRICS["classification"]["balanced_accuracy"](guess, y) == pytest.approx(0.75)


def test_trivial_baselines():
    y_train, y_test = np.array([0, 1, 1, 1]), np.array([1, 1, 0, 2])
    metrics = METRICS["classification"]
    assert metrics["accuracy"].trivial_baseline(CLASSES, y_train, y_test) == pytest.approx(0.5)
    assert metrics["balanced_accuracy"].trivial_baseline(CLASSES, y_train, y_test) == pytest.approx(1 / 3)
    y_train, y_test = np.array([[0.0], [1.0], [8.0]]), np.array([[1.0], [3.0]])
    one = Plain("regression", ("p",))
    assert METRICS["regression"]["rmse"].trivial_baseline(one, y_train, y_test) == pytest.approx(np.sqrt(2))
    assert METRICS["regression"]["mae"].trivial_baseline(one, y_train, y_test) == pytest.approx(1.0)
    rates = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0]])
    assert METRICS["multilabel"]["subset_accuracy"].trivial_baseline(LABELS, rates, rates) == pytest.approx(1 / 3)


def test_a_users_function_sees_what_the_user_wrote():
    seen = {}

    def cost(y_true, y_pred):
        seen["true"], seen["pred"] = list(y_true), list(y_pred)
        return 0.25

    metric = metric_for(CLASSES, cost)
    assert metric(np.array([0, 3]), np.array([1, 3])) == 0.25
    assert seen == {"true": ["b", "d"], "pred": ["a", "d"]}
    assert metric.name == "cost" and metric.higher_is_better and not metric.row_mean
    digits = Plain("classification", tuple(str(i) for i in range(10)))
    assert user_values(digits, np.array([3, 9])).tolist() == [3, 9]


def test_a_function_named_error_is_lower_is_better():
    metric = metric_for(REAL, sk.mean_absolute_error)
    z, y, w = case("regression", 1)
    assert not metric.higher_is_better
    assert metric(z, y, w) == pytest.approx(sk.mean_absolute_error(y, z, sample_weight=w))


def test_the_direction_of_a_function_is_seen_from_the_truth():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 1))
    one = Plain("regression", ("p",))
    assert not metric_for(one, lambda t, p: np.median(np.abs(t - p)), y).higher_is_better
    assert metric_for(one, lambda t, p: -np.median(np.abs(t - p)), y).higher_is_better
    assert not metric_for(CLASSES, lambda t, p: np.mean(t != p), rng.integers(0, 4, 50)).higher_is_better
    assert not metric_for(LABELS, sk.hamming_loss, (rng.random((50, 3)) < 0.5).astype(float)).higher_is_better
    assert metric_for(CLASSES, lambda t, p: 1.0, rng.integers(0, 4, 50)).higher_is_better


def test_average_precision_of_tied_scores():
    rng = np.random.default_rng(4)
    z, y = rng.integers(-2, 3, (80, 3)).astype(float), (rng.random((80, 3)) < 0.3).astype(float)
    assert METRICS["multilabel"]["map"](z, y) == pytest.approx(sk.average_precision_score(y, z, average="macro"))
    assert METRICS["multilabel"]["map"].influence(z, y, None).mean() == pytest.approx(0, abs=1e-12)


def test_a_function_without_weights_still_respects_them():
    def share(y_true, y_pred):
        return float((y_true == y_pred).mean())

    z, y, w = case("classification", 5, rows=400)
    expected = sk.accuracy_score(y, z.argmax(1), sample_weight=w)
    assert metric_for(CLASSES, share)(z, y, w) == pytest.approx(expected, abs=2e-3)


def test_unknown_metric_names_the_near_one():
    with pytest.raises(ConfigError, match="expected a metric for a classification task, got 'acuracy'") as e:
        metric_for(CLASSES, "acuracy")
    assert "did you mean 'accuracy'?" in str(e.value)
    with pytest.raises(ConfigError, match="expected a metric name or a function"):
        metric_for(CLASSES, 3)
    with pytest.raises(ConfigError, match="expected the metric 'pair' to return one number, got tuple"):

        def pair(y_true, y_pred):
            return (1, 2)

        metric_for(CLASSES, pair)(np.array([0]), np.array([0]))


def test_shapes_are_brought_together_or_refused():
    assert stacked(CLASSES, np.zeros((5, 4)), 5).shape == (1, 5, 4)
    assert stacked(CLASSES, np.zeros(5, dtype=int), 5).shape == (1, 5)
    assert stacked(Plain("regression", ("p",)), np.zeros((3, 5)), 5).shape == (3, 5, 1)
    assert decide(CLASSES, stacked(CLASSES, np.eye(4)[None], 4)).tolist() == [[0, 1, 2, 3]]
    with pytest.raises(ShapeMismatch, match=r"expected the student to have shape \[seeds×5×4\] for a classification"):
        stacked(CLASSES, np.zeros((5, 3)), 5, "the student")
