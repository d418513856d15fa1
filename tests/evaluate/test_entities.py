"""Entity F1 is what seqeval computes, and its influence is its derivative."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.evaluate.answers import Plain
from limbeck.evaluate.entities import Sentences, sentence_ids
from limbeck.evaluate.evidence import Evidence
from limbeck.evaluate.influence import linearise
from limbeck.evaluate.quality import metric_for, metrics_of
from limbeck.evaluate.scorecard import build

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-PER", "S-PER", "I-B")
TASK = Plain("tagging", NAMES)


def named(ids, counts):
    return [[NAMES[i] for i in part] for part in np.split(ids, np.cumsum(counts)[:-1])]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_it_is_what_seqeval_computes_also_where_sequences_are_malformed(data):
    counts = np.array(data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=6)))
    size = data.draw(st.sampled_from([2, 3, 5, len(NAMES)]))
    draw = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    y, guess = draw.integers(0, size, (2, int(counts.sum())))
    guess = np.where(draw.random(len(y)) < 0.6, y, guess)
    metrics = metrics_of(TASK, sentence_ids(counts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no entity at all
        theirs = {
            "entity_f1": f1_score(named(y, counts), named(guess, counts)),
            "entity_precision": precision_score(named(y, counts), named(guess, counts)),
            "entity_recall": recall_score(named(y, counts), named(guess, counts)),
        }
    assert {name: metrics[name](guess, y) for name in theirs} == pytest.approx(theirs, abs=1e-12)


def words(sentences=60, seed=0):
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 9, sentences)
    y = draw.integers(0, 5, counts.sum())
    scores = draw.normal(size=(len(y), len(NAMES))) + 2.0 * np.eye(len(NAMES))[y]
    return y, scores, counts


@pytest.mark.parametrize("name", ["entity_f1", "entity_precision", "entity_recall"])
@pytest.mark.parametrize("weighted", [False, True])
def test_influence_is_the_derivative_by_the_weight_of_a_sentence(name, weighted):
    y, scores, counts = words()
    of = sentence_ids(counts)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(counts))[of] if weighted else np.ones(len(y))
    metric = metrics_of(TASK, of)[name]
    found = metric.influence(scores, y, weights if weighted else None)
    assert np.average(found, weights=weights) == pytest.approx(0, abs=1e-12)
    for sentence in (0, 7, 31):
        here, step = of == sentence, 1e-6
        moved = metric(scores, y, weights * (1 + step * here)) - metric(scores, y, weights * (1 - step * here))
        derivative = moved / (2 * step)
        share = weights / weights.sum()
        assert (share * found)[here].sum() == pytest.approx(derivative, abs=1e-6)


def test_the_spread_over_sentences_is_that_of_drawing_sentences_again():
    y, scores, counts = words(sentences=300)
    of = sentence_ids(counts)
    metric = metrics_of(TASK, of)["entity_f1"]
    rows = linearise(metric, scores[None], y, None, groups=of, influence=metric.influence)[0]
    sums = np.bincount(of, weights=rows - rows.mean())
    draw, drawn = np.random.default_rng(0), []
    starts = np.cumsum([0, *counts])
    for _ in range(300):
        chosen = draw.integers(0, len(counts), len(counts))
        index = np.concatenate([np.arange(starts[s], starts[s + 1]) for s in chosen])
        drawn.append(metrics_of(TASK, sentence_ids(counts[chosen]))["entity_f1"](scores[index], y[index]))
    assert np.sqrt((sums**2).sum()) / len(y) == pytest.approx(np.std(drawn), rel=0.15)


def test_a_sentence_ends_an_entity():
    of = np.array([0, 0, 1, 1])
    firsts, lasts, kinds = Sentences(of, NAMES).entities(np.array([1, 2, 2, 0]))
    assert (firsts.tolist(), lasts.tolist()) == ([0, 2], [1, 2]) and len(set(kinds.tolist())) == 1


def groupwise(metric, scores, y, of):
    """Sums of a metric's influence over the words of each sentence."""
    return np.bincount(of, weights=metric.influence(scores, y, None))


def test_a_function_of_the_user_gets_lists_of_tags():
    y, scores, counts = words()
    of = sentence_ids(counts)
    metric = metric_for(TASK, f1_score, y, sentences=of)
    assert metric(scores, y) == pytest.approx(metrics_of(TASK, of)["entity_f1"](scores, y))
    weights = np.random.default_rng(3).uniform(0.2, 2, len(counts))[of]
    own = metrics_of(TASK, of)["entity_f1"]
    assert metric(scores, y, weights) == pytest.approx(own(scores, y, weights), abs=5e-3) != own(scores, y)
    # sentences are left out whole: the spread over them is that of the metric whose influence is known
    assert groupwise(metric, scores, y, of).std() == pytest.approx(groupwise(own, scores, y, of).std(), rel=0.1)
    with pytest.raises(ConfigError, match="expected a metric for a tagging task, got 'entity_f2'") as caught:
        metric_for(TASK, "entity_f2")
    assert "did you mean 'entity_f1'" in caught.value.todo


def evidence(seeds=3, **changes):
    y, scores, counts = words(sentences=80)
    draw = np.random.default_rng(5)
    arms = {
        "teacher": scores[None] + 3 * np.eye(len(NAMES))[y],
        "student": scores[None] + draw.normal(size=(seeds, *scores.shape)),
        "control": scores[None] + 1.5 * draw.normal(size=(seeds, *scores.shape)),
    }
    return Evidence(**{"task": TASK, "y": y, "arms": arms, "sentences": sentence_ids(counts)} | changes)


def test_a_card_of_words():
    card = build({"main": evidence()}, name="r", seeds=(0, 1, 2))["tasks"]["main"]
    assert card["kind"] == "tagging" and card["metric"]["name"] == "entity_f1"
    assert set(card["arms"]["student"]["metrics"]) == {
        "entity_f1", "entity_precision", "entity_recall", "word_accuracy",
    }  # fmt: skip
    assert card["trivial"]["metrics"]["entity_f1"] == 0, "all words O"
    assert card["counts"]["sentences"] == 80
    assert card["verdict"] in ("helped", "no reliable difference", "hurt")
    assert card["calibration"]["student"] and card["fidelity"]["arms"]["student"]["agreement"]
    assert {line["name"] for line in card["classes"]} <= set(NAMES)


def test_words_without_a_label_leave_both_sequences():
    whole = evidence()
    mask = np.random.default_rng(2).random(len(whole.y)) < 0.8
    card = build({"main": evidence(mask=mask)}, name="r", seeds=(0, 1, 2))["tasks"]["main"]
    counts = np.bincount(whole.sentences[mask], minlength=80)
    kept = counts[counts > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = f1_score(named(whole.y[mask], kept), named(whole.arms["teacher"][0][mask].argmax(-1), kept))
    assert card["arms"]["teacher"]["metrics"]["entity_f1"]["value"] == pytest.approx(theirs)


def test_words_need_their_sentences():
    with pytest.raises(ShapeMismatch, match=r"expected the sentence of each of \d+ words for a tagging task, got none"):
        evidence(sentences=None).prepared()
