"""Modules that an objective trains beside the student.

A head belongs to one term of the sum. Whoever trains puts it into the same wrapped module as the student, so that
every rank holds the same values, and drops it when the student is saved. A `KeptHead` is the exception: it makes an
output of the student (teacher-head reuse), so it runs wherever the student runs and is saved with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import MissingSignal, ShapeMismatch
from limbeck.signals import Signals


class Projector(nn.Module):
    """Maps a student's tap to the shape of a teacher's: linear on [B, (T,) D], 1x1 convolution on [B, D, H, W].

    Where the widths agree it starts as the identity, so that a student that has the teacher's features starts at 0.
    Maps of another height and width are pooled (or interpolated) to the teacher's.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        super().__init__()
        if len(student) != len(teacher) or len(student) not in (1, 2, 3):
            raise ShapeMismatch(
                f"expected two taps of the same kind, got {student} from the student and {teacher} from the teacher",
                "pair vectors (D,), tokens (T, D) or maps (D, H, W) with their like; shapes are without the batch",
            )
        self.size = teacher[1:] if len(teacher) == 3 else None
        inner, outer = (student[0], teacher[0]) if self.size else (student[-1], teacher[-1])
        self.map: nn.Conv2d | nn.Linear = nn.Conv2d(inner, outer, 1) if self.size else nn.Linear(inner, outer)
        if inner == outer:
            nn.init.dirac_(self.map.weight) if self.size else nn.init.eye_(self.map.weight)
            nn.init.zeros_(self.map.bias)  # type: ignore[arg-type]

    def forward(self, tap: Tensor) -> Tensor:
        out: Tensor = self.map(tap)
        return out if self.size is None else fit_map(out, self.size)


class PairProjectors(nn.Module):
    """Maps for several pairs of taps: one for each ("each"), one for all ("shared"), or where widths differ ("auto").

    `shapes` are those of the taps (student's, teacher's) of every pair, without the batch.
    """

    def __init__(self, shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], kind: str) -> None:
        super().__init__()
        widths = [(own[-1], other[-1]) for own, other in shapes]
        if kind == "shared" and len(set(widths)) > 1:
            raise ShapeMismatch(
                f"expected pairs of the same widths for a shared projection, got {_listed(widths)}",
                "give every pair its own with projection='each'",
            )
        wanted = shapes[:1] if kind == "shared" else shapes
        self.maps = nn.ModuleList(
            nn.Identity() if kind == "auto" and own[-1] == other[-1] else Projector(own, other) for own, other in wanted
        )

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return any(True for _ in self.parameters())

    def forward(self, tap: Tensor, number: int = 0) -> Tensor:
        """The student's tap of pair `number` in the teacher's width."""
        out: Tensor = self.maps[number if len(self.maps) > 1 else 0](tap)
        return out


def projected(head: nn.Module | None, tap: Tensor, number: int = 0) -> Tensor:
    """The student's tap of a pair through its map; the tap itself where nothing is trained."""
    out: Tensor = tap if head is None else head(tap, number)
    return out


def fit_map(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bring maps [B, D, H, W] to a height and width: average pooling down, bilinear interpolation up."""
    height, width = values.shape[-2:]
    if (height, width) == tuple(size):
        return values
    if height >= size[0] and width >= size[1]:
        return F.adaptive_avg_pool2d(values, (size[0], size[1]))
    return F.interpolate(values, size=(size[0], size[1]), mode="bilinear", align_corners=False)


class KeptHead(nn.Module):
    """A head that stays: it makes the output `writes` of the student's tap `reads`, in training and after saving."""

    keep = True

    def __init__(self, reads: str, writes: str) -> None:
        super().__init__()
        self.reads = reads
        self.writes = writes


class ReusedClassifier(KeptHead):
    """A projector to the teacher's features and behind it the teacher's own last layer, frozen."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, reads: str, writes: str, projector: Projector, classifier: tuple[Tensor, Tensor | None]) -> None:
        super().__init__(reads, writes)
        self.projector = projector
        weight, bias = classifier
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, tap: Tensor) -> Tensor:
        features = self.projector(tap)
        if features.dim() == 4:
            features = features.mean(dim=(2, 3))
        return F.linear(features, self.weight, self.bias)


def with_kept_heads(student: Signals, heads: Iterable[nn.Module | None]) -> Signals:
    """The student's signals with the outputs that its kept heads make; the signals themselves where there is none."""
    kept = [head for head in heads if isinstance(head, KeptHead)]
    if not kept:
        return student
    made = {head.writes: head(tap_of(student, head.reads, "student")) for head in kept}
    return dataclasses.replace(student, outputs={**student.outputs, **made})


def tap_of(signals: Signals, name: str, side: str) -> Tensor:
    """A tap by name; raises MissingSignal that lists what is there."""
    if name not in signals.taps:
        raise _no_tap(name, signals.taps, side)
    return signals.taps[name]


def shapes_of_pair(
    student_taps: Mapping[str, tuple[int, ...]], teacher_taps: Mapping[str, tuple[int, ...]], pair: tuple[str, str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the two taps of a pair, without the batch dimension."""
    for side, taps, name in (("student", student_taps, pair[0]), ("teacher", teacher_taps, pair[1])):
        if name not in taps:
            raise _no_tap(name, taps, side)
    return student_taps[pair[0]], teacher_taps[pair[1]]


def _listed(widths: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{own} to {other}" for own, other in dict.fromkeys(widths))


def _no_tap(name: str, there: Iterable[str], side: str) -> MissingSignal:
    names = ", ".join(f"'{tap}'" for tap in sorted(there)) or "none"
    return MissingSignal(
        f"expected the {side} to give the tap '{name}', its taps are: {names}",
        f"name one of them in `pair`, or capture '{name}'",
    )
