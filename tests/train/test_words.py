"""Words in a step: everything is brought to the words that the student reads, and the same words count everywhere."""

import numpy as np
import pytest
import torch

from limbeck.objectives import CE, KD
from limbeck.objectives.weighing import fit_positions
from limbeck.signals import Batch, Needs, Signals, TopK
from limbeck.train.words import fit_words
from limbeck.transfer.ensemble import Ensemble

KEYS = np.zeros((2, 2), dtype=np.uint64)
STUDENT = torch.tensor([[True, True, True, False], [True, False, True, False]])  # a word without a token in row 1


def batch(words=6):
    targets = torch.arange(2 * words).reshape(2, words) % 3
    known = torch.ones(2, words, dtype=torch.bool)
    known[0, 1] = False
    return Batch(keys=KEYS, targets={"slots": targets, "intent": torch.tensor([0, 1])}, label_mask={"slots": known})


@pytest.mark.parametrize("teacher_words", [2, 4, 5])
def test_the_same_words_count_for_labels_and_answers(teacher_words):
    torch.manual_seed(0)
    given = torch.ones(2, teacher_words, dtype=torch.bool)
    given[1, -1] = False
    said = Signals({"slots": torch.randn(2, teacher_words, 3), "intent": torch.randn(2, 2)}, masks={"slots": given})
    fitted, teacher = fit_words(batch(), said, {"slots": STUDENT})
    assert fitted.targets["slots"].shape == teacher.outputs["slots"].shape[:2] == (2, 4)
    assert torch.equal(fitted.label_mask["slots"], fit_positions(batch().label_mask["slots"], 4) & STUDENT)
    assert torch.equal(teacher.masks["slots"], fit_positions(given, 4) & STUDENT)
    assert torch.equal(teacher.outputs["intent"], said.outputs["intent"])
    assert torch.equal(fitted.targets["intent"], torch.tensor([0, 1])) and "intent" not in fitted.label_mask
    student = Signals({"slots": torch.randn(2, 4, 3), "intent": torch.randn(2, 2)}, masks={"slots": STUDENT})
    for loss, words in ((CE(on="slots"), fitted.label_mask["slots"]), (KD(on="slots"), teacher.masks["slots"])):
        total, count = loss.loss(student, teacher, fitted, None)
        assert torch.isfinite(total) and count == words.sum() == loss.count(teacher, fitted)
        spoiled = student.outputs["slots"].masked_fill(~words[..., None], float("nan"))
        again, _ = loss.loss(Signals({"slots": spoiled}, masks={"slots": STUDENT}), teacher, fitted, None)
        assert again == total, "other words have no part"
    assert CE(on="intent").loss(student, teacher, fitted, None)[1] == 2, "the task of whole rows counts rows"


def test_the_best_classes_of_words_are_cut_and_padded_too():
    top = TopK(torch.ones(2, 5, 2), torch.zeros(2, 5, 2), torch.zeros(2, 5), 9)
    _, teacher = fit_words(batch(), Signals({"slots": top}), {"slots": STUDENT})
    found = teacher.outputs["slots"]
    assert (found.ids.shape, found.rest.shape, found.size) == ((2, 4, 2), (2, 4), 9)


def test_without_a_teacher_only_labels_are_fitted():
    fitted, teacher = fit_words(batch(2), None, {"slots": STUDENT})
    assert teacher is None and fitted.targets["slots"].shape == (2, 4)
    assert not fitted.label_mask["slots"][:, 2:].any()


class Says:
    def __init__(self, words, read):
        self.words, self.read = words, read

    def have(self):
        return Needs(outputs=("main",))

    def answer(self, batch):
        torch.manual_seed(0)
        mask = (torch.arange(self.words) < self.read).expand(2, -1)
        return Signals({"main": torch.zeros(2, self.words, 3) + torch.arange(3.0)}, masks={"main": mask})


def test_several_teachers_answer_the_words_that_all_of_them_read():
    class Task:
        kind, meaning = "tagging", "classes"

    mixed = Ensemble([Says(5, 4), Says(3, 3)], heads={"main": Task()}).answer(Batch(keys=KEYS))
    assert mixed.masks["main"].tolist() == [[True, True, True, False, False]] * 2
    kept = mixed.outputs["main"][:, :3]
    assert torch.allclose(kept, torch.arange(3.0).log_softmax(-1).expand_as(kept), atol=1e-6)
