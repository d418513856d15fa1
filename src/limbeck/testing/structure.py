"""Contracts on an objective as a value: defaults, declared needs, heads, round trips, compilation."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import warnings
from typing import Any

import torch
from torch import Tensor

from limbeck.core.kinds import required
from limbeck.core.yamltext import parse_yaml, write_yaml
from limbeck.objectives.base import FunctionTerm, Objective, as_sum
from limbeck.objectives.spelling import dump, parse
from limbeck.signals import Needs
from limbeck.testing.numbers import close
from limbeck.testing.samples import asked_for, make_head, make_sample


def builds_from_defaults(objective: Objective) -> None:
    """The class makes an object of its defaults; fields without one are asked for by name."""
    if any(required(field) for field in dataclasses.fields(objective)):
        return
    type(objective)()


def is_a_value(objective: Objective) -> None:
    """It is frozen, and equal fields make equal objects of one hash."""
    twin = dataclasses.replace(objective)
    assert twin == objective and hash(twin) == hash(objective), "equal fields do not make equal objects"
    name = dataclasses.fields(objective)[0].name if dataclasses.fields(objective) else "something"
    try:
        setattr(objective, name, getattr(objective, name, 0))
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("it can be changed: declare it with @dataclass(frozen=True, kw_only=True)")


def asks_for_all_it_reads(objective: Objective) -> None:
    """It computes on what it declares to need and on nothing else; what it asks of the teacher has a part in it."""
    sample = make_sample(objective)
    needs, asks = objective.student_needs(), objective.teacher_needs()
    assert needs != Needs(), "it asks nothing of the student"
    little = dataclasses.replace(
        sample, student=asked_for(sample.student, needs), teacher=asked_for(sample.teacher, asks)
    )
    value = float(little.value().detach())
    assert math.isfinite(value), f"the loss is {value}"
    if not objective.teaches:
        objective.loss(little.student, None, little.batch, little.head)


def unequal_widths(objective: Objective) -> None:
    """Taps (and embeddings) of different width are taken, where that is declared."""
    if not objective.traits.unequal_widths or not (objective.student_needs().taps or objective.traits.texts):
        return
    for widths in ((5, 8), (8, 5)):
        value, grads = make_sample(objective, widths=widths).measured()
        assert math.isfinite(value) and all(bool(g.isfinite().all()) for g in grads), f"not finite at widths {widths}"


def heads(objective: Objective) -> None:
    """Everything that the loss trains is in its head, and two processes with one seed make the same head."""
    sample = make_sample(objective, widths=(5, 8) if objective.traits.unequal_widths else (5, 5))
    fresh, leaves = sample.with_leaves()
    trained = {id(leaf) for leaf in leaves}
    if sample.head is not None:
        trained |= {id(parameter) for parameter in sample.head.parameters()}
    strangers = [leaf for leaf in _graph_leaves(fresh.value()) if id(leaf) not in trained]
    assert not strangers, (
        f"{len(strangers)} trained tensors are in no head, so that no optimizer, checkpoint or rank knows them: "
        "make them in heads()"
    )
    if sample.head is None:
        return
    twin = make_head(objective, sample.student, sample.teacher, torch.float64)
    assert twin is not None
    left, right = sample.head.state_dict(), twin.state_dict()
    assert left.keys() == right.keys(), "two heads have different parameters"
    assert all(torch.equal(left[name], right[name]) for name in left), "one seed makes two different heads"


def keeps_no_state(objective: Objective) -> None:
    """The same signals give the same loss again."""
    sample = make_sample(objective, weighted=True)
    before = {name: value.clone() for name, value in _state(sample.head).items()}
    values = [sample.measured()[0] for _ in range(2)]
    assert values[0] == values[1], f"the same signals give {values[0]:g} and then {values[1]:g}"
    after = _state(sample.head)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert not changed, f"computing the loss changes {', '.join(changed)} of its head"


def round_trip(objective: Objective) -> None:
    """Text, YAML, pickle and copies give an equal objective back."""
    whole = 0.25 * objective + objective
    text = dump(whole)
    assert parse(text) == whole, f"'{text}' is read as another objective"
    document = parse_yaml(write_yaml({"objective": text})).value
    assert parse(document["objective"]) == whole, f"'{text}' does not survive YAML"
    assert as_sum(pickle.loads(pickle.dumps(objective))) == as_sum(objective), "pickle changes it"
    if not isinstance(objective, FunctionTerm):
        assert copy.deepcopy(objective) == objective, "a deep copy is not equal"


def compiles(objective: Objective) -> None:
    """torch.compile gives the same value and gradient."""
    sample = make_sample(objective, dtype=torch.float32)
    value, grads = sample.measured()
    fresh, leaves = sample.with_leaves()
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled: Any = torch.compile(fresh.value, backend="aot_eager")
        other = compiled()
        found = torch.autograd.grad(other, leaves, allow_unused=True)
    torch.compiler.reset()
    assert close(value, float(other.detach()), 1e-5), f"compiled it gives {float(other.detach()):g}, else {value:g}"
    for grad, again in zip(grads, found, strict=True):
        assert torch.allclose(grad, torch.zeros_like(grad) if again is None else again, atol=1e-4, rtol=1e-3), (
            "compiled it gives another gradient"
        )


def _state(head: torch.nn.Module | None) -> dict[str, Tensor]:
    return {} if head is None else dict(head.state_dict())


def _graph_leaves(value: Tensor) -> list[Tensor]:
    """The tensors that a gradient would reach."""
    found: dict[int, Tensor] = {}
    seen, todo = set(), [value.grad_fn]
    while todo:
        node: Any = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        todo += [following for following, _ in node.next_functions]
    return list(found.values())
