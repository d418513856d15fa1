"""One step: the student and the heads of the losses in one module, one student forward, sums and counts.

Wrapping student and heads together is what keeps the heads equal across ranks; `deployed` is what is left of it
when the training is over: the student, with the heads that stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, MissingSignal
from limbeck.core.runtime import derive_seed, device_of, seeded
from limbeck.models.outputs import to_outputs
from limbeck.models.taps import Masked, MaskedWords, run
from limbeck.objectives.base import Objective, Shapes, Sum, as_sum
from limbeck.objectives.heads import KeptHead, with_kept_heads
from limbeck.signals import Batch, Needs, Signals, TeacherSource, Text
from limbeck.train.ranks import Ranks, gather_batch, gather_signals, to_device

Part = tuple[Tensor, Tensor]  # sum and count of one term


@runtime_checkable
class Generates(Protocol):
    """A student that on-policy methods can use."""

    def generate(self, inputs: Any) -> Tensor | Text:
        """Continue or answer the inputs; the result is what both models are asked about."""
        ...


class Learner(nn.Module):
    """A student with its objective and the modules that the objective trains.

    `outputs` are the names of the student's outputs (the tasks). Raises MissingSignal where the student cannot
    give what the objective asks of it.
    """

    def __init__(
        self,
        student: nn.Module,
        objective: Objective | Sum,
        outputs: Sequence[str],
        *,
        heads: Mapping[str, nn.Module] | None = None,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.objective = as_sum(objective)
        self.labels = self.objective.labels()
        self.outputs = tuple(outputs)
        self.student = student
        self.heads = nn.ModuleDict(dict(heads or {}))
        self.precision = precision
        self.needs = self.objective.student_needs()
        self.teacher_needs = self.objective.teacher_needs()
        self._terms = [
            (term.objective, self.heads[label] if label in self.heads else None)  # noqa: SIM401  # no get there
            for term, label in zip(self.objective, self.labels, strict=True)
        ]
        self._read = tuple(dict.fromkeys((*self.needs.taps, *(head.reads for head in self._kept()))))
        self._ranks = Ranks.current()
        self.by_word = isinstance(student, MaskedWords)
        made = {head.writes for head in self._kept()}
        missing = [name for name in self.needs.outputs if name not in self.outputs and name not in made]
        if missing:
            raise MissingSignal(
                f"expected the student to give the outputs {', '.join(self.needs.outputs)}, it has "
                f"{', '.join(self.outputs)}",
                f"name one of its outputs with `on` in the term that asks for '{missing[0]}'",
            )
        if self.on_policy and not isinstance(student, Generates):
            raise MissingSignal(
                f"expected a student that generates, for an on-policy loss; {type(student).__name__} has no `generate`",
                "give the student a method generate(inputs), or use a loss on stored answers",
            )

    @classmethod
    def build(
        cls,
        student: nn.Module,
        objective: Objective | Sum,
        outputs: Sequence[str],
        batch: Batch,
        *,
        source: TeacherSource | None = None,
        seed: int = 0,
        projections: Mapping[str, tuple[Tensor, Tensor | None]] | None = None,
        precision: str = "fp32",
    ) -> Learner:
        """A learner with heads that fit; `batch` is a probe (two rows are enough).

        The heads are initialised from `seed`, the same in every process. Raises MissingSignal where the source
        cannot give what the objective asks of the teacher.
        """
        total = as_sum(objective)
        check_source(total, source)
        device = device_of(student)
        shapes = _shapes(student, total, outputs, to_device(batch, device), source, projections or {})
        with seeded(derive_seed("heads", seed)):
            made = [(label, term.objective.heads(shapes)) for label, term in zip(total.labels(), total, strict=True)]
        heads = {label: head.to(device) for label, head in made if head is not None}
        return cls(student, total, outputs, heads=heads, precision=precision)

    def _kept(self) -> list[KeptHead]:
        return [head for head in self.heads.values() if isinstance(head, KeptHead)]

    @property
    def on_policy(self) -> bool:
        """Whether a term wants answers to what the student generates."""
        return self.needs.on_policy or self.teacher_needs.on_policy

    @property
    def teaches(self) -> bool:
        """Whether a term listens to the teacher."""
        return self.teacher_needs != Needs()

    def signals(self, batch: Batch) -> Signals:
        """What the student says about a batch, in one forward pass."""
        if self.precision == "bf16":
            with torch.autocast(device_of(self.student).type, dtype=torch.bfloat16):
                return _raised(self._run(batch))
        return self._run(batch)

    def _run(self, batch: Batch) -> Signals:
        if not self._read and not self.needs.attention:
            raw = self.student(batch.student_inputs)
            if isinstance(raw, Signals):
                return raw
            return Signals(to_outputs(raw, self.outputs), mask=self._mask(batch), masks=self.masks(batch))
        captured = run(self.student, batch.student_inputs, self._read, self.needs.attention)
        if isinstance(captured.raw, Signals):
            return captured.raw
        outputs = to_outputs(captured.raw, self.outputs)
        signals = Signals(outputs, captured.taps, captured.attention, self._mask(batch), self.masks(batch))
        return with_kept_heads(signals, self.heads.values()) if len(self.heads) else signals

    def _mask(self, batch: Batch) -> Tensor | None:
        """Valid positions, of a student that knows them."""
        return self.student.mask(batch.student_inputs) if isinstance(self.student, Masked) else None

    def masks(self, batch: Batch) -> dict[str, Tensor]:
        """Which words of a batch the student reads, by output; nothing of a student that does not answer by word."""
        return self.student.masks(batch.student_inputs) if self.by_word else {}  # type: ignore[operator]

    def forward(self, batch: Batch, teacher: Signals | None) -> list[Part]:
        """Sum and count of every term; terms over the relations in a batch see the batch of all ranks."""
        student = self.signals(batch)
        if not (self._ranks.several and self.objective.batchwise):
            return [term.loss(student, teacher, batch, head) for term, head in self._terms]
        whole = gather_signals(student, self._ranks), gather_batch(batch, self._ranks)
        answers = None if teacher is None else gather_signals(teacher, self._ranks)
        parts = []
        for term, head in self._terms:
            if term.batchwise:
                parts.append(term.loss(whole[0], answers, whole[1], head))
            else:
                parts.append(term.loss(student, teacher, batch, head))
        return parts

    def prepare(self, batch: Batch, source: TeacherSource | None) -> tuple[Batch, Signals | None]:
        """The batch and the teacher's answers; on-policy, both are about what the student generates."""
        if not self.teaches or source is None:
            return batch, None
        if not self.on_policy:
            return batch, source.answer(batch)
        text = self._generate(batch)
        ids, mask = (text.ids, text.mask) if isinstance(text, Text) else (text, None)
        batch = dataclasses.replace(batch, student_inputs=ids, teacher_inputs=ids)
        answers = source.answer(batch)
        return batch, answers if mask is None else dataclasses.replace(answers, mask=mask)

    def _generate(self, batch: Batch) -> Tensor | Text:
        assert isinstance(self.student, Generates)
        modes = [(module, module.training) for module in self.student.modules()]
        self.student.eval()
        try:
            with torch.no_grad():
                return self.student.generate(batch.student_inputs)
        finally:
            for module, training in modes:
                module.training = training

    def deployed(self) -> nn.Module:
        """What is validated, saved and shipped: the student, with the heads that stay."""
        kept = self._kept()
        return WithHeads(self.student, kept, self.outputs) if kept else self.student


