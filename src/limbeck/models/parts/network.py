"""The built-in network for rows of parts: a body for each, what they find side by side, layers on it, linear heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.kinds import suggest
from limbeck.models import zoo
from limbeck.models.parts.spec import AUTO, PartsSpec
from limbeck.models.text.chain import Chain
from limbeck.models.text.small import Plan, SmallText, silent_ids, size_of
from limbeck.models.text.steps import BagOfWords, TextCNN
from limbeck.models.text.tokens import TextEncoder, trimmed
from limbeck.signals import MAIN

Shapes = Mapping[str, tuple[int, ...]]  # of one encoded row of each part; () of a text
_BY_KIND = {"text": "bag_of_words(dim=32, hidden=[32])", "series": "series_cnn(width=16)"}


class TextBody(nn.Module):
    """Features [B, F] of rows of tokens int32 [B, T]."""

    def __init__(self, plan: Plan, encoder: TextEncoder) -> None:
        super().__init__()
        self.plan = plan
        self.small = SmallText(plan, encoder, {})
        self.width = plan.hidden[-1] if plan.hidden else plan.features

    def forward(self, rows: Tensor) -> Tensor:
        """Columns in which no row has a token are cut off first."""
        return self.features(trimmed(rows))

    def features(self, rows: Tensor) -> Tensor:
        """The same without steps that depend on values, so that it exports."""
        found: Tensor = self.small.body(self.small.pooled(rows))
        return found


class PartsNet(nn.Module):
    """Bodies by part, a trunk on what they give side by side, one linear head a task.

    Inputs are a mapping of the parts: numbers [B, ...] as the preprocessing makes them, texts int32 [B, T] as the one
    tokenizer of all texts (`encoder`) does.
    """

    def __init__(
        self, spec: PartsSpec, shapes: Shapes, out_sizes: Mapping[str, int], plans: Mapping[str, Plan],
        encoder: TextEncoder | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spec, self.shapes, self.out_sizes = spec, dict(shapes), dict(out_sizes)
        self.plans, self.encoder = dict(plans), encoder
        self.parts = tuple(shapes)
        self.bodies = nn.ModuleList()
        width = 0
        for name in self.parts:
            body, features = self._body(name)
            self.bodies.append(body)
            width += features
        layers: list[nn.Module] = []
        for size in spec.join:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        if spec.dropout:
            layers.append(nn.Dropout(spec.dropout))
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in out_sizes.values())

    @property
    def encoders(self) -> dict[str, TextEncoder]:
        """The tokenizer of each text: one for all."""
        return {} if self.encoder is None else dict.fromkeys(self.plans, self.encoder)

    def _body(self, name: str) -> tuple[nn.Module, int]:
        if name in self.plans:
            assert self.encoder is not None
            text = TextBody(self.plans[name], self.encoder)
            return text, text.width
        kind, settings = zoo.parse(self.spec.networks[name])
        return zoo.ZOO[kind](self.shapes[name], **settings)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Logits [B, C] for one task, a mapping of them for several."""
        return self._joined([body(inputs[name]) for name, body in zip(self.parts, self.bodies, strict=True)])

    def graph_answers(self, inputs: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """The same without steps that depend on values, so that it exports."""
        found = []
        for name, body in zip(self.parts, self.bodies, strict=True):
            found.append(body.features(inputs[name]) if isinstance(body, TextBody) else body(inputs[name]))
        return self._joined(found)

    def _joined(self, found: list[Tensor]) -> Tensor | dict[str, Tensor]:
        features = self.trunk(torch.cat(found, dim=1))
        said = {name: head(features) for name, head in zip(self.out_sizes, self.heads, strict=True)}
        return said[MAIN] if list(said) == [MAIN] else said

    def notes(self) -> dict[str, Any]:
        """What config.json says, enough to build it again beside the tokenizer."""
        return {
            "name": self.spec.written(), "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "out_sizes": self.out_sizes, "plans": {name: asdict(plan) for name, plan in self.plans.items()},
        }  # fmt: skip


def completed(spec: PartsSpec, kinds: Mapping[str, str], shapes: Shapes) -> PartsSpec:
    """The spec with a network for every part, each written out; raises ConfigError naming the part that has none."""
    for name in spec.networks:
        if name not in shapes:
            raise ConfigError(
                f"expected networks for the parts {', '.join(shapes)}, got one for '{name}'", suggest(name, shapes)
            )
    made: dict[str, str] = {}
    for name, shape in shapes.items():
        asked = spec.networks.get(name, AUTO)
        try:
            made[name] = _network(asked, kinds[name], shape)
        except LimbeckError as err:
            raise ConfigError(f"the network of the part '{name}': {err.what}", err.todo) from err
    return PartsSpec(made, spec.join, spec.dropout, spec.vocabulary, spec.max_length)


def _network(asked: str, kind: str, shape: tuple[int, ...]) -> str:
    if kind == "text":
        text = _BY_KIND["text"] if asked == AUTO else asked
        if text.partition("(")[0].strip() not in ("bag_of_words", "text_cnn"):
            raise ConfigError(f"expected bag_of_words or text_cnn for texts, got '{asked}'", "for example text_cnn")
        return str(Chain.parse(text))
    if asked == AUTO:
        small = len(shape) == 3 and min(shape[1:]) < 4
        asked = "cnn(width=16)" if len(shape) == 3 and not small else "mlp(hidden=[64])"
        if kind == "array" and len(shape) == 2:
            asked = _BY_KIND["series"]
    text = zoo.canonical(asked)
    name, settings = zoo.parse(text)
    zoo.ZOO[name](shape, **settings)  # refuses a shape that does not fit
    return text


def plan_of(text: str, encoder: TextEncoder, pair: bool) -> Plan:
    """The plan of the body that reads a text."""
    step = Chain.parse(text).steps[0]
    assert isinstance(step, BagOfWords | TextCNN)
    several: dict[str, Any] = {"filters": step.filters, "widths": step.widths} if isinstance(step, TextCNN) else {}
    return Plan(
        vocabulary=size_of(encoder.tokenizer), dim=step.dim, hidden=getattr(step, "hidden", ()), dropout=step.dropout,
        pair=pair, silent=silent_ids(encoder.tokenizer), **several,
    )  # fmt: skip
