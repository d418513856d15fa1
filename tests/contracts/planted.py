"""Losses that are wrong on purpose, each in the way of a bug that was shipped somewhere."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from limbeck.objectives.base import Objective, Traits, weigh
from limbeck.objectives.divergences import kl, reverse_kl
from limbeck.objectives.operands import dense_pair
from limbeck.objectives.response.ce import ce_rows
from limbeck.objectives.response.kd import kd_rows
from limbeck.objectives.response.label_mse import MSE
from limbeck.signals import MAIN, Needs

KD_TRAITS = Traits(temperature_squared="gradient", shift_invariant=True, direction="forward", sums_over_classes=True)


@dataclass(frozen=True, kw_only=True)
class Planted(Objective):
    """A KD that is right; each child gets one thing wrong."""

    on: str = MAIN
    temperature: float = 4.0
    traits: ClassVar[Traits] = KD_TRAITS

    def student_needs(self):
        return Needs(outputs=(self.on,))

    def teacher_needs(self):
        return Needs(outputs=(self.on,))

    def rows(self, student, teacher):
        return kd_rows(student, teacher, self.temperature)

    def loss(self, student, teacher, batch, head):
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(self.rows(left, right), batch, mask)


class NoTemperatureSquared(Planted):
    def rows(self, student, teacher):
        return kl(student, teacher, self.temperature)


class Swapped(Planted):
    def rows(self, student, teacher):
        return reverse_kl(student, teacher, self.temperature) * self.temperature**2


class MeanOverClasses(Planted):
    def rows(self, student, teacher):
        return kd_rows(student, teacher, self.temperature) / student.shape[-1]


class ProbabilitiesForLogits(Planted):
    def rows(self, student, teacher):
        return kd_rows(student.softmax(-1), teacher.softmax(-1), self.temperature)


class NoLogarithm(Planted):
    """F.kl_div wants log-probabilities as its first argument."""

    def rows(self, student, teacher):
        q, p = (student / self.temperature).softmax(-1), (teacher / self.temperature).softmax(-1)
        return F.kl_div(q, p, reduction="none").sum(-1) * self.temperature**2


class CrossEntropyForm(Planted):
    """Without the teacher's entropy it is not 0 at the teacher."""

    def rows(self, student, teacher):
        q, p = (student / self.temperature).log_softmax(-1), (teacher / self.temperature).softmax(-1)
        return -(p * q).sum(-1) * self.temperature**2


class LogOfSoftmax(Planted):
    """Underflows where log_softmax does not."""

    def rows(self, student, teacher):
        q, p = (student / self.temperature).softmax(-1), (teacher / self.temperature).softmax(-1)
        return (p * (p.log() - q.log())).sum(-1) * self.temperature**2


class RawLogits(Planted):
    temperature = None
    traits = Traits(shift_invariant=True)

    def rows(self, student, teacher):
        return (student - teacher).square().sum(-1)


class TeacherNotDetached(Planted):
    def loss(self, student, teacher, batch, head):
        left, right = student.outputs[self.on].float(), teacher.outputs[self.on].float()
        p = (right / self.temperature).log_softmax(-1)
        q = (left / self.temperature).log_softmax(-1)
        return weigh((p.exp() * (p - q)).sum(-1) * self.temperature**2, batch, student.mask)


class MaskIgnored(Planted):
    def loss(self, student, teacher, batch, head):
        left, right = student.outputs[self.on], teacher.outputs[self.on]
        return weigh(self.rows(left, right), batch, teacher.mask if teacher.mask is None else teacher.mask | True)


class MaskAfterwards(Planted):
    """Masks the losses but not what goes in, so that NaN comes back through the gradient."""

    def loss(self, student, teacher, batch, head):
        return weigh(self.rows(student.outputs[self.on], teacher.outputs[self.on]), batch, teacher.mask)


class PaddingCounts(Planted):
    """Masks the values and divides by all positions (TRL#4105)."""

    def loss(self, student, teacher, batch, head):
        total, count = super().loss(student, teacher, batch, head)
        return total, count if teacher.mask is None else torch.tensor(float(teacher.mask.numel()))


class CountsFromTheLeft(Planted):
    """Weighs a position by its number, which is another one where padding is on the left."""

    def loss(self, student, teacher, batch, head):
        left, right, mask = dense_pair(student, teacher, self.on)
        return weigh(self.rows(left, right) * (1 if mask is None else torch.arange(mask.shape[1])), batch, mask)


class MeanOverTheBatch(Planted):
    def loss(self, student, teacher, batch, head):
        total, count = super().loss(student, teacher, batch, head)
        return total / count, torch.tensor(1.0)


class OtherCount(Planted):
    def count(self, teacher, batch):
        return torch.tensor(float(len(batch)) + 1)


class LooksAtNeighbours(Planted):
    """Depends on the order of the rows."""

    def rows(self, student, teacher):
        return kd_rows(student, teacher, self.temperature) * torch.arange(1, len(student) + 1)


class IgnoresWeights(Planted):
    def loss(self, student, teacher, batch, head):
        left, right, _ = dense_pair(student, teacher, self.on)
        rows = self.rows(left, right)
        return rows.sum(), torch.tensor(float(rows.numel()))


class HalfPrecisionSum(Planted):
    def rows(self, student, teacher):
        return kd_rows(student, teacher, self.temperature).bfloat16()


class UnlabelledRowsCount(Planted):
    """Reads the label of rows that have none."""

    temperature = None
    traits = Traits(zero_at_equal=False, constant_at_equal="labels", shift_invariant=True, labels="class")

    def teacher_needs(self):
        return Needs()

    def loss(self, student, teacher, batch, head):
        logits = student.outputs[self.on]
        return weigh(ce_rows(logits, batch.targets[self.on].clamp(min=0, max=logits.shape[-1] - 1)), batch)


class ReadsMoreThanItAsks(Planted):
    def teacher_needs(self):
        return Needs(taps=("h",))


class _Loose(nn.Module):
    """A regressor whose parameters no optimiser sees (mdistiller's VID)."""

    def __init__(self):
        super().__init__()
        self.loose = [torch.ones(1, dtype=torch.float64, requires_grad=True)]


class HiddenParameters(Planted):
    def heads(self, shapes):
        return _Loose()

    def loss(self, student, teacher, batch, head):
        total, count = super().loss(student, teacher, batch, head)
        return total * head.loose[0].sum(), count


class _Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))


class KeepsState(Planted):
    def heads(self, shapes):
        return _Counting()

    def loss(self, student, teacher, batch, head):
        head.seen += 1
        return super().loss(student, teacher, batch, head)


class NotFrozen(Planted):
    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class BadDefaults(Planted):
    temperature: float = -1.0

    def __post_init__(self):
        if self.temperature <= 0:
            raise ValueError("temperature must be positive")


class UnknownEntriesAreZeros(MSE):
    """What is unknown of a row is learned to be the mean."""

    def loss(self, student, teacher, batch, head):
        filled = {name: target.nan_to_num() for name, target in batch.targets.items()}
        rows = {name: mask.any(-1) if mask.dim() > 1 else mask for name, mask in batch.label_mask.items()}
        return super().loss(student, teacher, replace(batch, targets=filled, label_mask=rows), head)


class PartialRowsDoNotCount(MSE):
    """A row that misses one of its targets loses all."""

    def loss(self, student, teacher, batch, head):
        whole = {name: mask.all(-1) if mask.dim() > 1 else mask for name, mask in batch.label_mask.items()}
        targets = {name: target.nan_to_num() for name, target in batch.targets.items()}
        return super().loss(student, teacher, replace(batch, targets=targets, label_mask=whole), head)
