"""Five cases that would break a weak design of signals, objectives and steps."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from limbeck.core.errors import MissingSignal
from limbeck.data.tasks import Classification
from limbeck.objectives import CE, KD, OnPolicyKL, SimKD
from limbeck.objectives.base import mean_of
from limbeck.objectives.chunked import chunked_kl, project
from limbeck.objectives.divergences import kl
from limbeck.signals import Batch, Needs, Projected, Signals, Text
from limbeck.train.steps import Learner
from limbeck.transfer.source import Live


def keys(rows):
    return np.stack([np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64)], axis=1)


def classes(count):
    return Classification(tuple(f"c{n}" for n in range(count)))


# ------------------------------------------------------------------ 1: chunked KL over a vocabulary


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.entries = max(self.entries, value.numel())
        return result


def vocabulary(tokens=512, size=1000, width=16, softcap=None):
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    hidden, weight, bias = normal(2, tokens // 2, width), normal(size, width), normal(size)
    leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
    teacher = Projected(normal(2, tokens // 2, 24), normal(size, 24))
    mask = torch.rand(2, tokens // 2, generator=draw) > 0.25
    return Projected(*leaves, softcap=softcap), teacher, mask, leaves


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_chunked_kl_is_the_naive_one_in_value_and_gradient(softcap):
    student, teacher, mask, leaves = vocabulary(softcap=softcap)
    naive = (kl(project(student), project(teacher), 2.0) * mask).sum()
    expected = torch.autograd.grad(3 * naive, leaves)
    chunked = chunked_kl(student, teacher, mask.double(), 2.0, entries=7000)
    found = torch.autograd.grad(3 * chunked, leaves)
    torch.testing.assert_close(chunked, naive, rtol=1e-12, atol=0)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_chunked_kl_never_holds_the_logits_of_all_positions():
    largest = {}
    for tokens in (512, 4096):
        student, teacher, mask, leaves = vocabulary(tokens)
        with Largest() as seen:
            torch.autograd.grad(chunked_kl(student, teacher, mask.double(), 2.0, entries=20_000), leaves)
        largest[tokens] = seen.entries
        inputs = max(tokens * 24, 1000 * 24)
        assert seen.entries <= max(20_000, inputs) < tokens * 1000 / 4
    assert largest[4096] <= 4096 * 24  # only hidden states grow with the tokens


def test_kd_takes_hidden_states_through_the_learner():
    class Speaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 16), nn.Linear(16, 50)

        def forward(self, x):
            return Signals({"main": Projected(self.body(x), self.head.weight, self.head.bias)})

    torch.manual_seed(0)
    student, inputs = Speaks(), torch.randn(2, 6, 4)
    teacher = Signals({"main": torch.randn(2, 6, 50)}, mask=torch.tensor([[True] * 6, [True] * 2 + [False] * 4]))
    learner = Learner(student, KD(temperature=2), ("main",))
    ((total, count),) = learner(Batch(keys=keys(2), student_inputs=inputs), teacher)
    dense = kl(student.head(student.body(inputs)), teacher.outputs["main"], 2.0) * 4
    assert float(count) == 8
    torch.testing.assert_close(total, (dense * teacher.mask).sum())
    total.backward()
    assert all(parameter.grad is not None for parameter in student.parameters())


# ------------------------------------------------------------------ 2: a batchwise loss on two ranks


@pytest.mark.dist
def test_rkd_on_two_ranks_is_rkd_on_one(tmp_path):
    script = Path(__file__).with_name("two_ranks.py")
    spec = importlib.util.spec_from_file_location("two_ranks", script)
    two_ranks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(two_ranks)
    alone = two_ranks.total_step(slice(None))
    outs = [tmp_path / f"{rank}.json" for rank in range(2)]
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "store"), str(rank), str(outs[rank])],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    for out in outs:
        both = json.loads(out.read_text())
        assert both["loss"] == pytest.approx(alone["loss"], rel=1e-9)
        for left, right in zip(both["grads"], alone["grads"], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-7, atol=1e-10)


# ------------------------------------------------------------------ 3: teacher-head reuse


def test_simkd_keeps_its_head_in_the_saved_student():
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 3))
    student = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    live = Live(teacher, {"main": classes(3)}, taps=["1"])
    inputs = torch.randn(64, 4)
    batch = Batch(keys=keys(64), student_inputs=inputs, teacher_inputs=inputs)
    objective = SimKD(pair=("1", "1"))
    last = teacher[2]
    learner = Learner.build(
        student, objective, ("main",), batch, source=live, projections={"main": (last.weight, last.bias)}
    )
    trained = {name for name, parameter in learner.named_parameters() if name.startswith("heads")}
    assert trained == {"heads.simkd.projector.map.weight", "heads.simkd.projector.map.bias"}
    before = last.weight.clone()
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        prepared, answers = learner.prepare(batch, live)
        loss = mean_of(*learner(prepared, answers)[0])
        loss.backward()
        optimizer.step()
    assert torch.equal(last.weight, before), "the teacher's classifier is reused, not trained"
    deployed = learner.deployed().eval()
    with torch.no_grad():
        answers = deployed(inputs)
        agreement = float((answers.argmax(1) == teacher(inputs).argmax(1)).float().mean())
        own = float((student(inputs).argmax(1) == teacher(inputs).argmax(1)).float().mean())
    assert agreement > 0.95 > own, "the student answers through the kept head"
    assert any("heads" in name for name in deployed.state_dict()), "the head is saved with the student"


def test_simkd_needs_an_open_last_layer():
    teacher = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 3))
    live = Live(teacher, {"main": classes(3)}, taps=["1"])
    inputs = torch.randn(2, 4)
    batch = Batch(keys=keys(2), student_inputs=inputs, teacher_inputs=inputs)
    student = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with pytest.raises(MissingSignal, match="expected the teacher's last layer for the output 'main', it is not open"):
        Learner.build(student, SimKD(pair=("0", "1")), ("main",), batch, source=live)


# ------------------------------------------------------------------ 4: an on-policy step

WORDS, PROMPT, NEW = 11, 3, 4


class Writer(nn.Module):
    """A language model of one layer that can continue a prompt."""

    def __init__(self, width, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS)
        self.asked = []

    def forward(self, ids):
        self.asked.append(ids)
        return self.head(self.embed(ids).cumsum(dim=1))

    def generate(self, ids):
        draw = torch.Generator().manual_seed(1)
        for _ in range(NEW):
            ids = torch.cat([ids, torch.multinomial(self(ids)[:, -1].softmax(-1), 1, generator=draw)], dim=1)
        mask = (torch.arange(PROMPT + NEW) >= PROMPT).expand(len(ids), -1)
        return Text(ids, mask)


def test_on_policy_the_teacher_judges_what_the_student_wrote():
    student, teacher = Writer(8, seed=0), Writer(16, seed=1)
    live = Live(teacher, {"main": classes(WORDS)}, output="logits")
    learner = Learner(student, OnPolicyKL(beta=0.5), ("main",))
    prompts = torch.randint(0, WORDS, (5, PROMPT))
    batch, answers = learner.prepare(Batch(keys=keys(5), student_inputs=prompts, teacher_inputs=prompts), live)
    assert torch.equal(teacher.asked[-1], batch.student_inputs), "both models are asked about the student's text"
    assert batch.student_inputs.shape == (5, PROMPT + NEW) and torch.equal(batch.student_inputs[:, :PROMPT], prompts)
    ((total, count),) = learner(batch, answers)
    assert float(count) == float(OnPolicyKL().count(answers, batch)) == 5 * NEW, "the prompt does not count"
    total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in student.parameters())


def test_stored_answers_are_refused_on_policy_in_one_sentence():
    class Stored:
        def have(self):
            return Needs(outputs=("main",))

        def answer(self, batch):
            raise AssertionError("nobody may ask")

    batch = Batch(keys=keys(2), student_inputs=torch.zeros(2, PROMPT, dtype=torch.long))
    with pytest.raises(MissingSignal) as refused:
        Learner.build(Writer(8, seed=0), OnPolicyKL(), ("main",), batch, source=Stored())
    assert "answers to what the student generates (on-policy)" in refused.value.what
    assert "Live" in refused.value.todo


# ------------------------------------------------------------------ 5: two heads, labels missing for one


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.shape, self.colour = nn.Linear(4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return {"shape": self.shape(x), "colour": self.colour(x)}


def test_two_heads_with_labels_missing_for_one():
    torch.manual_seed(0)
    model, inputs = TwoHeads(), torch.randn(6, 4)
    shape_labels, colour_labels = torch.randint(0, 3, (6,)), torch.tensor([1, -1, 4, -1, -1, 0])
    known = torch.tensor([True, False, True, False, False, True])
    batch = Batch(
        keys=keys(6),
        student_inputs=inputs,
        targets={"shape": shape_labels, "colour": colour_labels},
        label_mask={"shape": torch.ones(6, dtype=torch.bool), "colour": known},
        weight=torch.tensor([1.0, 1.0, 2.0, 1.0, 1.0, 1.0]),
    )
    learner = Learner(model, CE(on="shape") + CE(on="colour") + KD(on="colour"), ("shape", "colour"))
    answers = Signals({"colour": torch.randn(6, 5)})
    parts = learner(batch, answers)
    assert [float(count) for _, count in parts] == [7, 4, 7]
    loss = sum(mean_of(*part) for part in parts[:2])
    rows = nn.functional.cross_entropy(model.colour(inputs[known]), colour_labels[known], reduction="none")
    expected = float((rows * torch.tensor([1.0, 2.0, 1.0])).sum().detach()) / 4
    assert float(mean_of(*parts[1]).detach()) == pytest.approx(expected, rel=1e-6)
    for name, mask in (("colour", torch.zeros(6, dtype=torch.bool)), ("shape", torch.zeros(6, dtype=torch.bool))):
        nothing = dataclasses.replace(batch, label_mask={**batch.label_mask, name: mask})
        total, count = learner(nothing, answers)[("shape", "colour").index(name)]
        assert [float(x.detach()) for x in (total, count, mean_of(total, count))] == [0, 0, 0]
    loss.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


def test_labels_of_another_head_are_not_taken():
    batch = Batch(keys=keys(2), student_inputs=torch.randn(2, 4), targets={"shape": torch.zeros(2, dtype=torch.long)})
    with pytest.raises(MissingSignal, match="expected labels for the output 'colour', the batch has labels for shape"):
        Learner(TwoHeads(), CE(on="colour"), ("shape", "colour"))(batch, None)
