"""A small teacher, its rows and tasks."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from limbeck.data.rows import Rows
from limbeck.signals import Needs, Signals
from limbeck.transfer.label import label
from limbeck.transfer.manifest import Identity


@dataclass(frozen=True)
class Task:
    kind: str = "classification"
    names: tuple[str, ...] = ("ant", "bee", "cat")
    mean: float = 0.0
    scale: float = 1.0

    @property
    def size(self):
        return len(self.names)

    @property
    def form(self):
        return self.kind

    @property
    def positions(self):
        return self.kind == "tagging"

    @property
    def natural(self):
        return self.kind == "regression"

    @property
    def meaning(self):
        return {"multilabel": "labels", "regression": "numbers"}.get(self.kind, "classes")

    def to_training(self, values):
        return (values - self.mean) / self.scale

    def to_natural(self, values):
        return values * self.scale + self.mean


@dataclass
class Teacher:
    """Linear in its inputs; counts what it is asked, and may be told to answer wrongly."""

    widths: dict[str, int] = field(default_factory=lambda: {"main": 3})
    asked: list[int] = field(default_factory=list)
    spoil: object = None

    def have(self):
        return Needs(outputs=tuple(self.widths))

    def answer(self, batch):
        self.asked.append(len(batch))
        outputs = {}
        for number, (name, width) in enumerate(self.widths.items()):
            weight = torch.linspace(-1.0, 2.0, 4 * width).reshape(4, width) * (number + 1)
            outputs[name] = batch.teacher_inputs @ weight
        return Signals(self.spoil(outputs) if self.spoil else outputs)


def make_rows(count=100, *, start=0, ids=False):
    keys = np.random.default_rng(7).integers(0, 2**64, (start + count, 2), dtype=np.uint64)[start:]
    inputs = np.random.default_rng(8).normal(size=(start + count, 4)).astype(np.float32)[start:]
    return Rows("array", inputs, keys, ids=np.arange(start, start + count) if ids else None)


IDENTITY = Identity(teacher="weights-1", preprocessing="scaled-1")


def make_store(path, rows=None, teacher=None, **changes):
    settings = {
        "prepare": torch.from_numpy,
        "heads": {"main": Task()},
        "identity": IDENTITY,
        "batch_size": 8,
        "shard_rows": 32,
    } | changes
    return label(teacher or Teacher(), make_rows() if rows is None else rows, path, **settings)


def content_of(folder):
    """Every file of a store but its lock, by name."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


@dataclass(frozen=True)
class Kit:
    Task = Task
    Teacher = Teacher
    IDENTITY = IDENTITY
    rows = staticmethod(make_rows)
    store = staticmethod(make_store)
    content = staticmethod(content_of)


@pytest.fixture
def kit():
    return Kit()


def flip(path, place, bit=0):
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture(name="flip")
def _flip():
    return flip
