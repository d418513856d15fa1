"""KL over a large vocabulary straight from hidden states: logits exist for a few positions at a time.

    loss = chunked_kl(Projected(hidden, weight, bias), teacher, weights, temperature)

The gradient with respect to hidden states, weight and bias is closed form (T (q - p) per position), so it is computed
in the forward pass beside the value, chunk by chunk, and nothing of size [positions, V] is ever kept. Memory beyond
the inputs and their gradients is constant in the number of positions. What is masked out is not computed at all.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limbeck.core.errors import ShapeMismatch
from limbeck.objectives.divergences import expected_gap, log_probs, raised, soften_topk
from limbeck.objectives.weighing import shape_of
from limbeck.signals import Projected, TopK

CHUNK_ENTRIES = 1 << 22  # logits alive at once for one model; 16 MiB in float32


def project(output: Projected) -> Tensor:
    """The dense logits [..., V] of a projected output."""
    logits = torch.nn.functional.linear(output.hidden, output.weight.to(output.hidden.dtype), _bias(output))
    logits = raised(logits)
    return logits if output.softcap is None else output.softcap * torch.tanh(logits / output.softcap)


def chunked_kl(
    student: Projected,
    teacher: Tensor | TopK | Projected,
    weights: Tensor,
    temperature: float = 1.0,
    entries: int = CHUNK_ENTRIES,
) -> Tensor:
    """Sum over positions of weight * KL(teacher || student) at a temperature (scalar); no factor T^2.

    `weights` [B] or [B, T] is the share of every position, 0 where it is masked. `entries` bounds the logits that are
    alive at once. Differentiable once, with respect to the student only.
    """
    if shape_of(student) != shape_of(teacher):
        raise ShapeMismatch(
            f"expected outputs of one shape, got {shape_of(student)} from the student and "
            f"{shape_of(teacher)} from the teacher",
            "student and teacher must answer the same vocabulary in the same order",
        )
    flat = weights.reshape(-1)
    kept = flat.nonzero().squeeze(-1)
    hidden = student.hidden.reshape(-1, student.hidden.shape[-1])[kept]
    rows = max(1, entries // student.weight.shape[0])
    plan = _Plan(teacher, kept, flat[kept].detach(), temperature, student.softcap, rows)
    total: Tensor = _ChunkedKL.apply(hidden, student.weight, student.bias, plan)  # type: ignore[no-untyped-call]
    return total


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What does not need a gradient: the teacher, the positions that count, their weights and how to walk."""

    teacher: Tensor | TopK | Projected
    index: Tensor
    weights: Tensor
    temperature: float
    softcap: float | None
    rows: int


class _ChunkedKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, plan: _Plan) -> Tensor:
        wide = raised(hidden[:0]).dtype
        needs = ctx.needs_input_grad
        grad_hidden = torch.zeros_like(hidden) if needs[0] else None
        grad_weight = torch.zeros_like(weight, dtype=wide) if needs[1] else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and needs[2] else None
        total = torch.zeros((), dtype=wide, device=hidden.device)
        for start in range(0, len(hidden), plan.rows):
            part = slice(start, start + plan.rows)
            logits = project(Projected(hidden[part], weight, bias, plan.softcap))
            value, grad = _value_and_gradient(logits, _rows(plan.teacher, plan.index[part]), plan.temperature)
            total += (value * plan.weights[part].to(wide)).sum()
            grad *= plan.weights[part].to(wide)[:, None]
            if plan.softcap is not None:
                grad *= 1 - (logits / plan.softcap).square()
            if grad_hidden is not None:
                grad_hidden[part] = (grad.to(weight.dtype) @ weight).to(hidden.dtype)
            if grad_weight is not None:
                grad_weight.addmm_(grad.T, hidden[part].to(wide))
            if grad_bias is not None:
                grad_bias += grad.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = (hidden.dtype, weight.dtype, bias.dtype if bias is not None else None)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return (*(None if saved is None else (saved * grad).to(dtype) for saved, dtype in pairs), None)


def _value_and_gradient(logits: Tensor, teacher: Tensor | TopK, temperature: float) -> tuple[Tensor, Tensor]:
    """KL(teacher || student) of every row [n] and its gradient with respect to the student's logits [n, V]."""
    log_q = log_probs(logits, temperature)
    if isinstance(teacher, Tensor):
        log_p = log_probs(teacher, temperature)
        return expected_gap(log_p, log_q), (log_q.exp() - log_p.exp()).div_(temperature)
    target, rest = soften_topk(teacher, temperature)
    ids = teacher.ids.long()
    kept = log_q.gather(-1, ids)
    if rest is None:
        return expected_gap(target, kept), log_q.exp().scatter_add(-1, ids, -target.exp()).div_(temperature)
    outside = log_q.scatter(-1, ids, -math.inf)
    others = outside.logsumexp(dim=-1, keepdim=True)
    value = expected_gap(torch.cat([target, rest], dim=-1), torch.cat([kept, others], dim=-1))
    # the rest pulls on its classes in proportion to what the student gives them
    pull = (outside - others + rest).exp().scatter(-1, ids, target.exp())
    return value, (log_q.exp() - pull).div_(temperature)


def _rows(teacher: Tensor | TopK | Projected, index: Tensor) -> Tensor | TopK:
    """The teacher's answers at some positions, counted over the flattened batch."""
    if isinstance(teacher, Projected):
        bias = None if teacher.bias is None else teacher.bias.detach()
        return project(Projected(_flat(teacher.hidden)[index], teacher.weight.detach(), bias, teacher.softcap))
    if isinstance(teacher, TopK):
        rest = teacher.rest.detach().reshape(-1)[index]
        return TopK(_flat(teacher.ids)[index], _flat(teacher.logprobs)[index], rest, teacher.size)
    return _flat(teacher)[index]


def _flat(values: Tensor) -> Tensor:
    return values.detach().reshape(-1, values.shape[-1])


def _bias(output: Projected) -> Tensor | None:
    return None if output.bias is None else output.bias.to(output.hidden.dtype)
