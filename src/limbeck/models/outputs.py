"""From what a model returns to named task outputs, and from probabilities to logits and back.

Losses work on logits. A final softmax or sigmoid is taken off for training (`strip_softmax`) and put back when the
model is saved; where it cannot be taken off (a softmax inside `forward`), the logarithm of the probabilities stands in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, MissingSignal, ShapeMismatch
from limbeck.core.kinds import suggest
from limbeck.core.parts import flattened
from limbeck.signals import Projected, Sampled, Text, TopK

LOGITS, PROBABILITIES, AUTO = "logits", "probabilities", "auto"
OUTPUT_KINDS = (LOGITS, PROBABILITIES, AUTO)
_SMALLEST = 1e-7  # probabilities below it count as it: its logarithm, -16, is as sure as float32 answers get
_SUM_WITHIN = 2e-2  # half precision, and numbers that were rounded to two digits
_FORMS = (Tensor, Projected, TopK, Sampled, Text)
DECIDED = ("classification", "segmentation", "multilabel")  # kinds of task whose outputs may be probabilities
_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Softmax: "softmax",
    nn.LogSoftmax: "log_softmax",
    nn.Sigmoid: "sigmoid",
    nn.LogSigmoid: "log_sigmoid",
}


def to_outputs(raw: Any, heads: Sequence[str]) -> dict[str, Any]:
    """Name the outputs [B, C] in what a model returned: a tensor, a tuple, a mapping or an object with `logits`.

    Of a nested mapping the names are dotted: {"offer": {"price": ...}} is "offer.price".

    One dimension [B] becomes [B, 1], maps [B, C, H, W] become the positions [B, H·W, C]; an output of another form
    (hidden states with their head) stays as it is.
    Raises MissingSignal where an output is not there.
    """
    if isinstance(raw, _FORMS):
        if len(heads) == 1:
            return {heads[0]: _two_dimensional(raw)}
        raise MissingSignal(
            f"expected {len(heads)} outputs ({', '.join(heads)}), the model returns one tensor",
            f"return a dict from forward: {{{', '.join(repr(head) + ': ...' for head in heads)}}}",
        )
    if isinstance(raw, Mapping):
        if any(isinstance(value, Mapping) for value in raw.values()):
            raw = flattened(raw)
        return {head: _two_dimensional(_entry(raw, head, heads)) for head in heads}
    if isinstance(raw, tuple | list):
        return _from_tuple(raw, heads)
    logits = getattr(raw, "logits", None)
    if isinstance(logits, Tensor | Mapping):
        return to_outputs(logits, heads)
    raise MissingSignal(
        f"expected a model to return a tensor, a tuple, a mapping or an object with logits, got {type(raw).__name__}",
        "wrap the model in a module that returns its logits",
    )


def _entry(raw: Mapping[str, Any], head: str, heads: Sequence[str]) -> Any:
    value = raw.get(head)
    if value is None and len(heads) == 1:
        value = raw.get("logits")
        if value is None and len(raw) == 1:
            value = next(iter(raw.values()))
    if isinstance(value, _FORMS):
        return value
    near = suggest(head, list(raw))
    raise MissingSignal(
        f"expected an output named '{head}', the model returns {', '.join(str(name) for name in raw) or 'nothing'}",
        near or f"name the entries of the returned mapping after the tasks: {', '.join(heads)}",
    )


def _from_tuple(raw: Sequence[Any], heads: Sequence[str]) -> dict[str, Tensor]:
    if len(heads) == 1 and raw and isinstance(raw[0], _FORMS):
        return {heads[0]: _two_dimensional(raw[0])}
    if len(raw) == len(heads) and all(isinstance(value, _FORMS) for value in raw):
        return {head: _two_dimensional(value) for head, value in zip(heads, raw, strict=True)}
    raise MissingSignal(
        f"expected {len(heads)} outputs ({', '.join(heads)}), the model returns a tuple of {len(raw)}",
        "return a mapping from forward, with an entry for each task",
    )


def _two_dimensional(output: Any) -> Any:
    if isinstance(output, Tensor) and output.dim() == 4:  # scores for each pixel, whose classes come last from here on
        return output.flatten(2).transpose(1, 2)
    return output[:, None] if isinstance(output, Tensor) and output.dim() == 1 else output


def check_width(output: Tensor, size: int, head: str, who: str) -> None:
    """Refuse an output whose last dimension is not the task's; raises ShapeMismatch with both numbers.

    A size of 0 is that of a task which leaves it to the model.
    """
    width = int(output.shape[-1]) if output.dim() else 0
    if width != size and size:
        raise ShapeMismatch(
            f"expected {who} to give {size} numbers a row for '{head}', it gives {width}", _width_todo(width, size)
        )


def check_pixels(output: Tensor, size: Sequence[int], head: str, who: str) -> None:
    """Refuse an output [B, P, C] that has not scores for every pixel of images of a size; raises ShapeMismatch."""
    pixels = math.prod(size)
    if output.dim() != 3 or output.shape[1] != pixels:
        got = f"scores for {output.shape[1]} places" if output.dim() == 3 else f"{list(output.shape[1:])} numbers"
        raise ShapeMismatch(
            f"expected {who} to give scores for each of {'x'.join(map(str, size))} pixels for '{head}', it gives {got}",
            "return [B, C, H, W] at the size of the images, as unet(width=8) does: enlarge what is smaller",
        )


def _width_todo(width: int, size: int) -> str:
    if width != 1:
        return f"give a number for each of {size} classes, labels or targets; check that the task has those you mean"
    two = "; of one logit z make [-z/2, z/2], of one probability p make [1 - p, p]" if size == 2 else ""
    return f"give a score for each of {size} classes (probabilities or logits), not the class it decides for{two}"


def to_logits(probabilities: Tensor, kind: str) -> Tensor:
    """Logits of probabilities: log p for classes, log p / (1 - p) for labels; regression stays as it is."""
    if kind not in DECIDED:
        return probabilities
    p = probabilities.float() if not probabilities.is_floating_point() else probabilities
    p = p.clamp(_SMALLEST, 1.0)
    if kind == "multilabel":
        p = p.clamp(max=1.0 - _SMALLEST)
        return p.log() - (1.0 - p).log()
    return p.log()


def looks_like_probabilities(output: Tensor, kind: str) -> bool:
    """Whether outputs [B, C] on a probe batch are probabilities: in [0, 1], and for classes summing to one."""
    if kind not in DECIDED or output.numel() == 0:
        return False
    values = output.detach().float()
    if not bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all()):
        return False
    if kind == "multilabel":
        return True
    return bool(((values.sum(-1) - 1).abs() < _SUM_WITHIN).all())


@dataclass(frozen=True)
class Stripped:
    """A final activation that was taken off: where it stood and what it is."""

    path: str
    activation: str
    module: nn.Module


def strip_softmax(model: nn.Module, probe: Any, heads: Sequence[str], on: Sequence[str]) -> list[Stripped]:
    """Take final softmax and sigmoid modules off the outputs `on`, in place; gives what puts them back.

    Every module of that kind is tried on a probe batch, and kept off only where the activation of each output that
    changed is the old one, and where no other of the model's `heads` changed.
    """
    stripped = []
    named = model.named_modules(remove_duplicate=False)
    candidates = [(path, m) for path, m in named if path and type(m) in _ACTIVATIONS]
    for path, module in reversed(candidates):
        before = _answers(model, probe, heads)
        replace_module(model, path, nn.Identity())
        after = _answers(model, probe, heads)
        changed = [head for head in heads if not torch.equal(before[head], after[head])]
        if changed and all(head in on and _gives(module, after[head], before[head]) for head in changed):
            stripped.append(Stripped(path, _ACTIVATIONS[type(module)], module))
        else:
            replace_module(model, path, module)
    return stripped


def _gives(module: nn.Module, inputs: Tensor, outputs: Tensor) -> bool:
    return inputs.shape == outputs.shape and torch.allclose(module(inputs), outputs, atol=1e-5)


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put another module at a path ("head.2")."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, name, module)


def _answers(model: nn.Module, probe: Any, heads: Sequence[str]) -> dict[str, Any]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return to_outputs(model(probe), heads)
    finally:
        model.train(was_training)


class AsLogits(nn.Module):
    """A model that answers in probabilities, made to answer in logits; `kinds` maps a head to its kind of task.

    A head of kind regression stays as it is.
    """

    def __init__(self, inner: nn.Module, kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.inner = inner
        self.kinds = dict(kinds)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        """Give the logits of each head [B, C]."""
        outputs = to_outputs(self.inner(inputs), list(self.kinds))
        return {head: to_logits(output, self.kinds[head]) for head, output in outputs.items()}


def check_output_kind(output: str) -> str:
    """Refuse a kind of output that is not known; raises ConfigError."""
    if output not in OUTPUT_KINDS:
        raise ConfigError(
            f"expected output to be one of {', '.join(OUTPUT_KINDS)}, got '{output}'",
            suggest(output, OUTPUT_KINDS) or "leave it at auto",
        )
    return output
