"""Divergences between two distributions over classes, in log space, one value a row.

Every function says its direction and its factor. `student` stands before `teacher`, both are logits [..., C]; the
result [...] is a sum over classes, not a mean. No factor T^2 is applied here, the losses apply theirs. Half precision
is raised to float32, float64 stays. The teacher is always detached.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.core.errors import ShapeMismatch
from limbeck.signals import TopK


def raised(values: Tensor) -> Tensor:
    """Half precision as float32; other dtypes as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def log_probs(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities of logits [..., C] at a temperature."""
    logits = raised(logits)
    return torch.log_softmax(logits if temperature == 1 else logits / temperature, dim=-1)


def expected_gap(log_weights: Tensor, log_other: Tensor) -> Tensor:
    """Sum over classes of p (log p - log q) [...], where p = 0 counts as 0 even if log q is -inf."""
    weights = log_weights.exp()
    gap = log_weights - log_other
    return (weights * gap.masked_fill(weights == 0, 0.0)).sum(dim=-1)


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student) of softened logits, sum over classes [...]."""
    same_shape(student, teacher)
    return expected_gap(log_probs(teacher.detach(), temperature), log_probs(student, temperature))


def reverse_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(student || teacher) of softened logits, sum over classes [...]."""
    same_shape(student, teacher)
    return expected_gap(log_probs(student, temperature), log_probs(teacher.detach(), temperature))


def generalised_jsd(student: Tensor, teacher: Tensor, beta: float = 0.5, temperature: float = 1.0) -> Tensor:
    """Generalised Jensen-Shannon divergence [...]: beta KL(teacher || M) + (1 - beta) KL(student || M).

    M = beta * teacher + (1 - beta) * student (GKD, arXiv:2306.13649). The formula is 0 at both ends, where the limits
    of JSD / beta are meant: beta = 0 is KL(teacher || student), beta = 1 is KL(student || teacher).
    """
    if beta == 0:
        return kl(student, teacher, temperature)
    if beta == 1:
        return reverse_kl(student, teacher, temperature)
    same_shape(student, teacher)
    log_q, log_p = log_probs(student, temperature), log_probs(teacher.detach(), temperature)
    mixture = torch.logaddexp(log_p + math.log(beta), log_q + math.log(1 - beta))
    return beta * expected_gap(log_p, mixture) + (1 - beta) * expected_gap(log_q, mixture)


def topk_kl(student: Tensor, teacher: TopK, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student) over the K kept classes and one bucket for the rest [...].

    With K = C it equals `kl`. Otherwise it is biased: it does not say how the student shares out the rest (at
    temperature 1 it is a lower bound of `kl`). At other temperatures the rest is softened as if it were spread evenly
    over the classes that were not kept.
    """
    target, rest = soften_topk(teacher, temperature)
    same_size(student, teacher)
    everything = log_probs(student, temperature)
    ids = teacher.ids.long()
    kept = everything.gather(-1, ids)
    if rest is None:
        return expected_gap(target, kept)
    others = everything.scatter(-1, ids, -math.inf).logsumexp(dim=-1, keepdim=True)
    return expected_gap(torch.cat([target, rest], dim=-1), torch.cat([kept, others], dim=-1))


def soften_topk(teacher: TopK, temperature: float) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities of the kept classes [..., K] and of the rest [..., 1] at a temperature; no rest if K = C."""
    logprobs = raised(teacher.logprobs.detach())
    others = teacher.size - logprobs.shape[-1]
    if others == 0:
        return torch.log_softmax(logprobs / temperature, dim=-1), None
    spread = math.log(others)
    rest = raised(teacher.rest.detach()).unsqueeze(-1)
    rest = (rest - spread) / temperature + spread
    both = torch.log_softmax(torch.cat([logprobs / temperature, rest], dim=-1), dim=-1)
    return both[..., :-1], both[..., -1:]


def bernoulli_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student) of independent labels, softened logits [..., L], sum over labels [...]."""
    same_shape(student, teacher)
    z, t = raised(student) / temperature, raised(teacher.detach()) / temperature
    logsigmoid = torch.nn.functional.logsigmoid
    yes = t.sigmoid() * (logsigmoid(t) - logsigmoid(z))
    no = (-t).sigmoid() * (logsigmoid(-t) - logsigmoid(-z))
    return (yes + no).sum(dim=-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy of softened logits in nats [...]."""
    log_p = log_probs(logits, temperature)
    return -expected_gap(log_p, torch.zeros_like(log_p))


def same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse outputs of different shape; classes are never cut or padded in silence."""
    if student.shape != teacher.shape:
        raise ShapeMismatch(
            f"expected outputs of one shape, got {tuple(student.shape)} from the student and "
            f"{tuple(teacher.shape)} from the teacher",
            "student and teacher must answer the same classes in the same order",
        )


def same_size(student: Tensor, teacher: TopK) -> None:
    """Refuse top-k answers over another number of classes than the student has."""
    if (*student.shape[:-1], student.shape[-1]) != (*teacher.ids.shape[:-1], teacher.size):
        raise ShapeMismatch(
            f"expected top-k answers for an output of shape {tuple(student.shape)}, got "
            f"{tuple(teacher.ids.shape)} over {teacher.size} classes",
            "student and teacher must answer the same classes in the same order",
        )