class WithHeads(nn.Module):
    """A student with heads that make some of its outputs from its taps (teacher-head reuse)."""

    def __init__(self, student: nn.Module, heads: Sequence[KeptHead], outputs: Sequence[str]) -> None:
        super().__init__()
        self.student = student
        self.heads = nn.ModuleList(heads)
        self.outputs = tuple(outputs)

    def forward(self, inputs: Any) -> Any:
        """The outputs: a tensor where there is one, else a mapping."""
        kept: list[Any] = list(self.heads)
        captured = run(self.student, inputs, tuple(dict.fromkeys(head.reads for head in kept)))
        made = {head.writes: head(captured.taps[head.reads]) for head in kept}
        own = [name for name in self.outputs if name not in made]
        outputs = {**(to_outputs(captured.raw, self.outputs) if own else {}), **made}
        return outputs[self.outputs[0]] if len(self.outputs) == 1 else {name: outputs[name] for name in self.outputs}


def check_source(objective: Sum, source: TeacherSource | None) -> None:
    """Refuse an objective that asks the teacher for something that its source cannot give; raises MissingSignal."""
    needs = objective.teacher_needs()
    missing = needs.missing_from(source.have() if source is not None else Needs(forms=()))
    if not missing:
        return
    labels = zip(objective.labels(), objective, strict=True)
    asking = [label for label, term in labels if term.objective.teaches]
    live = needs.on_policy or needs.teacher_input_grad or needs.taps or needs.attention
    raise MissingSignal(
        f"expected {', '.join(missing)} from the teacher for {', '.join(asking)}; "
        + ("there is no teacher" if source is None else "its source does not give that"),
        "let the teacher run live (Live), with these taps"
        if live
        else "label the rows with these outputs, or take the term out of the objective",
    )


