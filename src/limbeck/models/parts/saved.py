"""The built-in network of parts on disk: weights, config.json, and the tokenizer of its texts in a folder beside."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.core.errors import StoreDamaged
from limbeck.core.files import checksum, write_bytes, write_json
from limbeck.models.parts.network import PartsNet
from limbeck.models.parts.spec import PartsSpec
from limbeck.models.text.network import quiet
from limbeck.models.text.small import Plan
from limbeck.models.text.tokens import TextEncoder

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer"
_CORE = f"{TOKENIZER}/tokenizer.json"


def save_parts(module: PartsNet, folder: Path, notes: Mapping[str, Any]) -> None:
    """Write a network of parts; nothing is pickled."""
    from safetensors.torch import save

    data = save({name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()})
    config: dict[str, Any] = {"format": 1, "kind": "parts", "weights": checksum(data), "beside": {}}
    if module.encoder is not None:
        with tempfile.TemporaryDirectory() as made, quiet():
            module.encoder.tokenizer.save_pretrained(made)
            for path in sorted(Path(made).iterdir()):
                write_bytes(folder / TOKENIZER / path.name, path.read_bytes())
        config |= {"max_length": module.encoder.max_length, "beside": {_CORE: checksum(folder / _CORE)}}
    write_bytes(folder / WEIGHTS, data)
    write_json(folder / CONFIG, config | module.notes() | dict(notes))


def parts_from(folder: Path, config: Mapping[str, Any]) -> PartsNet:
    """The network that `save_parts` wrote, with fresh weights; raises StoreDamaged for another tokenizer."""
    for name, value in config["beside"].items():
        if not (folder / name).is_file() or checksum(folder / name) != value:
            raise StoreDamaged(
                f"expected {folder / name} to match its checksum, it does not",
                "the bytes on disk have changed since they were written: restore the file, or train the student again",
            )
    encoder = TextEncoder.load(folder / TOKENIZER, config["max_length"]) if config["beside"] else None
    shapes = {name: tuple(shape) for name, shape in config["shapes"].items()}
    plans = {name: Plan.of(plan) for name, plan in config["plans"].items()}
    return PartsNet(PartsSpec.parse(config["name"]), shapes, config["out_sizes"], plans, encoder)
