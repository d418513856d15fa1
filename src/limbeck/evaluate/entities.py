"""Entities in sequences of tags, and their F1 over all sentences, as seqeval counts them (strict=False).

An entity begins at B- or S-, at any tag that follows O or an entity of another type, and at what follows E- or S-; it
ends before the next beginning or O. A decided entity is right where the truth has one of the same words and type. All
is counted over the sentences together (micro average), so that each metric is a ratio of sums over words, and its
influence function is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from limbeck.evaluate.answers import CLASSIFICATION, TAGGING, Array, Plain, decide, mean_of
from limbeck.evaluate.influence import linearise
from limbeck.evaluate.quality import Metric, UserMetric, named

_O, _B, _I, _E, _S = range(5)
_LETTERS = {"O": _O, "B": _B, "I": _I, "E": _E, "S": _S}
_WORDS = Plain(CLASSIFICATION, ())
_DRAWS = 16  # of a sentence of mean weight, for functions that know no weights


@dataclass(frozen=True)
class Sentences:
    """The sentence [M] of each word, one after the other, and the names of the tags."""

    of: Array
    names: tuple[str, ...]
    _letters: Array = field(init=False, repr=False, compare=False)
    _types: Array = field(init=False, repr=False, compare=False)
    _first: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = sorted({name[2:] for name in self.names if name != "O"})
        letters = np.array([_LETTERS[name[0]] for name in self.names], dtype=np.int64)
        types = np.array([-1 if name == "O" else kinds.index(name[2:]) for name in self.names], dtype=np.int64)
        first = np.ones(len(self.of), dtype=bool)
        first[1:] = self.of[1:] != self.of[:-1]
        for name, value in (("_letters", letters), ("_types", types), ("_first", first)):
            object.__setattr__(self, name, value)

    def entities(self, tags: Array) -> tuple[Array, Array, Array]:
        """First words, last words and types of the entities in tag ids [M], in order."""
        letter, kind = self._letters[tags], self._types[tags]
        before = np.where(self._first, _O, np.concatenate([[_O], letter[:-1]]))
        other = np.where(self._first, -1, np.concatenate([[-1], kind[:-1]])) != kind
        new = (letter == _B) | (letter == _S) | other | (before == _O) | (before == _E) | (before == _S)
        begins = (letter != _O) & new
        firsts = np.flatnonzero(begins)
        # an entity ends where the next word begins one, is outside, or is of the next sentence
        stops = np.ones(len(tags), dtype=bool)
        stops[:-1] = begins[1:] | (letter[1:] == _O) | self._first[1:]
        return firsts, np.flatnonzero((letter != _O) & stops), kind[firsts]

    def counts(self, answers: Array, y: Array) -> tuple[Array, Array, Array]:
        """Entities that are right, decided and true, each counted at its first word, [M] each."""
        guess = decide(_WORDS, answers)
        right, decided, true = np.zeros(len(y)), np.zeros(len(y)), np.zeros(len(y))
        mine, real = self.entities(np.asarray(guess)), self.entities(y)
        decided[mine[0]], true[real[0]] = 1, 1
        end, kind = np.full(len(y), -1), np.full(len(y), -1)
        end[real[0]], kind[real[0]] = real[1], real[2]
        right[mine[0]] = (end[mine[0]] == mine[1]) & (kind[mine[0]] == mine[2])
        return right, decided, true

    def tags(self, ids: Array) -> list[list[str]]:
        """Tag names of each sentence."""
        cuts = np.flatnonzero(self._first)[1:]
        return [[self.names[i] for i in part] for part in np.split(np.asarray(ids), cuts)]


def metrics_of(sentences: Sentences) -> dict[str, Metric]:
    """The metrics of tagging for words in these sentences, the default first."""

    def ratio(name: str, top: Callable[..., Array], bottom: Callable[..., Array]) -> Metric:
        def score(answers: Array, y: Array, weights: Array | None) -> float:
            counts = sentences.counts(answers, y)
            w = np.ones(len(y)) if weights is None else weights
            over = float((w * bottom(*counts)).sum())
            return float((w * top(*counts)).sum()) / over if over > 0 else 0.0

        def influence(answers: Array, y: Array, weights: Array | None) -> Array:
            counts = sentences.counts(answers, y)
            w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
            share = w / w.sum()
            over = float((share * bottom(*counts)).sum())
            if not over > 0:
                return np.zeros(len(y))
            value = float((share * top(*counts)).sum()) / over
            return np.asarray((top(*counts) - value * bottom(*counts)) / over)

        return Metric(name, TAGGING, score, influence=influence)

    def hits(answers: Array, y: Array) -> Array:
        return np.asarray(decide(_WORDS, answers) == y, dtype=np.float64)

    def accuracy(answers: Array, y: Array, weights: Array | None) -> float:
        return mean_of(hits(answers, y), weights)

    made = [
        ratio("entity_f1", lambda right, decided, true: 2 * right, lambda right, decided, true: decided + true),
        ratio("entity_precision", lambda right, decided, true: right, lambda right, decided, true: decided),
        ratio("entity_recall", lambda right, decided, true: right, lambda right, decided, true: true),
        Metric("word_accuracy", TAGGING, accuracy, rows=hits),
    ]
    return {metric.name: metric for metric in made}


def of_user(sentences: Sentences, function: UserMetric) -> Metric:
    """A user's function of (true tags, decided tags), lists of lists as seqeval takes them.

    A sentence of more weight is seen as often as its weight says; sentences are left out whole for the influence.
    """

    def value(words: Array, y: Array, guess: Array, weights: Array | None) -> float:
        kept = Sentences(sentences.of[words], sentences.names)
        true, said = kept.tags(y[words]), kept.tags(guess[words])
        if weights is not None:
            heavy = np.cumsum(weights[np.flatnonzero(np.diff(kept.of, prepend=-1))])
            points = (np.arange(_DRAWS * len(true)) + 0.5) / (_DRAWS * len(true))
            drawn = np.searchsorted(heavy / heavy[-1], points).clip(0, len(true) - 1)
            true, said = [true[i] for i in drawn], [said[i] for i in drawn]
        return float(function(true, said))

    def score(answers: Array, y: Array, weights: Array | None) -> float:
        return value(np.arange(len(y)), y, decide(_WORDS, answers), weights)

    def influence(answers: Array, y: Array, weights: Array | None) -> Array:
        guess, words = decide(_WORDS, answers), np.arange(len(y))
        scores = linearise(
            lambda w, _, weight: value(w, y, guess, weight), words[None], y, weights, groups=sentences.of
        )
        return np.asarray(scores[0] - value(words, y, guess, weights))

    name, higher = named(function)
    return Metric(name, TAGGING, score, higher_is_better=higher, influence=influence, unit="")


def sentence_ids(counts: Array) -> Array:
    """The row [M] of each word, of the number of words in each row."""
    return np.repeat(np.arange(len(counts)), counts)
