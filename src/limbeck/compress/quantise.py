"""Dynamic int8: weights of matrix products and embeddings as int8, activations quantised while the model runs.

Weights keep 7 of the 8 bits (`reduce_range`) and have a scale for each column: with 8 bits the 16-bit sums of
processors without VNNI overflow, so that the same file would answer otherwise on another machine.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.core.files import write_bytes

OPERATORS = ("MatMul", "Gemm", "Gather")  # Gather: tables of embeddings
WEIGHTS = "limbeck.weights"  # in the metadata: "int8"
_PRODUCER = ("onnx.infer", "onnx.quant.pre_process")


def quantise(source: Path, target: Path) -> int:
    """Write an exported student with int8 weights and return how many tensors became int8; none: nothing is written.

    Convolutions stay as they are: ONNX Runtime's CPU kernels for them are no faster in int8.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = onnx.load(source)
    with tempfile.TemporaryDirectory() as made, _quiet():
        out = Path(made) / "int8.onnx"
        quantize_dynamic(
            plain,
            out,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(out)
    count: int = sum(tensor.name.endswith("_quantized") for tensor in model.graph.initializer)
    if count:
        _described(model, onnx.load(source))
        write_bytes(target, model.SerializeToString(deterministic=True))
    return count


def _described(model: Any, source: Any) -> None:
    """The words of the original about itself, and that its weights are int8."""
    del model.metadata_props[:]
    for entry in source.metadata_props:
        if entry.key not in _PRODUCER:
            model.metadata_props.add(key=entry.key, value=entry.value)
    model.metadata_props.add(key=WEIGHTS, value="int8")
    model.producer_name, model.producer_version = source.producer_name, source.producer_version


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice on preparations, which is written to the root logger, off the terminal."""
    root = logging.getLogger()
    root.addFilter(_is_no_advice)
    try:
        yield
    finally:
        root.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()
