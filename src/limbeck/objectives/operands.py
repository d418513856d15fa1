"""What a loss takes from the signals of both sides: outputs by name, in one shape, blanked where they are masked."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.core.errors import MissingSignal, NotSupported
from limbeck.objectives.chunked import project
from limbeck.objectives.divergences import raised, same_shape
from limbeck.objectives.weighing import blank, labels_of, valid_mask
from limbeck.signals import Batch, Needs, Output, Projected, Signals, TopK, form_of


def output_of(signals: Signals, on: str, side: str) -> Output:
    """An output by name; raises MissingSignal that lists what is there."""
    if on not in signals.outputs:
        there = ", ".join(f"'{name}'" for name in sorted(signals.outputs)) or "none"
        raise MissingSignal(
            f"expected the {side} to give the output '{on}', its outputs are: {there}",
            "name one of them with `on`, as in KD(on='main')",
        )
    return signals.outputs[on]


def answered(teacher: Signals | None) -> Signals:
    """The teacher's signals; raises MissingSignal where there are none."""
    if teacher is None:
        raise MissingSignal(
            "expected the teacher's signals for a loss that compares with the teacher, got none",
            "give a teacher, or train on the terms that need none",
        )
    return teacher


def dense(output: Output, side: str) -> Tensor:
    """An output as a tensor, half precision raised; hidden states are projected. Raises NotSupported for others."""
    if isinstance(output, Tensor):
        return raised(output)
    if isinstance(output, Projected):
        return project(output)
    raise NotSupported(
        f"expected dense outputs from the {side}, got {form_of(output)}",
        "store the answers with the codec 'dense', or use a loss that understands this form, such as KD",
    )


def dense_pair(student: Signals, teacher: Signals | None, on: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Student's and teacher's dense outputs and the mask over positions; the teacher is detached."""
    teacher = answered(teacher)
    answers = output_of(teacher, on, "teacher")
    mask = valid_mask(student, teacher, answers, on)
    left = dense(output_of(student, on, "student"), "student")
    right = dense(answers, "teacher").detach()
    same_shape(left, right)
    return blank(left, mask), blank(right, mask), mask


def blank_topk(answers: TopK, mask: Tensor | None) -> TopK:
    """Top-k answers with the masked positions made harmless."""
    if mask is None:
        return answers
    return TopK(blank(answers.ids, mask), blank(answers.logprobs, mask), blank(answers.rest, mask), answers.size)


def dense_needs(on: str) -> Needs:
    """A side that must give one dense output."""
    return Needs(outputs=(on,))


def either(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    """Both masks at once; None is a mask that lets everything through."""
    if left is None or right is None:
        return right if left is None else left
    return left & right


def target_classes(
    batch: Batch, on: str, answers: Tensor, mask: Tensor | None, unlabelled: str
) -> tuple[Tensor, Tensor | None]:
    """Class ids [...] for teacher logits [..., C], and the mask of what counts.

    Where a row has no label, the teacher's top class stands for it (`unlabelled="teacher"`), or it does not count
    ("skip"). A batch without labels for this output is one in which no row has any.
    """
    top = answers.argmax(dim=-1)
    if on not in batch.targets:
        nothing = torch.zeros(top.shape, dtype=torch.bool, device=top.device)
        return top, mask if unlabelled == "teacher" else nothing
    targets, labelled = labels_of(batch, on, tuple(top.shape))
    if unlabelled == "skip":
        return targets.long(), either(mask, labelled)
    return targets.long() if labelled is None else torch.where(labelled, targets.long(), top), mask
