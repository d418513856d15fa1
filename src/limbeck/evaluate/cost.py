"""What a model costs: parameters, operations, bytes, time and memory of inference, and of its training.

Latency is wall time of one call with one thread, after a warm-up, so that figures of two models compare; p50 and p95
over the calls. torch is imported only here, and only when something is measured.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.parts import Parts, plain

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCHES = (1, 64)
CALLS, WARM_UP, MAX_SECONDS = 200, 20, 1.0


def parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones counted once."""
    return sum(p.numel() for p in module.parameters())


def state_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers, as saved."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())


def flops(module: nn.Module, example: Tensor | Parts) -> int | None:
    """Floating-point operations for one row (a multiply-add counts two); None where torch cannot count them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            module(plain(example[:1]))
    except (NotImplementedError, RuntimeError):
        return None
    return int(counter.get_total_flops())


def latency(call: Callable[[], Any], calls: int = CALLS, warm_up: int = WARM_UP) -> dict[str, float]:
    """Wall time of one call in ms: p50, p95 and the number of calls (at least 5, at most about a second of them).

    Slow calls need fewer to warm up: at least one, at most about half a second of them.
    """
    started = time.perf_counter()
    for _ in range(warm_up):
        call()
        if time.perf_counter() - started > MAX_SECONDS / 2:
            break
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < calls and (len(times) < 5 or time.perf_counter() - started < MAX_SECONDS):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return {"p50_ms": float(p50), "p95_ms": float(p95), "calls": len(times)}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run with one torch thread, and give the others back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def inference_bytes(call: Callable[[], Any]) -> int:
    """Peak bytes of the tensors that one call makes and holds at the same time (weights and inputs not counted)."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    held: dict[int, int] = {}
    peak = 0

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal peak
            result = func(*args, **(kwargs or {}))
            known = {t.untyped_storage()._cdata for t in tree_leaves(args) if isinstance(t, Tensor)}
            for t in tree_leaves(result):
                if not isinstance(t, Tensor):
                    continue
                storage = t.untyped_storage()
                # a view has the storage of its argument and costs nothing
                if storage._cdata in known or id(storage) in held:
                    continue
                held[id(storage)] = storage.nbytes()
                weakref.finalize(storage, held.pop, id(storage), None)
                peak = max(peak, sum(held.values()))
            return result

    with Watch():  # type: ignore[no-untyped-call]
        call()
    return peak


def process_peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    try:
        import resource
    except ImportError:  # Windows has no such counter
        return 0
    scale = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * scale


def module_cost(
    module: nn.Module, example: Tensor | Parts, *, onnx: Path | None = None, batches: tuple[int, ...] = BATCHES
) -> dict[str, Any]:
    """Everything that can be measured on a torch module with an example batch [B, ...] of encoded inputs.

    The module is put into eval mode and given back in the mode it came in. Rows of the example repeat where the batch
    is larger than the example.
    """
    import torch

    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), one_thread():
            timed = {}
            for size in batches:
                inputs = plain(example[torch.arange(size) % len(example)])
                timed[str(size)] = latency(lambda x=inputs: module(x))  # type: ignore[misc]
            memory = inference_bytes(lambda: module(plain(example[:1])))
            operations = flops(module, example)
    finally:
        module.train(was_training)
    return {
        "parameters": parameters(module),
        "flops": operations,
        "state_bytes": state_bytes(module),
        "onnx_bytes": onnx.stat().st_size if onnx is not None and onnx.exists() else None,
        "latency": timed,
        "inference_bytes": memory,
        "threads": 1,
    }


def callable_cost(answer: Callable[[Any], Any], make_batch: Callable[[int], Any]) -> dict[str, Any]:
    """Latency of anything that answers a batch (an estimator, a function, an ONNX session); the rest is unknown."""
    timed = {}
    for size in BATCHES:
        inputs = make_batch(size)
        timed[str(size)] = latency(lambda x=inputs: answer(x))  # type: ignore[misc]
    names = ("parameters", "flops", "state_bytes", "onnx_bytes", "inference_bytes", "threads")
    return dict.fromkeys(names) | {"latency": timed}


def training_cost(seconds: float, steps: int, seeds: int = 1) -> dict[str, Any]:
    """What training one arm cost: wall seconds and optimiser steps over all its seeds."""
    return {"training_seconds": float(seconds), "training_steps": int(steps), "seeds": int(seeds)}
