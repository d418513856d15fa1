"""Ranks and correlations against scipy and scikit-learn; order within a query."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import ndcg_score

from limbeck.core.errors import ConfigError
from limbeck.evaluate import ranking
from limbeck.evaluate.answers import Plain
from limbeck.evaluate.quality import METRICS, metric_for


def test_unweighted_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 6, 200) / 5
    z = (y + rng.normal(size=200)).round(1)
    metrics = METRICS["similarity"]
    assert metrics["spearman"](z[:, None], y[:, None]) == pytest.approx(scipy.stats.spearmanr(z, y)[0], abs=1e-12)
    assert metrics["pearson"](z[:, None], y[:, None]) == pytest.approx(scipy.stats.pearsonr(z, y)[0], abs=1e-12)


def test_answers_that_do_not_vary_correlate_with_nothing():
    y = np.arange(9.0)[:, None]
    for metric in METRICS["similarity"].values():
        assert metric(np.ones((9, 1)), y) == 0
        assert not metric.influence(np.ones((9, 1)), y, None).any()
        assert metric.trivial_baseline(Plain("similarity", ("score",)), y, y) == 0


@pytest.mark.parametrize("documents", [5, 15, 400])
def test_the_baseline_of_retrieval_is_an_order_by_chance(documents):
    task, y = Plain("retrieval", ("rank",)), np.full((2000, 1), float(documents))
    chance = {"recall@1": 1 / documents, "recall@10": min(1, 10 / documents)}
    chance["mrr@10"] = sum(1 / rank for rank in range(1, min(10, documents) + 1)) / documents
    for name, value in chance.items():
        assert metric_for(task, name).trivial_baseline(task, y, y) == pytest.approx(value, abs=2e-3)


def test_ndcg_is_that_of_sklearn_for_each_query_ties_included():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 150)
    scores, gains = rng.normal(size=150).round(0), rng.integers(0, 4, 150).astype(float)
    found = ranking.ndcg_of_groups(scores, gains, groups)
    for group in np.unique(groups):
        mine = groups == group
        assert len(set(found[mine])) == 1
        assert found[mine][0] == pytest.approx(ndcg_score(gains[None, mine], scores[None, mine], k=10), abs=1e-12)
    assert not ranking.ndcg_of_groups(scores, np.zeros(150), groups).any()


def test_the_first_relevant_row_of_a_query_counts():
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    scores, gains = np.array([3.0, 2, 1, 5, 5, 1, 0]), np.array([0, 1, 1, 0, 1, 0, 0])
    assert ranking.mrr_of_groups(scores, gains, groups).tolist() == [0.5, 0.5, 0.5, 1 / 1.5, 1 / 1.5, 0, 0]
    many = np.zeros(30), -np.arange(30.0), np.arange(30) == 10
    assert not ranking.mrr_of_groups(many[1], many[2], many[0]).any()  # the eleventh is beyond ten


def test_metrics_within_groups_are_means_over_groups():
    groups = np.array([7, 7, 7, 7, 2, 2])
    scores, gains = np.array([4.0, 3, 2, 1, 0, 1])[:, None], np.array([0.0, 3, 0, 1, 1, -2])[:, None]
    score = Plain("regression", ("y",))
    metric = metric_for(score, "mrr@10", groups=groups)
    assert metric(scores, gains) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert metric.rows(scores, gains).mean() == pytest.approx(metric(scores, gains))
    ndcg = metric_for(score, "ndcg@10", groups=groups)
    first = ndcg_score(gains[None, :4, 0], scores[None, :4, 0], k=10)
    assert ndcg(scores, gains) == pytest.approx((first + 1 / np.log2(3)) / 2)
    logits, y = np.concatenate([-scores, scores], axis=1), (gains[:, 0] > 0).astype(np.int64)
    binary = metric_for(Plain("classification", ("no", "yes")), "mrr@10", groups=groups)
    assert binary(logits, y) == metric(scores, gains)


@pytest.mark.parametrize(
    ("task", "groups", "said"),
    [
        (Plain("regression", ("y",)), None, "expected groups for ndcg@10: which rows belong to one query"),
        (Plain("regression", ("y", "z")), np.zeros(3), "expected one score a row or two classes for ndcg@10"),
        (Plain("classification", ("a", "b", "c")), np.zeros(3), "expected one score a row or two classes for ndcg@10"),
    ],
)
def test_rows_without_a_query_have_no_order_to_judge(task, groups, said):
    with pytest.raises(ConfigError, match=said):
        metric_for(task, "ndcg@10", groups=groups)
