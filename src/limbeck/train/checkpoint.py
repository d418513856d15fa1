"""Checkpoints: everything that a training needs to go on bit for bit, in two files, never pickled.

    step-000000120.safetensors   tensors: learner, best learner, optimiser, random streams
    step-000000120.json          the rest, the checksum of the tensors, and its own

The JSON is written last: without it a checkpoint is not there. A damaged one is said aloud and the one before it used.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.errors import StoreDamaged, StoreMismatch
from limbeck.core.files import checksum, read_json, remove_leftovers, sync_dir, write_bytes, write_json

_NAME = re.compile(r"step-(\d{9,})\.json")
_FORMAT = 1
_KEPT = 2  # so that there is one to fall back to


@dataclass(frozen=True)
class Snapshot:
    """A training at a step: tensors by name, and plain values."""

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def write(folder: Path, snapshot: Snapshot, identity: Mapping[str, Any]) -> Path:
    """Write a checkpoint durably and remove those before the last two; raises LimbeckError where the disk refuses."""
    from safetensors.torch import save as to_bytes

    tensors = {name: value.detach().cpu().contiguous() for name, value in snapshot.tensors.items()}
    data = to_bytes(_unshared(tensors))
    body = {
        "format": _FORMAT,
        "step": snapshot.step,
        "identity": dict(identity),
        "tensors": checksum(data),
        "values": dict(snapshot.values),
    }
    path = folder / f"step-{snapshot.step:09d}.json"
    write_bytes(path.with_suffix(".safetensors"), data)
    write_json(path, {"checksum": _digest(body), "body": body})
    for old in _found(folder)[_KEPT:]:
        _remove(old)
    return path


def newest(folder: Path, identity: Mapping[str, Any], say: Callable[[str], None]) -> Snapshot | None:
    """The newest checkpoint that is whole; None where there is none. Damaged ones are said with `say`.

    Raises StoreMismatch where it belongs to another training, naming the fields.
    """
    if not folder.is_dir():
        return None
    remove_leftovers(folder)
    for path in _found(folder):
        try:
            return _read(path, identity)
        except StoreDamaged as error:
            say(f"the checkpoint {path.stem} is damaged and was left out: {error.what}")
    return None


def clear(folder: Path) -> None:
    """Remove all checkpoints of a folder, which a finished training no longer needs."""
    if folder.is_dir():
        for path in _found(folder):
            _remove(path)
        for stray in folder.glob("step-*.safetensors"):
            stray.unlink(missing_ok=True)
        sync_dir(folder)


def _read(path: Path, identity: Mapping[str, Any]) -> Snapshot:
    from safetensors.torch import load as from_bytes

    document = read_json(path)
    body = document.get("body") if isinstance(document, dict) else None
    if not isinstance(body, dict) or document.get("checksum") != _digest(body):
        raise StoreDamaged(f"expected {path.name} to match its checksum, it does not")
    _check_identity(body, identity)
    tensors = path.with_suffix(".safetensors")
    try:
        data = tensors.read_bytes()
    except OSError as error:
        raise StoreDamaged(f"expected the tensors {tensors.name}, cannot read them ({error.strerror})") from None
    if checksum(data) != body["tensors"]:
        raise StoreDamaged(f"expected {tensors.name} to match its checksum, it does not")
    return Snapshot(int(body["step"]), from_bytes(data), body["values"])


def _check_identity(body: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    mine = json.loads(json.dumps(dict(identity)))
    theirs = body.get("identity", {})
    fields = [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
    if body.get("format") != _FORMAT:
        fields = ["format", *fields]
    if fields:
        lines = "; ".join(f"{key}: {theirs.get(key, 'none')} there, {mine.get(key, 'none')} here" for key in fields)
        raise StoreMismatch(
            f"expected a checkpoint of the same training, this one differs in {', '.join(fields)} ({lines})",
            "train into another folder, or remove the checkpoints to begin anew",
        )


def _found(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    names = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(names, reverse=True)]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)  # the JSON first: what is left without it is not a checkpoint
    path.with_suffix(".safetensors").unlink(missing_ok=True)


def _digest(body: Mapping[str, Any]) -> str:
    return checksum(json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False).encode())


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies where several names share memory (tied weights), which safetensors refuses."""
    seen: set[int] = set()
    out = {}
    for name, value in tensors.items():
        start = value.untyped_storage().data_ptr()
        out[name] = value.clone() if start in seen else value
        seen.add(start)
    return out


# ------------------------------------------------------------------------------------- random streams


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The random streams of torch, numpy and Python as tensors and plain values."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda{n}": state for n, state in enumerate(torch.cuda.get_rng_state_all())}
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors["numpy"] = torch.from_numpy(np.asarray(keys, dtype=np.int64))
    version, internal, gauss_next = random.getstate()
    tensors["python"] = torch.tensor(internal, dtype=torch.int64)
    values = {"numpy": [str(kind), int(position), int(has_gauss), float(gauss)], "python": [version, gauss_next]}
    return tensors, values


def restore_random(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Put the random streams back."""
    torch.set_rng_state(tensors["cpu"])
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            if (name := f"cuda{number}") in tensors:
                torch.cuda.set_rng_state(tensors[name], number)
    kind, position, has_gauss, gauss = values["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, gauss_next = values["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss_next))


# ------------------------------------------------------------------------------------------ optimiser


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of an optimiser: tensors by "index.name", and what is no tensor."""
    tensors, values = {}, {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                values[f"{index}.{name}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Put the state of an optimiser back; its settings come from the plan."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *values.items()]:
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
