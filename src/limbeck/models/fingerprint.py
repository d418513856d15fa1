"""What a model is, as a hash: its weights, or the parameters and fitted arrays of an estimator. Nothing is pickled."""

from __future__ import annotations

import enum
import functools
import re
import sys
import types
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

# settings of an estimator that do not change what it answers
_IRRELEVANT = {"n_jobs", "verbose", "warm_start", "memory", "_sklearn_version", "_repr_html_link"}
_PLACES = {"training", "name_or_path"}  # of a module: a mode, and where transformers read it from
_DEEPEST = 60
_PLAIN = (type(None), bool, int, float, complex, str, bytes, enum.Enum)
_REACHED = (nn.Module, np.ndarray, Tensor)


def state_hash(module: nn.Module) -> str:
    """xxh3-128 over names, dtypes, shapes and bytes of a module's state (32 hexadecimal digits)."""
    hasher = xxhash.xxh3_128()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            _tensor(hasher, name, value)
        else:  # extra state of a user's module
            hasher.update(name.encode())
            _walk(hasher, value, set(), 0)
    return hasher.hexdigest()


def module_hash(module: nn.Module) -> str:
    """A hash of what decides a module's answers: layers, settings, state, other buffers, and the user's own code."""
    hasher = xxhash.xxh3_128()
    _module(hasher, module, set(), 0)
    return hasher.hexdigest()


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """As `state_hash`, for a mapping of tensors."""
    hasher = xxhash.xxh3_128()
    for name, value in sorted(tensors.items()):
        _tensor(hasher, name, value)
    return hasher.hexdigest()


def object_hash(value: Any) -> str:
    """xxh3-128 over what an estimator, a function or plain data consists of, equal in another process."""
    hasher = xxhash.xxh3_128()
    _walk(hasher, value, set(), 0)
    return hasher.hexdigest()


def _tensor(hasher: Any, name: str, value: Tensor) -> None:
    data = value.detach().cpu().contiguous()
    hasher.update(f"{name}|{data.dtype}|{tuple(data.shape)}|".encode())
    if data.numel():
        hasher.update(data.reshape(-1).view(torch.uint8).numpy().data)


def _walk(hasher: Any, value: Any, seen: set[int], depth: int) -> None:
    """Feed a value to the hasher: plain values by text, arrays by bytes, objects by class and attributes."""
    if isinstance(value, _PLAIN):
        hasher.update(f"{type(value).__name__}:{value!r};".encode())
        return
    if isinstance(value, np.generic):
        hasher.update(f"{value.dtype}:{value.item()!r};".encode())
        return
    if isinstance(value, type):
        hasher.update(f"type:{value.__module__}.{value.__qualname__};".encode())
        return
    if id(value) in seen or depth > _DEEPEST:
        hasher.update(b"again;")
        return
    seen.add(id(value))
    try:
        _walk_inside(hasher, value, seen, depth)
    finally:
        if not isinstance(value, types.FunctionType):  # one mention of a function is enough, calls run in circles
            seen.discard(id(value))


def _walk_inside(hasher: Any, value: Any, seen: set[int], depth: int) -> None:
    hasher.update(f"{type(value).__module__}.{type(value).__qualname__}(".encode())
    if isinstance(value, types.ModuleType):  # its code is provenance, and to walk it would take hours
        hasher.update(value.__name__.encode())
    elif isinstance(value, np.ndarray):
        _array(hasher, value, seen, depth)
    elif isinstance(value, Tensor):
        _tensor(hasher, "", value)
    elif isinstance(value, nn.Module):
        _module(hasher, value, seen, depth)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            hasher.update(f"{key!r}=".encode())
            _walk(hasher, value[key], seen, depth + 1)
    elif isinstance(value, Set):
        for entry in sorted(value, key=str):
            _walk(hasher, entry, seen, depth + 1)
    elif isinstance(value, list | tuple):
        for entry in value:
            _walk(hasher, entry, seen, depth + 1)
    elif isinstance(value, types.FunctionType):
        _function(hasher, value, seen, depth)
    elif isinstance(value, types.MethodType):
        hasher.update(value.__name__.encode())
        _walk(hasher, value.__self__, seen, depth + 1)
    elif isinstance(value, functools.partial):
        _walk(hasher, [value.func, value.args, value.keywords], seen, depth + 1)
    else:
        _object(hasher, value, seen, depth)
    hasher.update(b");")


