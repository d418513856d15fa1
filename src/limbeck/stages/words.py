"""Words in the stages: answers and labels of a tagging task, flat over all words of a split, row by row.

Everything behind the models speaks of words as of rows: answers [M, C] for the M words of a split, O where a model did
not read so far. Row tasks pass through unchanged, so that the stages need not ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from limbeck.core.parts import Parts
from limbeck.data.entries import whole
from limbeck.data.rows import Array, Rows
from limbeck.data.tagging import NO_LABEL, Tagging, flat_answers, flat_targets, flat_words
from limbeck.data.tasks import Task
from limbeck.data.words import word_counts
from limbeck.evaluate.entities import sentence_ids
from limbeck.evaluate.quality import Metric, UserMetric, metric_for
from limbeck.models.predict import Sliced, predict
from limbeck.models.taps import MaskedWords
from limbeck.signals import Signals


@dataclass(frozen=True)
class Truth:
    """What the answers to one head of a split are held against: labels, and which of them are there.

    y [M] with anything where `labelled` [M] is False; weight [M], user groups [M] and the sentence [M] of each word.
    """

    y: Array
    labelled: Array
    weight: Array | None
    groups: Array | None
    sentences: Array | None

    @classmethod
    def of(cls, rows: Rows, head: str, task: Task, corpus: Rows | None = None) -> Truth:
        """The labels of a split in the user's units, or what embeddings are to meet, among a `corpus` too."""
        groups = None if rows.groups is None else np.unique(rows.groups, return_inverse=True)[1]
        if not isinstance(task, Tagging):
            y = task.truth(rows, head, corpus)
            return cls(y, whole(rows, head), rows.weight, groups, None)
        of = sentence_ids(word_counts(rows.inputs))
        targets = np.where(np.asarray(rows.label_mask[head])[:, None], rows.targets[head], NO_LABEL)
        y = flat_targets(rows.inputs, targets)
        weight, groups = (None if each is None else each[of] for each in (rows.weight, groups))
        return cls(y, y != NO_LABEL, weight, groups, of)

    def metric(self, task: Task, spec: str | UserMetric | None) -> Metric:
        """The metric of the labelled entries."""
        kept = self.labelled
        groups, sentences = (None if each is None else each[kept] for each in (self.groups, self.sentences))
        return metric_for(task.outcome, spec, self.y[self.labelled], groups=groups, sentences=sentences)


def flattened(task: Task, head: str, said: Signals, rows: Rows) -> Array:
    """Answers of a head [N, C] as they were said; of a tagging task [M, C] for all words of the rows.

    Of other tasks with an answer at each position of a row, object [N] of [T, C].
    """
    values = np.asarray(said.outputs[head].detach().float().cpu().numpy())  # type: ignore[union-attr]
    if not task.positions:
        return values
    mask = said.mask_of(head)
    there = np.ones(values.shape[:2], dtype=bool) if mask is None else mask.cpu().numpy()
    if not isinstance(task, Tagging):
        return each_row(values, there)
    return flat_answers(values, there, word_counts(rows.inputs), task.outside)


def words_read(head: str, said: Signals, rows: Rows) -> Array:
    """Which of all words of the rows a model has answered to, bool [M]: none where it did not read so far."""
    counts, mask = word_counts(rows.inputs), said.mask_of(head)
    if mask is None:
        return np.ones(int(counts.sum()), dtype=bool)
    there = mask.cpu().numpy()
    return flat_words(there, there, counts, False)


def raw_answers(
    module: nn.Module, inputs: Tensor | Parts | Sliced, rows: Rows, tasks: Mapping[str, Task]
) -> dict[str, Array]:
    """What a network answers to rows, in training space; of a tagging task for all their words."""
    found = predict(module, inputs, tuple(tasks))
    masks = module.masks(inputs) if isinstance(module, MaskedWords) and isinstance(inputs, Tensor) else {}
    out: dict[str, Array] = {}
    for head, task in tasks.items():
        if isinstance(task, Tagging):
            mask = masks[head].cpu().numpy()
            out[head] = flat_answers(found[head], mask, word_counts(rows.inputs), task.outside)
        elif task.positions:
            there = masks[head].cpu().numpy() if head in masks else np.ones(found[head].shape[:2], dtype=bool)
            out[head] = each_row(found[head], there)
        else:
            out[head] = found[head]
    return out


def each_row(values: Array, there: Array) -> Array:
    """Answers [T, C] at the positions of each row, object [N], of answers [N, T, C] where `there` [N, T] has one."""
    out = np.empty(len(values), dtype=object)
    for row, mask in enumerate(there):
        out[row] = values[row][mask]
    return out


def lengths_of(rows: Rows, tasks: Mapping[str, Task]) -> dict[str, Array]:
    """The number of words of each row, by tagging task."""
    return {head: word_counts(rows.inputs) for head, task in tasks.items() if isinstance(task, Tagging)}


def decided_words(answers: Array, counts: Array, read: Array) -> Array:
    """The tag ids [N, W] that answers [M, C] to words decide for, -1 behind the last word of a row.

    A word that was not `read` [M] is O in the answers, but nobody decided so: it is -1 too.
    """
    mask = np.arange(max(int(counts.max(initial=0)), 1)) < counts[:, None]
    found = np.full(mask.shape, NO_LABEL, dtype=np.int64)
    found[mask] = np.where(read, answers.argmax(axis=1), NO_LABEL)
    return found
