"""Transcripts: their encoding, their decoding, and the error rates."""

import itertools

import numpy as np
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.data.audio.ctc import greedy, log_softmax, prefix_beams
from limbeck.data.audio.spelling import cer, edits, wer
from limbeck.data.audio.transcription import Transcription
from limbeck.data.kinds import kind_of
from limbeck.evaluate.influence import linearise

TASK = Transcription(("a", "b", " "))


def objects(values):
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def path(*ids, size=4):
    """Logits that are sure of one class a frame."""
    return 20.0 * np.eye(size)[list(ids)]


def test_transcripts_become_ids_behind_the_blank():
    ids, mask = TASK.encode(["ab", None, " b  a ", ""])
    assert ids.tolist() == [[1, 2, -1], [-1, -1, -1], [2, 3, 1], [-1, -1, -1]]
    assert mask.tolist() == [True, False, True, False]
    assert Transcription.of(["ba", "c"], None, ()).names == ("<blank>", "a", "b", "c")
    assert kind_of("transcription").from_spec(TASK.to_spec()) == TASK


def test_a_strange_character_is_named():
    with pytest.raises(ConfigError, match="expected the 3 characters of the training transcripts, got 'x' in row 1"):
        TASK.encode(["a", "axb"])
    with pytest.raises(ConfigError, match="expected transcripts, all are empty"):
        Transcription.of(["", None], None, ())


def test_repeats_merge_and_blanks_part_them():
    answers = objects([path(1, 1, 0, 1, 2, 2), path(0, 0), path(2)])
    assert TASK.predict(answers).tolist() == ["aab", "", "b"]
    assert TASK.decisions(answers).tolist() == [[1, 1, 2], [-1, -1, -1], [2, -1, -1]]
    assert (TASK.confidence(answers) > -1e-6).all()


def likelihoods(logits, blank=0):
    """The mass of every sequence, by all paths."""
    found = {}
    logprobs = log_softmax(logits)
    for one in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        said = tuple(k for k, _ in itertools.groupby(one) if k != blank)
        found[said] = np.logaddexp(found.get(said, -np.inf), sum(logprobs[t, c] for t, c in enumerate(one)))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_most_probable_sequence(seed):
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    whole = likelihoods(logits)
    assert tuple(prefix_beams(logits, 0, 200)) == max(whole, key=whole.get)


def test_the_best_path_is_not_always_the_best_sequence():
    logits = np.log(np.array([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]]))  # blank, a, b: "a" has 0.4025, nothing 0.16
    assert greedy(logits, 0) == [] and prefix_beams(logits, 0, 8) == [1]


@pytest.mark.parametrize(
    ("said", "truth", "count"),
    [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("a", "a", 0)],
)
def test_edits_are_counted_as_levenshtein_does(said, truth, count):
    assert edits(said, truth) == count


def test_rates_are_ratios_of_sums():
    said, truth = objects(["one too", "", "x three four"]), objects(["one two", "nine", "three four"])
    assert wer().fn(said, truth, None) == pytest.approx(3 / 5)
    assert cer().fn(objects(["ab", "c"]), objects(["abcd", "c"]), None) == pytest.approx(2 / 5)
    assert wer().fn(said, truth, np.array([1.0, 0.0, 1.0])) == pytest.approx(2 / 4)
    assert not wer().higher_is_better


def test_rates_are_those_of_jiwer():
    jiwer = pytest.importorskip("jiwer")
    draw = np.random.default_rng(0)
    texts = [[" ".join(draw.choice(["one", "two", "six"], 4)) for _ in range(20)] for _ in range(2)]
    assert wer().fn(objects(texts[0]), objects(texts[1]), None) == pytest.approx(jiwer.wer(texts[1], texts[0]))
    assert cer().fn(objects(texts[0]), objects(texts[1]), None) == pytest.approx(jiwer.cer(texts[1], texts[0]))


def test_the_influence_of_a_row_is_what_leaving_it_out_says():
    draw = np.random.default_rng(0)
    said, truth = (objects(["".join(draw.choice(list("ab "), draw.integers(1, 9))) for _ in range(80)]) for _ in "xy")
    exact = linearise(cer().fn, said[None], truth, influence=cer().influence)
    left_out = linearise(cer().fn, said[None], truth)
    assert exact.mean() == pytest.approx(cer().fn(said, truth, None))
    assert np.corrcoef(exact[0], left_out[0])[0, 1] > 0.999


def test_clips_with_a_column_of_transcripts_are_transcribed():
    clips = [{"array": np.ones(300, np.float32) * 0.1 * (i + 1), "sampling_rate": 1000} for i in range(8)]
    data = lb.Data(train={"audio": clips, "sentence": ["one two", "three", "one", "two", "three", "one", "two", "one"]})
    assert data.tasks["main"].kind == "transcription" and data.tasks["main"].default_metric == "wer"
    # rows of numbers read as digits
    digits = lb.Data(train=([c["array"] for c in clips], [12, 3, 4, 5, 6, 7, 8, 9]), sample_rate=1000,
                     task="transcription", classes=list("0123456789"))  # fmt: skip
    assert digits.tasks["main"].truth(digits.train, "main")[0] in {"12", "3", "4", "5", "6", "7", "8", "9"}
