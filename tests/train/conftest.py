from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.models.zoo import build
from limbeck.objectives.base import Objective, labelled_weight, weigh
from limbeck.signals import MAIN, Needs, Signals
from limbeck.train.feed import Feed, Table
from limbeck.train.loop import fit
from limbeck.train.plan import TrainSpec
from limbeck.train.steps import Learner


class Order:
    """A plain permutation for each epoch."""

    def __init__(self, n, seed):
        self.n, self.seed = n, seed

    def indices(self, epoch, position, count):
        return np.random.default_rng((self.seed, epoch)).permutation(self.n)[position : position + count]


@dataclass(frozen=True, kw_only=True)
class Hard(Objective):
    """Cross-entropy over the labelled rows."""

    on: str = MAIN

    def student_needs(self):
        return Needs(outputs=(self.on,))

    def count(self, teacher, batch):
        return labelled_weight(batch, self.on)

    def loss(self, student, teacher, batch, head):
        rows = F.cross_entropy(student.outputs[self.on], batch.targets[self.on], reduction="none")
        mask = batch.label_mask.get(self.on)
        if mask is not None:
            rows = rows * mask
        return weigh(rows, batch)[0], labelled_weight(batch, self.on)


@dataclass(frozen=True, kw_only=True)
class Soft(Objective):
    """KL to the teacher at temperature 1."""

    on: str = MAIN

    def student_needs(self):
        return Needs(outputs=(self.on,))

    def teacher_needs(self):
        return Needs(outputs=(self.on,))

    def loss(self, student, teacher, batch, head):
        left = F.log_softmax(student.outputs[self.on], -1)
        right = F.log_softmax(teacher.outputs[self.on], -1)
        return weigh((right.exp() * (right - left)).sum(-1), batch)


class Answers:
    """A stored source: a table of logits looked up by the row number in the key."""

    def __init__(self, logits, on=MAIN):
        self.logits, self.on = logits, on

    def have(self):
        return Needs(outputs=(self.on,))

    def answer(self, batch):
        return Signals({self.on: self.logits[torch.from_numpy(batch.keys[:, 1].astype(np.int64))]})


ROWS, WIDTH, CLASSES = 96, 6, 3


def make_table(rows=ROWS, seed=0, mask=None, weight=None, heads=(MAIN,)):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, WIDTH, generator=g)
    y = (x @ torch.randn(WIDTH, CLASSES, generator=g)).argmax(1)
    keys = np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1)
    masks = {} if mask is None else {heads[0]: mask}
    return Table(keys, x, dict.fromkeys(heads, y), masks, weight)


def make_student(seed=0, dropout=0.0, outputs=(MAIN,), norm=False):
    torch.manual_seed(seed)
    sizes = dict.fromkeys(outputs, CLASSES)
    return build(f"mlp(hidden=[8], dropout={dropout}, norm={norm})", (WIDTH,), sizes)


def make_feed(table, labelled=None, batch_size=16, seed=0, **more):
    labelled = len(table) if labelled is None else labelled
    return Feed.of(table, labelled=labelled, batch_size=batch_size, seed=seed, order=Order, **more)


def make_logits(rows=ROWS, seed=5):
    return torch.randn(rows, CLASSES, generator=torch.Generator().manual_seed(seed)) * 2


def train(spec, *, objective=None, source=None, table=None, student=None, feed=None, **more):
    table = make_table() if table is None else table
    student = make_student() if student is None else student
    objective = Hard() if objective is None else objective
    learner = Learner(student, objective, list(student.out_sizes))
    feed = make_feed(table, batch_size=spec.batch_size) if feed is None else feed
    return learner, fit(learner, source, feed, spec, **more)


def plan(**more):
    settings = {"steps": 12, "batch_size": 16, "schedule": "constant", "warmup": 0.0, "device": "cpu", **more}
    return TrainSpec(**settings)


def accuracy(table):
    def score(module: nn.Module) -> float:
        return float((module(table.inputs).argmax(1) == table.targets[MAIN]).float().mean())

    return score


@pytest.fixture
def kit():
    """The builders above, for tests that are imported file by file."""
    from types import SimpleNamespace

    return SimpleNamespace(**{name: value for name, value in globals().items() if not name.startswith("_")})