def _module(hasher: Any, module: nn.Module, seen: set[int], depth: int) -> None:
    hasher.update(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module)).encode())  # without the addresses of functions
    hasher.update(state_hash(module).encode())
    saved = module.state_dict()
    hasher.update(tensor_hash({n: b for n, b in module.named_buffers() if n not in saved}).encode())
    for name, part in module.named_modules():
        hasher.update(f"{name}:{type(part).__module__}.{type(part).__qualname__};".encode())
        _class_code(hasher, type(part), seen, depth + 1)
        for key, value in sorted(vars(part).items()):
            if isinstance(value, _PLAIN) and key not in _PLACES and not key.startswith("_"):
                hasher.update(f"{key}=".encode())
                _walk(hasher, value, seen, depth + 1)


def _array(hasher: Any, value: np.ndarray, seen: set[int], depth: int) -> None:
    hasher.update(f"{value.dtype.str}{value.shape}".encode())
    if value.dtype.names:  # by field: what lies in the padding of a record is arbitrary
        for name in value.dtype.names:
            hasher.update(name.encode())
            _array(hasher, value[name], seen, depth)
    elif value.dtype.hasobject:
        for entry in value.ravel():
            _walk(hasher, entry, seen, depth + 1)
    else:
        hasher.update(np.ascontiguousarray(value).tobytes())


def _function(hasher: Any, value: types.FunctionType, seen: set[int], depth: int) -> None:
    hasher.update(f"{value.__module__}.{value.__qualname__}".encode())
    _code(hasher, value.__code__, seen, depth)
    _walk(hasher, value.__defaults__, seen, depth + 1)
    _walk(hasher, value.__kwdefaults__, seen, depth + 1)
    for cell in value.__closure__ or ():
        try:
            _walk(hasher, cell.cell_contents, seen, depth + 1)
        except ValueError:  # a name that is not bound yet
            hasher.update(b"unbound;")
    for name in value.__code__.co_names:  # what a function reaches through a global name is part of it
        used = value.__globals__.get(name)
        beside = isinstance(used, types.FunctionType) and used.__module__ == value.__module__
        if beside or isinstance(used, _REACHED) or callable(getattr(type(used), "predict", None)):
            _walk(hasher, used, seen, depth + 1)


def _is_own(module: str) -> bool:
    """Whether a module is the user's: the code of installed packages is provenance, not identity."""
    top = module.partition(".")[0]
    path = str(getattr(sys.modules.get(module), "__file__", None) or "")
    installed = any(folder in path for folder in ("site-packages", "dist-packages"))
    return top != "limbeck" and top not in sys.stdlib_module_names and not installed


def _class_code(hasher: Any, cls: type, seen: set[int], depth: int) -> None:
    """Functions and plain values of a user's class and of those of its bases that are the user's."""
    for base in cls.__mro__:
        if not _is_own(base.__module__):
            continue
        for name, entry in sorted(vars(base).items()):
            inside = getattr(entry, "__func__", None) or getattr(entry, "fget", None) or entry
            if isinstance(inside, types.FunctionType) or (isinstance(inside, _PLAIN) and not name.startswith("__")):
                hasher.update(f"{name}=".encode())
                _walk(hasher, inside, seen, depth + 1)


def _code(hasher: Any, code: types.CodeType, seen: set[int], depth: int) -> None:
    hasher.update(code.co_code)
    hasher.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _code(hasher, constant, seen, depth)
        else:
            _walk(hasher, constant, seen, depth + 1)


def _object(hasher: Any, value: Any, seen: set[int], depth: int) -> None:
    """An object by its attributes and its class; compiled ones (trees, random states) by the state they give out."""
    _class_code(hasher, type(value), seen, depth)
    state = getattr(value, "__dict__", None)
    if not state:
        give = getattr(value, "__getstate__", None)
        try:
            state = give() if give is not None else None
        except TypeError:  # a compiled object without state
            state = None
    if isinstance(state, Mapping):
        state = {str(key): entry for key, entry in state.items() if key not in _IRRELEVANT}
    if state is not None:
        _walk(hasher, state, seen, depth + 1)
        return
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    if isinstance(name, str):
        hasher.update(name.encode())
