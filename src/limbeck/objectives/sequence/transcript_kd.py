"""TranscriptKD: what the teacher heard is the label, wherever in time the student says it.

Paper      Kim and Rush, Sequence-Level Knowledge Distillation, EMNLP 2016, arXiv:1606.07947, with CTC; the filter as in
           Kahn et al., Self-Training for End-to-End Speech Recognition, ICASSP 2020, arXiv:1909.09116
Needs      logits [B, T, C] of both sides at every frame, class 0 is the blank; T may differ
Formula    CTC of the student with the teacher's best path, repeats merged and blanks left out; over its characters
Zero at    never: only a student that is certain of one path comes near
Defaults   every row counts; `min_confidence` drops rows where the teacher is less sure: the geometric mean of the
           probability of its best class over all frames, or `per` "character" over those in which that is one
Pitfalls   most frames are blanks that everybody is sure of, so that thresholds of all frames lie near 1; a row in which
           the teacher heard nothing teaches nothing
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.base import Objective, Traits
from limbeck.objectives.fields import Fields
from limbeck.objectives.operands import answered, dense, dense_needs, output_of
from limbeck.objectives.sequence.ctc import BLANK, ctc_rows
from limbeck.objectives.weighing import blank, positions, total_weight, weighted_sum
from limbeck.signals import MAIN, Batch, Needs, Signals

PER = ("frame", "character")


def heard(teacher: Tensor, frames: Tensor, min_confidence: float = 0.0, per: str = "frame") -> tuple[Tensor, Tensor]:
    """The best path int64 [B, T] of logits [B, T, C], and where a character of a sure row begins, bool [B, T]."""
    logprobs = blank(teacher, frames).log_softmax(-1)
    best, path = logprobs.max(-1)
    path = torch.where(frames, path, torch.full_like(path, BLANK))
    before = torch.cat([torch.full_like(path[:, :1], BLANK), path[:, :-1]], dim=1)
    asked = frames if per == "frame" else path != BLANK
    sure = (torch.where(asked, best, torch.zeros_like(best)).sum(1) / asked.sum(1).clamp(min=1)).exp()
    return path, (path != BLANK) & (path != before) & (sure >= min_confidence)[:, None]


def transcript_kd_loss(
    student: Tensor, student_frames: Tensor, teacher: Tensor, teacher_frames: Tensor, min_confidence: float = 0.0,
    per: str = "frame",
) -> Tensor:  # fmt: skip
    """Mean over the teacher's characters of the rows' negative log-likelihoods."""
    path, known = heard(teacher, teacher_frames, min_confidence, per)
    return ctc_rows(student, student_frames, path, known).sum() / known.sum().clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class TranscriptKD(Objective):
    """CTC with what the teacher heard.

    Rows in which it was less sure than `min_confidence` (0 to 1) `per` frame, or per character, are left out.
    """

    on: str = MAIN
    min_confidence: float = 0.0
    per: str = "frame"
    kinds: ClassVar[tuple[str, ...]] = ("transcription",)
    traits: ClassVar[Traits] = Traits(
        zero_at_equal=False, constant_at_equal="the best path is not the only one", shift_invariant=True, tokens=True
    )

    def __post_init__(self) -> None:
        Fields(self).number("min_confidence", low=0, high=1).choice("per", PER).check()

    def student_needs(self) -> Needs:
        return dense_needs(self.on)

    def teacher_needs(self) -> Needs:
        return dense_needs(self.on)

    def count(self, teacher: Signals | None, batch: Batch) -> Tensor:
        return total_weight(batch, self._heard(answered(teacher))[1])

    def loss(
        self, student: Signals, teacher: Signals | None, batch: Batch, head: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        path, known = self._heard(answered(teacher))
        logits = dense(output_of(student, self.on, "student"), "student")
        losses = ctc_rows(logits, _frames(logits, student, self.on), path, known)
        return weighted_sum(losses, batch), total_weight(batch, known)

    def _heard(self, teacher: Signals) -> tuple[Tensor, Tensor]:
        answers = dense(output_of(teacher, self.on, "teacher"), "teacher").detach()
        return heard(answers, _frames(answers, teacher, self.on), self.min_confidence, self.per)


def _frames(logits: Tensor, said: Signals, on: str) -> Tensor:
    frames = positions(logits, said.mask_of(on))
    if frames is None:
        raise ShapeMismatch(
            f"expected logits [B, T, C] for TranscriptKD on '{on}', got {list(logits.shape)}",
            "give networks that answer at every frame, and a task of kind transcription",
        )
    return frames
