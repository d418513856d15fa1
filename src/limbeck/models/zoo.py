"""The small built-in networks, named by a text that is parsed and never evaluated.

    build("mlp(hidden=[64, 32], dropout=0.1)", in_shape=(20,), out_sizes={"main": 10})

Every network is a `body` (features [B, D]) and a head: one linear layer, or one for each task. A network with one
task returns logits [B, C], one with several a dict of them. Taps are submodules: "body.0", "body.stage1", ...
"""

from __future__ import annotations

import ast
import inspect
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.core.errors import ConfigError, Problem, ShapeMismatch
from limbeck.core.kinds import suggest
from limbeck.models.audio.bodies import audio_cnn, audio_conformer
from limbeck.models.audio.network import net_of
from limbeck.models.net import Net as Net
from limbeck.models.net import Shape
from limbeck.models.series import series_cnn
from limbeck.models.unet import PixelNet, UNet, unet


class Image(nn.Module):
    """Images [B, H, W] or [B, C, H, W] as [B, C, H, W], with the channels last in memory (faster convolutions)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the batch four dimensions."""
        return inputs[:, None] if inputs.dim() == 3 else inputs


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(narrow, wide, stride)
        self.second = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or narrow != wide:
            self.shortcut = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        self.act = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Feature maps [B, W, H, W]."""
        out: Tensor = self.act(self.second(self.first(inputs)) + self.shortcut(inputs))
        return out


def linear(in_shape: Shape) -> tuple[nn.Module, int]:
    """Logistic or linear regression: one layer on the flattened input."""
    return nn.Flatten(), math.prod(in_shape)


def mlp(
    in_shape: Shape, *, hidden: tuple[int, ...] = (64, 32), dropout: float = 0.0, norm: bool = False
) -> tuple[nn.Module, int]:
    """Fully connected layers with ReLU: for tables and for anything small."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(in_shape)
    for size in hidden:
        layers.append(nn.Linear(width, size))
        if norm:
            layers.append(nn.BatchNorm1d(size))
        layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers), width


def cnn(
    in_shape: Shape, *, width: int = 16, depth: int = 2, convs: int = 1, hidden: int = 0, dropout: float = 0.0
) -> tuple[nn.Module, int]:
    """Stages of `convs` 3x3 convolutions with BatchNorm and a pool; the width doubles with each of `depth` stages.

    `hidden` > 0 puts a fully connected layer on the flattened maps, 0 averages them over space.
    "cnn(width=32, depth=3, hidden=256, dropout=0.3)" is a good teacher for 28x28 images.
    """
    channels, height, breadth = _image_shape(in_shape, "cnn", 2**depth)
    layers: OrderedDict[str, nn.Module] = OrderedDict(image=Image())
    size = width
    for stage in range(depth):
        size = width * 2**stage
        blocks = [_conv(channels if n == 0 else size, size, 1) for n in range(convs)]
        layers[f"stage{stage + 1}"] = nn.Sequential(*blocks, nn.MaxPool2d(2))
        channels, height, breadth = size, height // 2, breadth // 2
    if not hidden:
        layers["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        features = size
    else:
        layers["flat"] = nn.Flatten()
        layers["hidden"] = nn.Sequential(nn.Linear(size * height * breadth, hidden), nn.ReLU())
        features = hidden
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers), features


