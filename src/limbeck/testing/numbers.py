"""Contracts on value and gradient: scale, direction, extremes, and the forms in which answers come."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from limbeck.objectives.base import Objective
from limbeck.signals import Projected, Signals, TopK
from limbeck.testing.samples import Sample, equal_sides, make_sample
from limbeck.transfer.codecs import Dense

TIGHT = 1e-9


def close(left: float, right: float, tolerance: float = TIGHT) -> bool:
    """Whether two numbers are equal, relative to their size above 1."""
    return math.isfinite(left) and abs(left - right) <= tolerance * max(1.0, abs(left), abs(right))


def same_gradients(left: list[Tensor], right: list[Tensor], tolerance: float = TIGHT) -> bool:
    """Whether two lists of gradients are equal, relative to the largest entry."""
    largest = max((float(g.abs().max()) for g in (*left, *right)), default=0.0)
    limit = tolerance * max(1.0, largest)
    return all(bool(((a - b).abs() <= limit).all()) for a, b in zip(left, right, strict=True))


def zero_at_equal(objective: Objective) -> None:
    """The loss is 0 without slope where both sides say the same, and above 0 elsewhere; or it says why not."""
    traits = objective.traits
    sample = make_sample(objective)
    if not traits.zero_at_equal:
        assert traits.constant_at_equal, "it is not 0 at student = teacher and does not say why (constant_at_equal)"
        return
    value, grads = equal_sides(sample).measured()
    assert abs(value) < 1e-6, f"the loss at student = teacher is {value:g}, expected 0"
    slope = max(float(g.abs().max()) for g in grads)
    assert slope < 1e-5, f"the gradient at student = teacher reaches {slope:g}, expected 0"
    elsewhere = sample.measured()[0]
    assert elsewhere > 1e-6, f"the loss of a student unlike its teacher is {elsewhere:g}, expected more than 0"


def finite_at_extremes(objective: Objective) -> None:
    """Value and gradient are finite, in float32 or wider, at logits of ±300 in float32 and bfloat16."""
    for dtype in (torch.float32, torch.bfloat16):
        sample = make_sample(objective, dtype=dtype)
        apart = sample.student_as(lambda x: 300 * x.sign()).teacher_as(lambda x: 300 * x.roll(1, 0).sign())
        against = apart.teacher_as(lambda x: -300 * x.sign())
        alone = apart.student_as(lambda x: -600 * torch.nn.functional.one_hot(x.argmax(-1), x.shape[-1]).to(x) + 300)
        for case in (apart, against, alone, equal_sides(apart)):
            total, _ = case.parts()
            assert total.dtype == torch.float32, f"the sum is {total.dtype} for signals in {dtype}, expected float32"
            value, grads = case.measured()
            assert math.isfinite(value), f"the loss is {value} at logits of ±300 in {dtype}"
            assert all(bool(g.isfinite().all()) for g in grads), f"a gradient is not finite at ±300 in {dtype}"


def temperature_scaling(objective: Objective) -> None:
    """The gradient neither vanishes nor grows with the temperature, where that is declared."""
    declared = objective.traits.temperature_squared
    names = {field.name for field in dataclasses.fields(objective)}
    assert declared in ("gradient", "none"), f"temperature_squared is '{declared}', expected 'gradient' or 'none'"
    assert (declared == "gradient") == ("temperature" in names), (
        f"temperature_squared is '{declared}' but there is {'a' if 'temperature' in names else 'no'} temperature"
    )
    if declared == "none":
        return
    sizes = []
    for temperature in (200.0, 800.0):
        changed = _replaced(objective, temperature=temperature)
        sizes.append(_size(make_sample(changed).measured()[1]))
    ratio = sizes[1] / max(sizes[0], 1e-300)
    assert abs(ratio - 1) < 0.1, f"from temperature 200 to 800 the gradient changes by a factor {ratio:.3g}, expected 1"


def shift_invariance(objective: Objective) -> None:
    """A constant added to all logits of a row changes nothing, where that is declared."""
    if not objective.traits.shift_invariant:
        return
    sample = make_sample(objective)
    value = sample.measured()[0]
    for side, shifted in (("student", sample.student_as(_shifted)), ("teacher", sample.teacher_as(_shifted))):
        other = shifted.measured()[0]
        assert close(value, other), f"a shift of the {side}'s logits changes the loss from {value:g} to {other:g}"


def direction(objective: Objective) -> None:
    """The gradient is affine in the teacher's probabilities (forward) or log-probabilities (reverse), as declared."""
    declared = objective.traits.direction
    if not declared:
        return
    assert declared in ("forward", "reverse"), f"direction is '{declared}', expected 'forward', 'reverse' or ''"
    temperature = float(getattr(objective, "temperature", 1.0))
    first = make_sample(objective)
    second = first.teacher_as(lambda x: x.roll(1, -1))
    mixed = {}
    for name, left in first.teacher.outputs.items():
        right = second.teacher.outputs[name]
        assert isinstance(left, Tensor) and isinstance(right, Tensor)
        mixed[name] = _mixture(left, right, temperature, declared, objective.traits.independent_labels)
    between = dataclasses.replace(first, teacher=dataclasses.replace(first.teacher, outputs=mixed))
    here, there = first.measured()[1], second.measured()[1]
    halfway = [(a + b) / 2 for a, b in zip(here, there, strict=True)]
    assert not same_gradients(here, there), "the gradient does not depend on the teacher"
    other = "KL(student || teacher)" if declared == "forward" else "KL(teacher || student)"
    assert same_gradients(between.measured()[1], halfway), (
        f"the gradient is not that of a {declared} divergence; is it {other}, or are probabilities taken for logits?"
    )


