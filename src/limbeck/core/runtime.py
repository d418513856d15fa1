"""Seeds, threads, device and precision: everything that the process decides before numbers are made.

A choice that was left to limbeck ("auto") comes back with its reason, so that resolved.yaml can say it.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError
from limbeck.core.hardware import hardware, usable_cores, versions

if TYPE_CHECKING:
    import torch

_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "WORLD_SIZE")


@dataclass(frozen=True)
class Choice:
    """A value with the reason why it was chosen."""

    value: Any
    reason: str


def derive_seed(purpose: str, seed: int, *parts: int | str) -> int:
    """A seed of 63 bits for one purpose ("init", "order", "dropout"), so that no two purposes share a stream."""
    import xxhash

    text = "\0".join((purpose, str(seed), *(str(part) for part in parts)))
    return xxhash.xxh3_64_intdigest(text.encode()) >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and Python inside the block; the caller's random streams go on afterwards as if untouched."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % (1 << 32))
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def choose_threads(asked: int | None = None) -> Choice:
    """How many threads torch may use: what was asked, else OMP_NUM_THREADS, else the usable cores over the ranks."""
    if asked is not None:
        if isinstance(asked, bool) or asked < 1:
            raise ConfigError(f"expected a number of threads >= 1, got {asked!r}", "leave it out to use all cores")
        return Choice(asked, "asked for")
    variable = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if variable.isdigit() and int(variable) > 0:
        return Choice(int(variable), "OMP_NUM_THREADS")
    cores, ranks = usable_cores(), max(int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1), 1)
    share = f" shared by {ranks} ranks" if ranks > 1 else ""
    return Choice(max(cores // ranks, 1), f"{cores} usable core{'s' if cores != 1 else ''}{share}")


def choose_device(asked: str = "auto") -> Choice:
    """The device to train on; raises ConfigError where the one that was asked for is not there."""
    import torch

    local = int(os.environ.get("LOCAL_RANK", "0") or 0)
    if asked == "auto":
        if torch.cuda.is_available():
            return Choice(f"cuda:{local}", f"found {torch.cuda.get_device_name(local)}")
        return Choice("cpu", "no accelerator was found")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ConfigError(f"expected a device such as cpu or cuda:0, got '{asked}'", "leave it at auto") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise ConfigError(f"expected the device '{asked}', found {count} CUDA devices", "use device: cpu, or auto")
    return Choice(str(device), "asked for")


def choose_precision(asked: str, device: str) -> Choice:
    """The precision of the forward pass: fp32 unless asked, and bf16 only where the device knows it."""
    import torch

    if asked == "auto":
        return Choice("fp32", "exact, and the same on every machine")
    if asked == "bf16" and device.startswith("cuda") and not torch.cuda.is_bf16_supported():
        raise ConfigError(f"expected a device that computes in bf16, {device} does not", "use precision: fp32")
    return Choice(asked, "asked for")


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next step instead of giving it back to the system; True where it obeys.

    Convolutional nets spend a fifth of a CPU step on page faults otherwise; numbers do not change.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6", use_errno=False).mallopt
    except (OSError, AttributeError):  # musl
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    most = 1 << 30
    return bool(mallopt(mmap_threshold, most)) and bool(mallopt(trim_threshold, most))


def environment() -> dict[str, Any]:
    """Versions, machine and settings of the process, as run.json holds them."""
    return {
        "versions": versions(),
        "hardware": hardware(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
    }


def device_of(module: torch.nn.Module) -> torch.device:
    """Where the weights of a module lie (the CPU where it has none)."""
    import torch

    for tensor in itertools.chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")
