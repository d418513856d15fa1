"""Words in the stages: flat over a split, O where a model did not read so far, weights and groups of their rows."""

import numpy as np
import torch

import limbeck as lb
from limbeck.data.tasks import Tagging
from limbeck.data.words import word_counts
from limbeck.evaluate.quality import metric_for
from limbeck.signals import Needs, Signals
from limbeck.stages.tables import _of_words
from limbeck.stages.words import Truth, decided_words, flattened, lengths_of, raw_answers

WORDS = [["Ann", "met", "Bob"], ["hello"], ["in", "Rome", "now", "or", "never"]] * 4
TAGS = [["B-X", "O", None], ["O"], None] * 4
NAMES = ("O", "B-X")


class Reads(torch.nn.Module):
    """Answers for the first two words of a row, tag 1 for both."""

    def forward(self, rows):
        return torch.tensor([0.0, 1.0]).expand(len(rows), 4, 2)

    def masks(self, rows):
        return {"main": torch.tensor([[True, True, False, False]]).expand(len(rows), -1) & (rows > 1)[:, :1]}


def rows():
    data = lb.Data(
        train=(WORDS, TAGS), validation=(WORDS, TAGS), classes=list(NAMES), task="tagging", weights=[1.0, 2.0, 3.0] * 4,
        groups=["a", "b", "b"] * 4,
    )  # fmt: skip
    return data.train.take(np.arange(3)), data.tasks


def test_labels_weights_and_groups_stand_at_every_word():
    part, tasks = rows()
    truth = Truth.of(part, "main", tasks["main"])
    assert truth.y.tolist() == [1, 0, -1, 0, -1, -1, -1, -1, -1]
    assert truth.labelled.tolist() == [True, True, False, True, *[False] * 5]
    assert truth.sentences.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2]
    assert truth.groups.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    weight = part.weight.tolist()
    assert truth.weight.tolist() == [weight[n] for n in truth.sentences]
    assert truth.metric(tasks["main"], None).name == "entity_f1"


def test_what_is_not_read_is_outside():
    part, tasks = rows()
    said = raw_answers(Reads(), torch.tensor([[3], [0], [5]]), part, tasks)["main"]
    assert said.argmax(1).tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 0]
    mask = torch.tensor([[True, False], [True, False], [False, False]])
    live = Signals({"main": torch.tensor([[[0.0, 1.0]] * 2] * 3)}, masks={"main": mask})
    assert flattened(tasks["main"], "main", live, part).argmax(1).tolist() == [1, 0, 0, 1, *[0] * 5]
    assert lengths_of(part, tasks)["main"].tolist() == [3, 1, 5]
    assert lengths_of(part, {"main": lb.Data(train=(np.eye(9), np.arange(9) % 2)).tasks["main"]}) == {}


def test_decisions_of_the_teacher_stand_for_rows_without_labels():
    part, tasks = rows()
    assert isinstance(tasks["main"], Tagging)
    answers = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1, 0, 1, 0, 1]]
    pseudo = decided_words(answers, lengths_of(part, tasks)["main"], np.ones(9, dtype=bool))
    assert pseudo.tolist() == [[0, 0, 0, -1, -1], [0, -1, -1, -1, -1], [1, 0, 1, 0, 1]]
    targets, known = _of_words(part.targets["main"], part.label_mask["main"], pseudo)
    assert targets.tolist() == [[1, 0, 0, 0, 0], [0] * 5, [1, 0, 1, 0, 1]]
    assert known.sum(1).tolist() == [2, 1, 5], "own labels stay, missing ones of a labelled row too"


def test_words_that_the_teacher_never_read_get_no_pseudo_label(tmp_path):
    """Cut off behind two words, and a word in the middle that has no answer: neither becomes O."""
    from types import SimpleNamespace

    from limbeck.stages.train import _pseudo
    from limbeck.transfer.label import label
    from limbeck.transfer.manifest import Identity

    class Short:
        def have(self):
            return Needs(outputs=("main",))

        def answer(self, batch):
            count = len(batch.keys)
            mask = torch.tensor([[True, False, True, False, False]]).repeat(count, 1)
            mask[:, 1] = torch.tensor(word_counts(batch.teacher_inputs) == 5)
            return Signals({"main": torch.tensor([0.5, 1.0]).expand(count, 5, 2)}, masks={"main": mask})

    part, tasks = rows()
    store = label(
        Short(), part, tmp_path / "s", prepare=lambda inputs: inputs, heads=tasks, identity=Identity("t", "p")
    )
    job = SimpleNamespace(data=SimpleNamespace(tasks=tasks))
    pseudo = _pseudo(job, store, part)["main"]
    assert pseudo.tolist() == [[1, -1, 1, -1, -1], [1, -1, -1, -1, -1], [1, 1, 1, -1, -1]]
    targets, known = _of_words(part.targets["main"], part.label_mask["main"], pseudo)
    assert known[2].tolist() == [True, True, True, False, False] and targets[2].tolist() == [1, 1, 1, 0, 0]


def test_a_constant_answer_to_words_is_o_wherever_it_stands_among_the_tags():
    from limbeck.stages.label import _judged_as

    task = Tagging(("B-X", "O"))
    y = np.array([0, 1, 1, 0])
    metric = metric_for(task, None, y, sentences=np.array([0, 0, 1, 1]))
    assert metric.trivial_baseline(_judged_as(task), y, y) == 0


def test_a_tagger_that_is_handed_in_labels_in_bf16_where_asked():
    from limbeck.signals import Needs
    from limbeck.stages.teachers import GivenTeacher

    teacher = GivenTeacher(torch.nn.Linear(2, 2))
    assert teacher._words_in("fp32", Needs()) is teacher.model
    assert teacher._words_in("bf16", Needs()) is not teacher.model
    assert teacher._words_in("bf16", Needs(taps=("hidden.0",))) is teacher.model