def sum_over_classes(objective: Objective) -> None:
    """A class in which neither side believes changes nothing, where that is declared."""
    if not objective.traits.sums_over_classes:
        return
    sample = make_sample(objective)

    def widened(x: Tensor) -> Tensor:
        return torch.cat([x, x.new_full((*x.shape[:-1], 3), -1e5)], dim=-1)

    value, other = sample.measured()[0], sample.student_as(widened).teacher_as(widened).measured()[0]
    assert close(value, other), (
        f"three classes that nobody believes in change the loss from {value:g} to {other:g}: is it a mean over classes?"
    )


def no_gradient_to_the_teacher(objective: Objective) -> None:
    """No gradient reaches what the teacher says."""
    leaves: list[Tensor] = []

    def leaf(value: Tensor) -> Tensor:
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1]

    sample = make_sample(objective).teacher_as(leaf).with_leaves()[0]
    value = sample.value()
    assert value.requires_grad, "no gradient reaches the student"
    reached = [g for g in torch.autograd.grad(value, leaves, allow_unused=True) if g is not None]
    assert not reached, "a gradient reaches the teacher: detach what it says"


def stored_answers(objective: Objective) -> None:
    """Answers that went through a codec give the loss of the live ones, within what the codec's error can make."""
    if not objective.teacher_needs().outputs or not objective.teaches:
        return
    sample = make_sample(objective)
    value = sample.measured()[0]
    for codec in (Dense("float32"), Dense("float16")):

        def stored(x: Tensor, codec: Dense = codec) -> Tensor:
            columns = codec.encode(x.float().numpy(), "main", _no_keys(len(x)))
            back = codec.decode({name: torch.from_numpy(column) for name, column in columns.items()}, x.shape[-1])
            assert isinstance(back, Tensor)
            return back.to(x.dtype)

        largest = max(float(x.abs().max()) for x in sample.teacher.outputs.values() if isinstance(x, Tensor))
        error = max(codec.tolerance(largest), largest * 2.0**-23)
        reach = max(abs(_disturbed(sample, error, seed).measured()[0] - value) for seed in range(8))
        gap = abs(sample.teacher_as(stored).measured()[0] - value)
        assert gap <= 4 * reach + TIGHT, (
            f"answers stored as {codec.dtype} change the loss by {gap:g}, at most {reach:g}"
        )


