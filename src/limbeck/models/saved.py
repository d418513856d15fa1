"""Networks on disk: weights as safetensors with a checksum, and a config.json that says how to build them again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.core.catalog import load_path
from limbeck.core.errors import ConfigError, ShapeMismatch, StoreDamaged
from limbeck.core.files import checksum, read_json, write_bytes, write_json
from limbeck.models import zoo
from limbeck.models.audio.pretrained import PretrainedSound, rebuilt
from limbeck.models.factory import caller
from limbeck.models.keras_network import KERAS_FILE, KerasNetwork
from limbeck.models.parts.network import PartsNet
from limbeck.models.parts.saved import parts_from, save_parts
from limbeck.models.parts.student import PartsStudent
from limbeck.models.student import Student
from limbeck.models.text.network import HEADS, Tokenised
from limbeck.models.text.saved import load_text

WEIGHTS, CONFIG, TEXT_CONFIG = "model.safetensors", "config.json", "limbeck.json"
_FORMAT = 1


def save(
    module: nn.Module,
    folder: Path | str,
    *,
    source: Student | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
    **notes: Any,
) -> None:
    """Write a module as weights (safetensors) and config.json, each whole and durable; nothing is pickled.

    `source` is the Student that it was built from: a final activation that was taken off is put back, in place.
    A network of text writes the files that transformers loads, with the `names` of its classes by head, and what
    limbeck knows of it in limbeck.json.
    """
    from safetensors.torch import save as to_bytes

    folder = Path(folder)
    if isinstance(module, Tokenised):
        _save_tokenised(module, folder, names or {}, notes)
        return
    if isinstance(module, PartsNet):
        save_parts(module, folder, notes)
        return
    if source is not None:
        module = source.finish(module)
    state = {name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()}
    data = to_bytes(state)
    write_bytes(folder / WEIGHTS, data)
    config: dict[str, Any] = {"format": _FORMAT, "weights": checksum(data), "class": _class_path(module)}
    if isinstance(module, KerasNetwork):
        write_bytes(folder / KERAS_FILE, module.keras_bytes())
        config["takes"] = module.takes
        config["beside"] = {KERAS_FILE: checksum(folder / KERAS_FILE)}
    if isinstance(module, PretrainedSound):
        config |= module.notes()
    elif isinstance(module, zoo.Net):
        config |= {
            "kind": "name",
            "name": module.spec,
            "in_shape": list(module.in_shape),
            "out_sizes": module.out_sizes,
        }
    elif source is not None:
        config |= {"kind": source.kind, "name": source.label, "in_shape": list(source.in_shape)}
        config["out_sizes"] = dict(source.out_sizes)
        if isinstance(source, PartsStudent):
            config["in_shape"] = {part: list(shape) for part, shape in source.shapes.items()}
    else:
        config |= {"kind": "instance", "name": _class_path(module)}
    write_json(folder / CONFIG, config | notes)


def _save_tokenised(
    module: Tokenised, folder: Path, names: Mapping[str, tuple[str, ...]], notes: Mapping[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as made:
        module.files(Path(made), names)
        for path in sorted(Path(made).rglob("*")):
            if path.is_file():
                write_bytes(folder / path.relative_to(made), path.read_bytes())
    config = {
        "format": _FORMAT, "kind": "text", "class": _class_path(module), "weights": checksum(folder / WEIGHTS),
        "out_sizes": dict(module.out_sizes), "max_length": module.encoder.max_length,
        "beside": {name: checksum(folder / name) for name in (HEADS,) if (folder / name).is_file()},
        "tags": list(getattr(module, "tags", ())),
    }  # fmt: skip
    write_json(folder / TEXT_CONFIG, config | module.notes() | dict(notes))


def config_of(folder: Path) -> Path:
    """The file that says what a saved network is: limbeck.json where config.json belongs to transformers."""
    text = folder / TEXT_CONFIG
    return text if text.is_file() else folder / CONFIG


def load(folder: Path | str, like: nn.Module | None = None) -> nn.Module:
    """Read a module back in eval mode; `like` gives the architecture where only its weights were written.

    Raises StoreDamaged where bytes changed, ConfigError where the architecture is not known, ShapeMismatch where it is
    another.
    """
    folder = Path(folder)
    config = read_json(config_of(folder))
    if config.get("kind") == "text":
        weights = read_weights(folder, config)
        if not whole(folder, config):
            raise StoreDamaged(
                f"expected {folder / HEADS} to match its checksum, it does not",
                "the bytes on disk have changed since they were written: restore the file, or train the student again",
            )
        return load_text(folder, config, weights).eval()
    module = like if like is not None else _rebuild(config, folder)
    try:
        module.load_state_dict(read_weights(folder, config))
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ShapeMismatch(
            f"expected the weights in {folder} to fit {type(module).__name__}, they do not: {lines[-1].strip()}",
            f"they were written by {config.get('class')}: give the same architecture",
        ) from error
    return module.eval()


def whole(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether the weights that a saved network says it has are there, byte for byte."""
    said = {WEIGHTS: config["weights"], **config.get("beside", {})}
    return all((folder / name).is_file() and checksum(folder / name) == value for name, value in said.items())


def read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a saved model, their checksum verified; raises StoreDamaged."""
    from safetensors.torch import load as from_bytes

    path = folder / WEIGHTS
    if not path.is_file():
        raise StoreDamaged(f"expected the weights {path}, there are none", "train the student again")
    data = path.read_bytes()
    if checksum(data) != config.get("weights"):
        raise StoreDamaged(
            f"expected {path} to match its checksum, it does not",
            "the bytes on disk have changed since they were written: restore the file, or train the student again",
        )
    return from_bytes(data)


def _rebuild(config: Mapping[str, Any], folder: Path) -> nn.Module:
    kind, name = config.get("kind"), str(config.get("name"))
    if kind == "parts":
        return parts_from(folder, config)
    if kind == "sound":
        return rebuilt(config)
    if kind == "name":
        return zoo.build(name, tuple(config["in_shape"]), config["out_sizes"])
    if kind == "factory" and "<" not in name:
        shape = config["in_shape"]
        parts = {part: tuple(each) for part, each in shape.items()} if isinstance(shape, dict) else tuple(shape)
        return caller(load_path(name), parts, config["out_sizes"])()
    raise ConfigError(
        f"expected a network that can be built by name in {folder}, its weights belong to an instance of {name}",
        "give the architecture: load(folder, like=your_module)",
    )


def _class_path(module: nn.Module) -> str:
    return f"{type(module).__module__}:{type(module).__qualname__}"