def resnet(in_shape: Shape, *, width: int = 16, blocks: int = 1, depth: int = 3) -> tuple[nn.Module, int]:
    """Stages of residual blocks; the width doubles and the maps halve from the second stage on."""
    channels, _, _ = _image_shape(in_shape, "resnet", 2 ** (depth - 1))
    layers: OrderedDict[str, nn.Module] = OrderedDict(image=Image(), stem=_conv(channels, width, 1))
    narrow = width
    for stage in range(depth):
        wide = width * 2**stage
        units = [Residual(narrow if n == 0 else wide, wide, 2 if n == 0 and stage else 1) for n in range(blocks)]
        layers[f"stage{stage + 1}"] = nn.Sequential(*units)
        narrow = wide
    layers["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(layers), narrow


ZOO: Mapping[str, Callable[..., tuple[nn.Module, int]]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "unet": unet,
    "series_cnn": series_cnn,
    "audio_cnn": audio_cnn,
    "audio_conformer": audio_conformer,
}


def build(spec: str, in_shape: Shape, out_sizes: Mapping[str, int]) -> Net:
    """Build a network of the zoo with fresh weights (torch's random stream); raises ConfigError, ShapeMismatch."""
    name, settings = parse(spec)
    body, features = ZOO[name](tuple(in_shape), **settings)
    made = PixelNet if isinstance(body, UNet) else net_of(body)
    return made(body, features, out_sizes, canonical(spec), in_shape)


def canonical(spec: str) -> str:
    """The same spec with every setting written out in order; equal networks have equal texts."""
    return _written(*parse(spec))


def with_settings(spec: str, settings: Mapping[str, Any]) -> str:
    """The same network with other settings, every one written out."""
    name, given = parse(spec)
    return _written(name, given | dict(settings))


def _written(name: str, settings: Mapping[str, Any]) -> str:
    written = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    text = written.replace("true", "True").replace("false", "False")
    return f"{name}({text})" if settings else name


def is_zoo_name(text: str) -> bool:
    """Whether a text starts with the name of a network of the zoo."""
    return text.partition("(")[0].strip() in ZOO


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and all settings (defaults filled in) of a spec such as "mlp(hidden=[64])"; raises ConfigError."""
    name, given = _read(spec)
    if name not in ZOO:
        raise ConfigError(
            f"expected the name of a network, got '{name}'",
            "\n".join(filter(None, [suggest(name, ZOO), f"known: {', '.join(ZOO)}; or an import path module:name"])),
        )
    known = {p.name: p.default for p in inspect.signature(ZOO[name]).parameters.values() if p.kind == p.KEYWORD_ONLY}
    problems = []
    for key, value in given.items():
        if key not in known:
            todo = suggest(key, known) or f"known here: {', '.join(known) or 'nothing'}"
            problems.append(Problem(f"{name}.{key}", "unknown setting", todo))
        elif complaint := _complaint(key, value, known[key]):
            problems.append(Problem(f"{name}.{key}", complaint))
    if problems:
        raise ConfigError.of(problems, f"the network '{spec}'")
    settings = {key: given.get(key, default) for key, default in known.items()}
    return name, {
        key: tuple(v) if isinstance(v, list | tuple) else float(v) if isinstance(known[key], float) else v
        for key, v in settings.items()
    }


def _read(spec: str) -> tuple[str, dict[str, Any]]:
    wrong = ConfigError(
        f"expected a network such as mlp(hidden=[64, 32]), got '{spec}'",
        "write the name and its settings as name=value; values are numbers, True, False and lists of numbers",
    )
    try:
        node = ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise wrong from None
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.args:
        raise wrong
    settings: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in settings:
            raise wrong
        try:
            settings[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError:
            raise wrong from None
    return node.func.id, settings


_LOWEST = {
    "hidden": 0, "blocks": 1, "width": 1, "depth": 1, "convs": 1, "heads": 1, "kernel": 1, "mels": 1, "subsample": 1,
}  # fmt: skip


def _complaint(key: str, value: Any, default: Any) -> str:
    """What is wrong with the value of a setting, "" where nothing is."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else f"expected True or False, got {value!r}"
    if isinstance(default, tuple):
        sizes = isinstance(value, list | tuple) and all(_whole(entry) and entry >= 1 for entry in value)
        return "" if sizes else f"expected a list of whole numbers >= 1, got {value!r}"
    if isinstance(default, float):
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
        return "" if good else f"expected a number from 0 up to 1, got {value!r}"
    lowest = _LOWEST.get(key, 0)
    return "" if _whole(value) and value >= lowest else f"expected a whole number >= {lowest}, got {value!r}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _conv(narrow: int, wide: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU())


def _image_shape(in_shape: Shape, name: str, smallest: int) -> tuple[int, int, int]:
    if len(in_shape) not in (2, 3):
        raise ShapeMismatch(
            f"expected images [channels, height, width] for {name}, got inputs of shape {tuple(in_shape)}",
            "use mlp for flat inputs",
        )
    channels, height, width = in_shape if len(in_shape) == 3 else (1, *in_shape)
    if min(height, width) < smallest:
        raise ShapeMismatch(
            f"expected images of at least {smallest} pixels a side for this {name}, got {height} x {width}",
            "use fewer stages: a smaller depth",
        )
    return channels, height, width
