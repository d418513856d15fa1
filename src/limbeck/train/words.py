"""Words in a step: targets and the teacher's answers are brought to the words that the student reads.

The student says before it runs which words it has a token for. What it does not read (cut off) is masked on every side,
so that a loss counts the same words in the student, in the teacher's answers and in the labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.objectives.weighing import fit_positions
from limbeck.signals import Batch, Signals, TopK


def fit_words(batch: Batch, teacher: Signals | None, masks: Mapping[str, Tensor]) -> tuple[Batch, Signals | None]:
    """The batch and the answers with W words a row for every output in `masks` [B, W], those not read masked out."""
    targets, labelled = dict(batch.targets), dict(batch.label_mask)
    for name, mask in masks.items():
        if name in targets:
            width = mask.shape[1]
            known = labelled.get(name)
            own = torch.ones_like(targets[name], dtype=torch.bool) if known is None else known
            targets[name], labelled[name] = fit_positions(targets[name], width), fit_positions(own, width) & mask
    batch = dataclasses.replace(batch, targets=targets, label_mask=labelled)
    if teacher is None:
        return batch, None
    outputs, theirs = dict(teacher.outputs), dict(teacher.masks)
    for name, mask in masks.items():
        if name in outputs:
            answers = outputs[name]
            given = teacher.mask_of(name)
            width = mask.shape[1]
            outputs[name] = _cut(answers, width)
            theirs[name] = mask if given is None else fit_positions(given, width) & mask
    return batch, dataclasses.replace(teacher, outputs=outputs, masks=theirs)


def _cut(answers: Any, width: int) -> Any:
    if isinstance(answers, TopK):
        return TopK(
            fit_positions(answers.ids, width),
            fit_positions(answers.logprobs, width),
            fit_positions(answers.rest, width),
            answers.size,
        )
    return fit_positions(answers, width)
