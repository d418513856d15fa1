"""Any ONNX file as a callable on raw rows: onnxruntime on the CPU, from bytes that point at no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.core.files import checksum

Array: TypeAlias = np.ndarray[Any, Any]
_DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(uint8)": "uint8",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool", "tensor(string)": "object",
}  # fmt: skip
_ANSWERS = ("tensor(float)", "tensor(double)", "tensor(float16)")
_PREFERRED = ("logits", "probabilities", "value", "output_probability")


class OnnxFile:
    """A graph that takes raw rows as one input [N, ...], or the columns of a table by name, [N] or [N, 1] each.

    Of several outputs "logits" is taken, else "probabilities", else the only one that holds floats. Raises ConfigError
    for a file that onnxruntime cannot run or that keeps data outside itself.
    """

    __slots__ = ("checksum", "inputs", "output", "session")

    def __init__(self, content: bytes, name: str) -> None:
        import onnxruntime

        _refuse_outside(content, name)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise ConfigError(
                f"expected a model that onnxruntime can run in {name}, got {type(e).__name__}: {e}",
                "export it again; operators of other libraries are not loaded",
            ) from e
        self.checksum = checksum(content)
        self.inputs = list(self.session.get_inputs())
        self.output = _output(self.session.get_outputs(), name)
        strange = [f"{each.name} ({each.type})" for each in self.inputs if each.type not in _DTYPES]
        if strange or not self.inputs:
            raise ConfigError(
                f"expected inputs of numbers or texts in {name}, got {', '.join(strange) or 'none'}",
                "export a graph that takes rows as one array of floats, or one input for each column",
            )

    @classmethod
    def read(cls, path: Path) -> OnnxFile:
        """Read a file; raises as the class does."""
        return cls(path.read_bytes(), path.name)

    def __getstate__(self) -> dict[str, str]:
        return {"checksum": self.checksum}

    def __call__(self, inputs: Any) -> Array:
        feeds = self._feeds(inputs)
        rows = len(next(iter(feeds.values())))
        size = self._batch()
        if size is None or size == rows:
            return np.asarray(self.session.run([self.output], feeds)[0])
        parts = []
        for start in range(0, rows, size):  # a graph that takes so many rows at once, no more and no fewer
            take = np.minimum(np.arange(start, start + size), rows - 1)
            said = self.session.run([self.output], {name: values[take] for name, values in feeds.items()})[0]
            parts.append(said[: rows - start])
        return np.concatenate(parts)

    def _batch(self) -> int | None:
        sizes = {each.shape[0] for each in self.inputs if each.shape and isinstance(each.shape[0], int)}
        return next(iter(sizes)) if len(sizes) == 1 and min(sizes) > 0 else None

    def _feeds(self, inputs: Any) -> dict[str, Array]:
        named = hasattr(inputs, "columns") or isinstance(inputs, Mapping)
        names = [each.name for each in self.inputs]
        if named and (len(names) > 1 or names[0] in inputs):
            missing = [name for name in names if name not in inputs]
            if missing:
                raise ConfigError(
                    f"expected the columns {', '.join(names)}, which are the inputs of the ONNX file; "
                    f"{', '.join(missing)} missing",
                    "name the columns of the table as the inputs of the graph, or export one input of all columns",
                )
            return {each.name: _column(inputs[each.name], each) for each in self.inputs}
        if len(names) > 1:
            raise ConfigError(
                f"expected a table with the columns {', '.join(names)}, which are the inputs of the ONNX file, got "
                f"{type(inputs).__name__}",
                "give rows as a table with these columns, or export one input of all columns",
            )
        return {names[0]: _rows(inputs, self.inputs[0])}


def _output(outputs: Any, name: str) -> str:
    found = [each.name for each in outputs if each.type in _ANSWERS]
    best = next((word for word in _PREFERRED if word in found), None)
    if best is None and len(found) != 1:
        raise ConfigError(
            f"expected one output of floats in {name}, or one called logits or probabilities, got "
            f"{', '.join(f'{each.name} ({each.type})' for each in outputs)}",
            "export it with one output; of skl2onnx with options={'zipmap': False}",
        )
    return str(best or found[0])


def _column(values: Any, about: Any) -> Array:
    array = np.asarray(values)
    if about.type == "tensor(string)":
        array = np.array(["" if value is None or value != value else str(value) for value in array], dtype=object)
    made = _as(array, about)
    return made[:, None] if len(about.shape) == 2 and made.ndim == 1 else made


def _rows(inputs: Any, about: Any) -> Array:
    array = _as(inputs.to_numpy() if hasattr(inputs, "to_numpy") else np.asarray(inputs), about)
    inner = about.shape[1:]
    whole = len(inner) > 1 and all(isinstance(n, int) for n in inner)
    if whole and array.ndim == 2 and int(np.prod(inner)) == array.shape[1]:
        array = array.reshape(len(array), *inner)  # images lie flat for what is no torch module
    fits = array.ndim == len(about.shape) and all(
        not isinstance(n, int) or n == m for n, m in zip(inner, array.shape[1:], strict=True)
    )
    if about.shape and not fits:
        raise ConfigError(
            f"expected rows of shape {list(inner)} for the input '{about.name}' of the ONNX file, got "
            f"{list(array.shape[1:])}",
            "export it for rows as they are in the data, or say inputs: encoded where it takes prepared rows",
        )
    return array


def _as(array: Array, about: Any) -> Array:
    try:
        return np.ascontiguousarray(array.astype(_DTYPES[about.type]))
    except (TypeError, ValueError) as e:
        raise ConfigError(
            f"expected numbers for the input '{about.name}' of the ONNX file, got {array.dtype} ({e})",
            "export a graph that takes texts as inputs of strings, one for each column",
        ) from e


def _refuse_outside(content: bytes, name: str) -> None:
    """Refuse bytes that are no ONNX model or that keep tensors in other files; raises ConfigError."""
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        outside = next((tensor for tensor in _tensors(model) if _is_outside(tensor)), None)
    except Exception as e:
        raise ConfigError(
            f"expected an ONNX model in {name}, its bytes are none ({type(e).__name__})", "export the model again"
        ) from e
    if not model.HasField("graph"):
        raise ConfigError(f"expected an ONNX model in {name}, its bytes are none", "export the model again")
    if outside is not None:
        where = next((entry.value for entry in outside.external_data if entry.key == "location"), "")
        raise ConfigError(
            f"expected an ONNX file that holds all its weights, {name} points at the file '{where}' for "
            f"'{outside.name}', and other files are not opened",
            "write one file: onnx.save(onnx.load(path), 'teacher.onnx', save_as_external_data=False)",
        )


def _is_outside(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location == 1


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message of protobuf, in subgraphs, functions and training graphs too."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from _tensors(inner)
