"""CTC against all paths written out, and against torch's own."""

import itertools

import pytest
import torch

from limbeck.core.errors import ConfigError, ShapeMismatch
from limbeck.objectives import CTC, TranscriptKD
from limbeck.objectives.sequence.ctc import ctc_loss, ctc_rows
from limbeck.objectives.sequence.transcript_kd import heard, transcript_kd_loss
from limbeck.signals import Batch, Signals


def drawn(rows=3, frames=4, classes=3, seed=0):
    return torch.randn(rows, frames, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(logits, labels):
    """-log of the sum over every path that spells the labels."""
    logprobs = logits.log_softmax(-1)
    total = torch.tensor(0.0, dtype=torch.float64)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if [k for k, _ in itertools.groupby(path) if k] == labels:
            total += sum(logprobs[t, c] for t, c in enumerate(path)).exp()
    return -total.log()


def test_it_is_the_sum_over_all_paths():
    logits = drawn()
    labels = torch.tensor([[1, 2], [2, 2], [1, 0]])
    known = torch.tensor([[True, True], [True, True], [True, False]])
    frames = torch.ones(3, 4, dtype=torch.bool)
    wanted = torch.stack([by_hand(logits[0], [1, 2]), by_hand(logits[1], [2, 2]), by_hand(logits[2], [1])])
    assert torch.allclose(ctc_rows(logits, frames, labels, known), wanted)
    assert torch.allclose(ctc_loss(logits, frames, labels, known), wanted.sum() / 5)


def test_frames_of_padding_take_no_part():
    logits = drawn()
    frames = torch.tensor([[True] * 4, [True, True, False, False], [False, True, True, True]])
    labels, known = torch.tensor([[1], [2], [1]]), torch.ones(3, 1, dtype=torch.bool)
    wanted = torch.stack([by_hand(logits[0], [1]), by_hand(logits[1, :2], [2]), by_hand(logits[2, 1:], [1])])
    assert torch.allclose(ctc_rows(logits, frames, labels, known), wanted)


def test_a_row_without_a_path_or_label_has_no_loss_and_no_gradient():
    logits = drawn(2, 2).requires_grad_()
    labels, known = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[True, True], [False, False]])
    loss = ctc_rows(logits, torch.ones(2, 2, dtype=torch.bool), labels, known)
    loss.sum().backward()
    assert (loss == 0).all() and (logits.grad == 0).all()


def test_answers_that_are_no_frames_are_refused():
    batch = Batch(keys=torch.zeros(2, 2).numpy(), targets={"main": torch.ones(2, 3, dtype=torch.long)})
    with pytest.raises(ShapeMismatch, match=r"expected logits \[B, T, C\] and labels \[B, U\] for CTC"):
        CTC().loss(Signals({"main": torch.zeros(2, 5)}), None, batch, None)


def sure(*path, classes=3):
    return 12.0 * torch.nn.functional.one_hot(torch.tensor([path]), classes).double()


def test_what_the_teacher_heard_is_the_label_at_another_rate_of_frames():
    teacher, student = sure(1, 1, 0, 1, 2, 2, 0, 0), drawn(1, 4)
    every = torch.ones(1, 8, dtype=torch.bool)
    path, known = heard(teacher, every)
    assert path[known].tolist() == [1, 1, 2]
    found = transcript_kd_loss(student, every[:, :4], teacher, every)
    assert torch.allclose(found, by_hand(student[0], [1, 1, 2]) / 3)


def test_rows_in_which_the_teacher_was_unsure_are_dropped():
    teacher = torch.cat([sure(1, 0, 2, 0), 0.01 * sure(1, 0, 2, 0)])
    frames = torch.ones(2, 4, dtype=torch.bool)
    assert heard(teacher, frames, 0.9)[1].sum(1).tolist() == [2, 0]
    assert heard(teacher, frames, 0.0)[1].sum(1).tolist() == [2, 2]
    student = drawn(2, 4).requires_grad_()
    transcript_kd_loss(student, frames, teacher, frames, 0.9).backward()
    assert (student.grad[1] == 0).all() and (student.grad[0] != 0).any()


def test_a_threshold_is_a_share():
    with pytest.raises(ConfigError, match="expected a number >= 0 and <= 1, got 2"):
        TranscriptKD(min_confidence=2)
    with pytest.raises(ShapeMismatch, match=r"expected logits \[B, T, C\] for TranscriptKD"):
        TranscriptKD().count(Signals({"main": torch.zeros(2, 5)}), Batch(keys=torch.zeros(2, 2).numpy()))