def topk_equals_dense(objective: Objective) -> None:
    """Top-k answers with k = C give the dense loss and gradient; with fewer they are finite."""
    if "topk" not in objective.teacher_needs().forms or not objective.teacher_needs().outputs:
        return
    for positions in (0, 4) if objective.traits.positions else (0,):
        sample = make_sample(objective, positions=positions)
        value, grads = sample.measured()
        other, other_grads = _with_topk(sample, 7).measured()
        assert close(value, other), f"top-k with k = C gives {other:g}, dense {value:g}"
        assert same_gradients(grads, other_grads), "the gradient of top-k with k = C is not the dense one"
        fewer, fewer_grads = _with_topk(sample, 3).measured()
        assert math.isfinite(fewer) and all(bool(g.isfinite().all()) for g in fewer_grads), "top-3 is not finite"


def projected_equals_dense(objective: Objective) -> None:
    """Hidden states with their head give the loss of the logits that they make."""
    if "projected" not in objective.student_needs().forms or not objective.student_needs().outputs:
        return
    sample = make_sample(objective, positions=4 if objective.traits.positions else 0, weighted=True)
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(7, 5, generator=draw, dtype=torch.float64)
    hidden = torch.randn(*_lead(sample), 5, generator=draw, dtype=torch.float64).requires_grad_()
    results = []
    for output in (hidden @ weight.T, Projected(hidden, weight)):
        outputs = dict.fromkeys(sample.student.outputs, output)
        value = dataclasses.replace(sample, student=dataclasses.replace(sample.student, outputs=outputs)).value()
        results.append((float(value.detach()), [torch.autograd.grad(value, hidden)[0]]))
    assert close(results[0][0], results[1][0]), f"projected gives {results[1][0]:g}, dense {results[0][0]:g}"
    assert same_gradients(results[0][1], results[1][1]), "the gradient of the hidden states is not the dense one"


def _with_topk(sample: Sample, kept: int) -> Sample:
    outputs: dict[str, Any] = {}
    for name, logits in sample.teacher.outputs.items():
        assert isinstance(logits, Tensor)
        logprobs, ids = logits.log_softmax(dim=-1).topk(kept, dim=-1)
        rest = (1 - logprobs.exp().sum(dim=-1)).clamp(min=1e-300).log()
        outputs[name] = TopK(ids, logprobs, rest, logits.shape[-1])
    return dataclasses.replace(sample, teacher=Signals(outputs, sample.teacher.taps, mask=sample.teacher.mask))


def _mixture(left: Tensor, right: Tensor, temperature: float, declared: str, independent: bool) -> Tensor:
    """Teacher logits halfway between two: between probabilities (forward) or between logits (reverse)."""
    if declared == "reverse":
        return (left + right) / 2
    if independent:
        return torch.logit(((left / temperature).sigmoid() + (right / temperature).sigmoid()) / 2) * temperature
    mean = ((left / temperature).softmax(dim=-1) + (right / temperature).softmax(dim=-1)) / 2
    return mean.log() * temperature


def _disturbed(sample: Sample, error: float, seed: int) -> Sample:
    draw = torch.Generator().manual_seed(seed)
    return sample.teacher_as(lambda x: x + error * (2 * torch.randint(0, 2, x.shape, generator=draw) - 1))


def _shifted(x: Tensor) -> Tensor:
    return x + torch.arange(len(x), dtype=x.dtype).reshape(-1, *[1] * (x.dim() - 1)) * 3 - 5


def _lead(sample: Sample) -> tuple[int, ...]:
    output = next(iter(sample.student.outputs.values()))
    assert isinstance(output, Tensor)
    return tuple(output.shape[:-1])


def _size(grads: list[Tensor]) -> float:
    return math.sqrt(sum(float(g.square().sum()) for g in grads))


def _replaced(objective: Objective, **changes: Any) -> Objective:
    return dataclasses.replace(objective, **changes)


def _no_keys(rows: int) -> Any:
    import numpy as np

    return np.zeros((rows, 2), np.uint64)
