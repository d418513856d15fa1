"""Where a teacher's answers come from: a model that runs (`Live`) or a transfer set (`Stored`).

Every source answers in training space: logits, and standardised values for regression.
`Ensemble` and `PredictionTable` stand in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError, MissingSignal, StoreMismatch
from limbeck.signals import Batch, Needs, Signals
from limbeck.transfer.ensemble import Ensemble as Ensemble
from limbeck.transfer.manifest import Head
from limbeck.transfer.store import Store
from limbeck.transfer.table import PredictionTable as PredictionTable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from limbeck.models.taps import Captured

Array = np.ndarray[Any, Any]
_BOUND = 1 << 24  # positions that are held at once, 8 bytes each


class Stored:
    """Answers from a transfer set. With `tasks` names are checked and regression is standardised as they say.

    Raises StoreMismatch where a head is missing, or its kind, classes or their order differ.
    """

    def __init__(self, store: Store | Path | str, tasks: Mapping[str, Head] | None = None) -> None:
        self.store = store if isinstance(store, Store) else Store(store)
        self._names = tuple(self.store.outputs) if tasks is None else tuple(tasks)
        self._converted: dict[str, Head] = {}
        for name, head in (tasks or {}).items():
            self._check(name, head)
            if head.natural:
                self._converted[name] = head

    def have(self) -> Needs:
        """The heads and the forms in which they are stored."""
        own = {name: self.store.outputs[name].codec.form for name in self._names}
        forms = tuple(dict.fromkeys(own.values()))
        return Needs(
            outputs=self._names,
            forms=forms,
            by_output={name: (form,) for name, form in own.items()} if len(forms) > 1 else {},
        )

    def answer(self, batch: Batch) -> Signals:
        """Look the rows of a batch up; raises StoreMismatch for a row or view that was never labelled."""
        return self._trained(self.store.look_up(batch.keys, batch.views, self._names))

    def bound_to(self, keys: Array, views: int) -> Bound | None:
        """The same answers by row of a table with these keys [N, 2] under views 0 to `views` - 1 (0: without views).

        Every key is looked up once instead of in every epoch. None where the table of positions would be large.
        Raises StoreMismatch for a row or view that was never labelled.
        """
        count = max(views, 1)
        if len(keys) * count > _BOUND:
            return None
        numbers = [None if not views else np.full(len(keys), view, dtype=np.int64) for view in range(count)]
        return Bound(self, np.stack([self.store.rows_of(keys, number) for number in numbers]))

    def at(self, positions: Array) -> Signals:
        """The answers at positions int64 [B] of the store."""
        return self._trained(self.store.signals(positions, self._names))

    def _trained(self, said: Signals) -> Signals:
        """Answers in training space."""
        if not self._converted:
            return said
        outputs = dict(said.outputs)
        for name, head in self._converted.items():
            outputs[name] = head.to_training(outputs[name])
        return Signals(outputs, masks=said.masks)

    def _check(self, name: str, head: Head) -> None:
        if name not in self.store.outputs:
            raise StoreMismatch(
                f"expected answers for head '{name}' in the transfer set at {self.store.path}, it holds "
                f"{', '.join(self.store.outputs)}",
                "label into a new folder with these tasks",
            )
        there, names = self.store.outputs[name], tuple(str(entry) for entry in head.names)
        width = head.size or there.width  # a size of 0 leaves it to the teacher
        if (there.kind, there.width, there.names) != (head.kind, width, names):
            raise StoreMismatch(
                f"expected {head.kind} answers for '{name}' over {_list(names)}, the transfer set at "
                f"{self.store.path} holds {there.kind} answers over {_list(there.names)}",
                "label again with these tasks into a new folder; the order of classes counts",
            )


@dataclass(frozen=True, eq=False)
class Bound:
    """Stored answers by row of one table: `positions` int64 [views, N] in the store."""

    stored: Stored
    positions: Array

    def at(self, rows: Array, views: Array | None) -> Signals:
        """The answers to table rows [B] under views [B]."""
        found = self.positions[0].take(rows) if views is None else self.positions[views, rows]
        return self.stored.at(found)


class Live:
    """A torch module or a callable that answers while the student trains.

    `model` takes what `Batch.teacher_inputs` holds. A module runs in evaluation mode and without gradients; with
    `input_grad` gradients reach its inputs, never its weights. `units` says what it gives for regression: "natural"
    (most teachers) or "training" (a model that was trained on standardised targets). `output` is what it gives for
    classes and labels: "logits", "probabilities" or "auto". `taps` and `attention` are captured in the same forward.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Any], Any],
        heads: Mapping[str, Head],
        *,
        taps: Sequence[str] = (),
        attention: Sequence[str] = (),
        output: str = "auto",
        units: str = "natural",
        input_grad: bool = False,
    ) -> None:
        from torch import nn

        from limbeck.models.outputs import check_output_kind

        if units not in ("natural", "training"):
            raise ConfigError(
                f"expected the units of a teacher to be natural or training, got '{units}'",
                "natural: the units of the targets; training: standardised",
            )
        self.model = model
        self.heads = heads
        self.taps = tuple(taps)
        self.attention = tuple(attention)
        self.output = check_output_kind(output)
        self.input_grad = input_grad
        self._probabilities: dict[str, bool] = {}
        self._module = model if isinstance(model, nn.Module) else None
        self._parts = [] if self._module is None else list(self._module.modules())
        self._weight = None if self._module is None else next(self._module.parameters(), None)
        self._converted = [name for name, head in heads.items() if head.natural and units == "natural"]
        if self._module is None and (self.taps or self.attention or input_grad):
            raise MissingSignal(
                f"expected a torch module for taps, attention or input gradients, got {type(model).__name__}",
                "wrap the teacher in a torch.nn.Module, or use a loss that reads outputs only",
            )

    def have(self) -> Needs:
        """Dense outputs, the taps asked for, and what only a running model can give."""
        return Needs(
            outputs=tuple(self.heads),
            taps=self.taps,
            attention=self.attention,
            on_policy=self._module is not None,
            teacher_input_grad=self.input_grad,
        )

    def answer(self, batch: Batch) -> Signals:
        """Run the teacher on the batch."""
        import torch

        with torch.set_grad_enabled(self.input_grad), _frozen(self._module if self.input_grad else None):
            return self._run(batch.teacher_inputs)

    def _run(self, inputs: Any) -> Signals:
        import torch

        from limbeck.models.outputs import check_width, to_logits, to_outputs
        from limbeck.models.predict import told
        from limbeck.models.taps import Captured, Masked, MaskedWords

        with told(f"the teacher {getattr(self.model, '__qualname__', type(self.model).__name__)}", inputs):
            if self._module is None:
                captured = Captured(_as_tensors(self.model(inputs)), {}, {})
            else:
                with self._evaluating():
                    captured = self._captured(self._module, self._moved(inputs))
        outputs: dict[str, Any] = dict(to_outputs(captured.raw, tuple(self.heads)))
        for name, value in outputs.items():
            if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
                outputs[name] = value.float()
        for name, head in self.heads.items():
            if head.size:  # 0: as wide as the vocabulary
                check_width(outputs[name], head.size, name, "the teacher")
            if self._gives_probabilities(name, outputs[name]):
                outputs[name] = to_logits(outputs[name], head.form)
            if name in self._converted:
                outputs[name] = head.to_training(outputs[name])
        mask = self._module.mask(inputs) if isinstance(self._module, Masked) else None
        masks: dict[str, Tensor] = self._module.masks(inputs) if isinstance(self._module, MaskedWords) else {}
        return Signals(outputs, captured.taps, captured.attention, mask, masks)

    def _captured(self, module: nn.Module, inputs: Any) -> Captured:
        from limbeck.models.predict import answer
        from limbeck.models.taps import Captured, run

        if self.taps or self.attention or self.input_grad:
            return run(module, inputs, self.taps, self.attention)
        return Captured(answer(module, inputs), {}, {})

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Every submodule in evaluation mode; those that were in training mode are so again afterwards."""
        training = [part for part in self._parts if part.training]
        if training and self._module is not None:
            self._module.eval()
        try:
            yield
        finally:
            for part in training:
                part.training = True

    def _moved(self, inputs: Any) -> Any:
        """Inputs on the device of the module."""
        import torch

        first = self._weight
        if first is not None and isinstance(inputs, torch.Tensor) and inputs.device != first.device:
            return inputs.to(first.device)
        return inputs

    def _gives_probabilities(self, name: str, answers: Tensor) -> bool:
        """Whether a head answers in probabilities; with "auto" its first batch decides for all."""
        from limbeck.models.outputs import AUTO, PROBABILITIES, looks_like_probabilities

        if self.output != AUTO:
            return self.output == PROBABILITIES
        if name not in self._probabilities:
            self._probabilities[name] = looks_like_probabilities(answers, self.heads[name].form)
        return self._probabilities[name]


def _as_tensors(raw: Any) -> Any:
    """Arrays that a callable returned, as float tensors."""
    import numpy as np
    import torch

    if isinstance(raw, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float32))
    if isinstance(raw, Mapping):
        return {name: _as_tensors(value) for name, value in raw.items()}
    return raw


@contextmanager
def _frozen(module: nn.Module | None) -> Iterator[None]:
    """Keep gradients away from the weights of a module that is differentiated with respect to its input."""
    weights: list[Tensor] = [] if module is None else [p for p in module.parameters() if p.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"[{shown}{', ...' if len(names) > 8 else ''}] ({len(names)})"