def check_plan(objective: Sum, accumulate: int, ranks: Ranks, stream_sizes: Sequence[int]) -> None:
    """Refuse a loss over the relations in a batch where the batch is cut; raises ConfigError."""
    names = [label for label, term in zip(objective.labels(), objective, strict=True) if term.objective.batchwise]
    if not names:
        return
    least = max(term.objective.least_rows for term in objective)
    if stream_sizes and stream_sizes[0] < least:
        raise ConfigError(
            f"expected a batch of at least {least} rows for {', '.join(names)}, which compares rows, got "
            f"{stream_sizes[0]}",
            "set train.batch_size higher; such losses like large batches",
        )
    if accumulate > 1:
        raise ConfigError(
            f"expected accumulate: 1 with {', '.join(names)}, which compares the rows of a batch, got {accumulate}",
            "a cut batch would give another loss; use a smaller batch_size instead",
        )
    ragged = [size for size in stream_sizes if size % ranks.size]
    if ragged:
        raise ConfigError(
            f"expected batches that {ranks.size} ranks can share equally for {', '.join(names)}, got {ragged[0]} rows",
            f"use a batch_size that is a multiple of {ranks.size}",
        )


def _raised(signals: Signals) -> Signals:
    """Half precision back to float32: losses are computed in full precision."""

    def up(values: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v.float() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in values.items()}

    return dataclasses.replace(
        signals, outputs=up(signals.outputs), taps=up(signals.taps), attention=up(signals.attention)
    )


def _shapes(
    student: nn.Module,
    objective: Sum,
    outputs: Sequence[str],
    batch: Batch,
    source: TeacherSource | None,
    projections: Mapping[str, tuple[Tensor, Tensor | None]],
) -> Shapes:
    """Shapes of both sides from one probe in eval mode, asked only where a head may need them."""
    needs = objective.student_needs()
    texts = any(term.objective.traits.texts for term in objective)  # whose widths may differ
    if not (needs.taps or objective.teacher_needs().taps or projections or texts):
        return Shapes(projections=projections)
    modes = [(module, module.training) for module in student.modules()]
    student.eval()
    try:
        with torch.no_grad():
            captured = run(student, batch.student_inputs, needs.taps, needs.attention)
            answers = source.answer(batch) if source is not None and objective.teacher_needs() != Needs() else None
    finally:
        for module, training in modes:
            module.training = training
    said = captured.raw if isinstance(captured.raw, Signals) else Signals(to_outputs(captured.raw, outputs))
    return Shapes(
        student_taps=_of(captured.taps or said.taps),
        teacher_taps=_of(answers.taps) if answers is not None else {},
        student_outputs=_of(said.outputs),
        teacher_outputs=_of(answers.outputs) if answers is not None else {},
        projections=projections,
    )


def _of(values: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in values.items() if isinstance(value, Tensor)}
