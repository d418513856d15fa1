"""Students (and teachers that are trained) for rows of parts: the built-in network, or a torch module of the user's.

A module takes a mapping of the parts, [B, ...] each, encoded by the preprocessing. One that reads texts brings a
tokenizer for each, `encoders = {"title": TextEncoder(...)}`, and gets its rows of tokens, int32 [B, T], -1 where there
is none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.core.catalog import load_path
from limbeck.core.errors import ConfigError
from limbeck.core.parts import Parts
from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.factory import caller
from limbeck.models.fingerprint import object_hash
from limbeck.models.fit_check import check_answers
from limbeck.models.outputs import LOGITS
from limbeck.models.parts.network import PartsNet, Shapes, completed, plan_of
from limbeck.models.parts.spec import PartsSpec, is_parts
from limbeck.models.student import Student
from limbeck.models.text.learnt import learn_tokenizer
from limbeck.models.text.tokens import TextEncoder, columns_of

_PROBED = 32


@dataclass(frozen=True)
class PartsStudent(Student):
    """A student of rows of parts: `shapes` of one encoded row of each (() of a text)."""

    shapes: Shapes = field(default_factory=dict)
    encoders: Mapping[str, TextEncoder] = field(default_factory=dict, compare=False, repr=False)

    def probe(self) -> dict[str, Tensor]:
        """Rows of very different size, by part; of texts rows of the first token."""
        found: dict[str, Tensor] = {}
        with seeded(derive_seed("probe", 0)):
            for name, shape in self.shapes.items():
                size = torch.logspace(-1, 3, _PROBED).reshape(-1, *[1] * len(shape))
                found[name] = torch.randn(_PROBED, *shape) * size
                if name in self.encoders:
                    found[name] = torch.zeros((_PROBED, 4), dtype=torch.int32)
        return found

    def check(self, module: nn.Module) -> None:
        check_answers(
            module, {name: rows[:2] * 0 for name, rows in self.probe().items()}, self.out_sizes,
            f"the student {self.label}", f"parts {', '.join(f'{n} {s}' for n, s in self.shapes.items())}",
        )  # fmt: skip

    def encode(self, inputs: Parts, preprocess: Any) -> Parts:
        """What the network takes of raw rows, a tensor for each part."""
        return encoded_parts(inputs, preprocess, self.encoders)

    @property
    def fingerprint(self) -> str:
        """A hash of what it is, its parts and their tokenizers included."""
        tokens = {name: encoder.fingerprint for name, encoder in self.encoders.items()}
        return object_hash([super().fingerprint, {n: list(s) for n, s in self.shapes.items()}, tokens])


def encoded_parts(inputs: Parts, preprocess: Any, encoders: Mapping[str, TextEncoder]) -> Parts:
    """Raw rows of parts as tensors: texts by the tokenizer of the part, everything else by its preprocessing."""

    def encode(name: str, part: Any) -> Tensor:
        if name in encoders:
            return torch.from_numpy(encoders[name].encode(part))
        return torch.from_numpy(np.ascontiguousarray(preprocess.parts[name].encode(part), dtype=np.float32))

    return inputs.map(encode)


def parts_student(
    what: Any, preprocess: Any, rows: Callable[[], Parts], out_sizes: Mapping[str, int], kinds: Mapping[str, str]
) -> PartsStudent:
    """The student of rows of parts; `rows` are raw training rows. Raises ConfigError for what takes no parts."""
    shapes = {name: part.shape for name, part in preprocess.parts.items()}
    made_of = {name: part.spec["kind"] for name, part in preprocess.parts.items()}
    if is_parts(what):
        return _built_in(what, shapes, made_of, rows, out_sizes, kinds)
    if isinstance(what, nn.Module):
        label = f"{type(what).__module__}:{type(what).__qualname__}"
        encoders = _encoders(what, made_of, label)
        return PartsStudent(
            "instance", lambda: copy.deepcopy(what), label, (), out_sizes, kinds, instance=what, shapes=shapes,
            encoders=encoders,
        )  # fmt: skip
    if isinstance(what, str) and ":" not in what.partition("(")[0]:
        raise ConfigError(
            f"expected a network for rows of parts ({', '.join(shapes)}), got '{what}'",
            f'for example parts({next(iter(shapes))}="...", join=64), parts alone, or a torch module that takes a dict',
        )
    factory = load_path(what) if isinstance(what, str) else what
    if not callable(factory):
        raise ConfigError(
            f"expected a student as a name, a function that makes a module, or a module, got {type(what).__name__}",
            "for example student='parts', or a torch.nn.Module that takes a mapping of parts",
        )
    name = f"{getattr(what, '__module__', '?')}:{getattr(what, '__qualname__', type(what).__qualname__)}"
    label = what if isinstance(what, str) else name
    make = caller(factory, shapes, out_sizes)
    with seeded(derive_seed("init", 0)):
        encoders = _encoders(make(), made_of, label)
    return PartsStudent("factory", make, label, (), out_sizes, kinds, shapes=shapes, encoders=encoders)


def _built_in(
    text: str, shapes: Shapes, made_of: Mapping[str, str], rows: Callable[[], Parts], out_sizes: Mapping[str, int],
    kinds: Mapping[str, str],
) -> PartsStudent:  # fmt: skip
    spec = completed(PartsSpec.parse(text), made_of, shapes)
    texts = [name for name, kind in made_of.items() if kind == "text"]
    encoder, plans = None, {}
    if texts:
        columns = [column for name in texts for column in columns_of(rows()[name])]
        tokenizer = learn_tokenizer((cell for column in columns for cell in column), spec.vocabulary)
        encoder = TextEncoder(tokenizer, spec.max_length)
        for name in texts:
            plans[name] = plan_of(spec.networks[name], encoder, len(columns_of(rows()[name][:1])) > 1)
    return PartsStudent(
        "name", lambda: PartsNet(spec, shapes, out_sizes, plans, encoder), spec.written(), (), out_sizes, kinds, LOGITS,
        shapes=shapes, encoders={} if encoder is None else dict.fromkeys(texts, encoder),
    )  # fmt: skip


def _encoders(module: nn.Module, kinds: Mapping[str, str], label: str) -> dict[str, TextEncoder]:
    """The tokenizers that a module brings for its texts; raises ConfigError where it has none for one of them."""
    brought = dict(getattr(module, "encoders", {}))
    texts = [name for name, kind in kinds.items() if kind == "text"]
    without = [name for name in texts if name not in brought]
    if without:
        raise ConfigError(
            f"expected {label} to bring a tokenizer for the text '{without[0]}', it has none",
            f"give it an attribute encoders = {{'{without[0]}': limbeck.models.text.tokens.TextEncoder(tokenizer)}}, "
            "or use the built-in network parts(...)",
        )
    return {name: brought[name] for name in texts}
