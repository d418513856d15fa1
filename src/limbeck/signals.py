"""What models say about a batch, and what a loss may ask for: the currency of limbeck.

Shapes, everywhere in this package:

    B  rows of a batch         C  classes or labels      T  positions (tokens, frames)
    V  vocabulary              D  width of the student   E  width of the teacher
    K  kept entries            N  rows of a data set     S  seeds

An output is one of five forms. Only the dense one is a tensor, the others say what they are:
`Tensor` [B, C] or [B, T, V] (logits; for regression standardised values), `TopK`, `Sampled`,
`Projected` (hidden states with the head that would make logits of them) and `Text`.
A model with one task calls its output "main"; several tasks are several entries of `outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MAIN = "main"
LOG_VARIANCE = 12.0  # log variances of standardised numbers are cut to plus and minus this


@dataclass(frozen=True)
class TopK:
    """The K most probable classes with log-probabilities; `rest` is the log of the remaining mass."""

    ids: Tensor  # [B, (T,) K] integer
    logprobs: Tensor  # [B, (T,) K]
    rest: Tensor  # [B, (T)]
    size: int  # C or V


@dataclass(frozen=True)
class Sampled:
    """Classes drawn from the teacher's distribution with the weights that make the estimate unbiased."""

    ids: Tensor  # [B, (T,) K] integer
    weights: Tensor  # [B, (T,) K], sums to about one
    size: int


@dataclass(frozen=True)
class Projected:
    """Hidden states and the head that turns them into logits, so that logits need never exist at once."""

    hidden: Tensor  # [B, (T,) D]
    weight: Tensor  # [V, D]
    bias: Tensor | None = None  # [V]
    softcap: float | None = None


@dataclass(frozen=True)
class Text:
    """Generated token ids with the mask of the generated part."""

    ids: Tensor  # [B, T]
    mask: Tensor  # [B, T] bool


Output: TypeAlias = "Tensor | TopK | Sampled | Projected | Text"

FORMS = ("dense", "topk", "sampled", "projected", "text")


def form_of(output: Output) -> str:
    """Name the form of an output: "dense", "topk", "sampled", "projected" or "text"."""
    name = type(output).__name__.lower()
    return name if name in FORMS else "dense"


@dataclass(frozen=True)
class Signals:
    """What one model says about one batch."""

    outputs: Mapping[str, Output]
    taps: Mapping[str, Tensor] = field(default_factory=dict)
    attention: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None  # [B, T] bool: True where a position is real; None: every position is
    masks: Mapping[str, Tensor] = field(default_factory=dict)  # the same for outputs with positions of their own

    def mask_of(self, output: str) -> Tensor | None:
        """Where the positions of an output are real: its own mask, else that of all positions."""
        return self.masks.get(output, self.mask)


@dataclass(frozen=True)
class Needs:
    """What a loss asks of one side, or what a source can give.

    `outputs` are names of outputs, `forms` the forms that are understood (asking) or stored (giving); `by_output`
    has the forms of outputs whose own differ from these.
    `on_policy` and `teacher_input_grad` only a live teacher can give.
    """

    outputs: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("dense",)
    taps: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()
    on_policy: bool = False
    teacher_input_grad: bool = False
    by_output: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def forms_of(self, output: str) -> tuple[str, ...]:
        """The forms in which one output is understood, or stored."""
        return self.by_output.get(output, self.forms)

    def __or__(self, other: Needs) -> Needs:
        """Union of two needs; the forms of an output must be understood by every side that asks for it."""
        if not self.outputs or not other.outputs:
            forms = self.forms if self.outputs else other.forms
        else:
            forms = tuple(f for f in self.forms if f in other.forms)
        outputs = _union(self.outputs, other.outputs)
        own = {name: _both(name, self, other) for name in outputs}
        return Needs(
            outputs=outputs,
            forms=forms,
            by_output={name: found for name, found in own.items() if found != forms},
            taps=_union(self.taps, other.taps),
            attention=_union(self.attention, other.attention),
            on_policy=self.on_policy or other.on_policy,
            teacher_input_grad=self.teacher_input_grad or other.teacher_input_grad,
        )

    def missing_from(self, have: Needs) -> list[str]:
        """List in words what `have` cannot give; empty when everything is there."""
        missing = [f"output '{name}'" for name in self.outputs if name not in have.outputs]
        there = [name for name in self.outputs if name in have.outputs]
        if self.outputs and not there and not set(self.forms) & set(have.forms):
            missing.append(_other_forms("outputs", self.forms, have.forms))
        strange = [name for name in there if not set(self.forms_of(name)) & set(have.forms_of(name))]
        asked = {(self.forms_of(name), have.forms_of(name)) for name in strange}
        if strange == list(self.outputs) and len(asked) == 1:
            missing.append(_other_forms("outputs", *asked.pop()))
        else:
            missing += [_other_forms(f"output '{n}'", self.forms_of(n), have.forms_of(n)) for n in strange]
        missing += [f"tap '{name}'" for name in self.taps if name not in have.taps]
        missing += [f"attention '{name}'" for name in self.attention if name not in have.attention]
        if self.on_policy and not have.on_policy:
            missing.append("answers to what the student generates (on-policy)")
        if self.teacher_input_grad and not have.teacher_input_grad:
            missing.append("gradients with respect to the teacher's input")
        return missing


def _both(name: str, left: Needs, right: Needs) -> tuple[str, ...]:
    if name not in left.outputs or name not in right.outputs:
        return (left if name in left.outputs else right).forms_of(name)
    return tuple(form for form in left.forms_of(name) if form in right.forms_of(name))


def _other_forms(what: str, asked: tuple[str, ...], there: tuple[str, ...]) -> str:
    return f"{what} as {' or '.join(asked)} (there: {', '.join(there)})"


def _union(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*left, *right)))


@dataclass(frozen=True)
class Batch:
    """One batch of rows.

    `keys` [B, 2] uint64 are the row keys (128 bits), `views` [B] the number of the augmented view.
    `targets` and `label_mask` hold one entry per task; a row without a label has mask False and any target. The mask of
    float targets [B, K] may be [B, K], where single values of a row are unknown.
    `weight` [B] multiplies a row's share of every loss; None means ones.
    `teacher_inputs` is None unless the teacher runs live.
    """

    keys: np.ndarray[Any, Any]
    views: np.ndarray[Any, Any] | None = None
    teacher_inputs: Any = None
    student_inputs: Any = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    label_mask: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)


class TeacherSource(Protocol):
    """Anything that gives a teacher's signals for a batch: live, stored or mixed."""

    def have(self) -> Needs:
        """Say what this source can give."""
        ...

    def answer(self, batch: Batch) -> Signals:
        """Give the teacher's signals for the batch, without gradients unless asked for."""
        ...
