"""Keras 3 models on the torch backend as torch modules whose state has the same names in every process.

Keras numbers its layers as they are made, and a model's own state is named after them. Here weights are called by their
place in `model.weights`: "0.sequential/dense/kernel" would be another name in another process, "weights.0" is not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.core.errors import ConfigError, NotSupported

KERAS_FILE = "model.keras"  # beside the weights of a saved student


def is_keras(what: Any) -> bool:
    """Whether something is a Keras model; Keras is not imported for the question."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(what, keras.Model)


class KerasNetwork(nn.Module):
    """A built Keras model that takes one input, trained and asked as any torch module.

    Raises NotSupported for a model of another backend, ConfigError for one whose weights are not made yet.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        import keras

        if keras.backend.backend() != "torch":
            raise NotSupported(
                f"expected Keras on its torch backend, it runs on {keras.backend.backend()}",
                "set KERAS_BACKEND=torch before Keras is imported (a saved .keras file loads there), or give the "
                "model's predictions: lb.Teacher(lambda x: model.predict(x, verbose=0)) as a teacher",
            )
        if not model.built or not model.weights:
            raise ConfigError(
                f"expected a Keras model with weights, {type(model).__name__} has none yet",
                "give it keras.Input(shape) as its first layer, or call it on some rows",
            )
        if len(model.inputs or [None]) != 1:
            raise NotSupported(
                f"expected a Keras model with one input, got {len(model.inputs)}",
                "wrap it in a torch module that takes a mapping of the parts of a row",
            )
        object.__setattr__(self, "model", model)  # not as a submodule: its own names would come in
        self.architecture = _architecture(model)
        self.takes: Mapping[str, Any] | None = None  # the preprocessing of the rows that it was trained on
        trainable = {id(variable) for variable in model.trainable_variables}
        for place, variable in enumerate(model.weights):
            value = variable.value
            if id(variable) in trainable:
                self.register_parameter(f"weight_{place}", value)
            else:
                self.register_buffer(f"weight_{place}", value.detach())  # the memory that Keras writes to

    model: Any

    def forward(self, inputs: Tensor) -> Tensor:
        """What the model answers, with dropout and batch statistics in training mode alone."""
        answers: Tensor = self.model(inputs, training=self.training)
        return answers

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasNetwork:
        import keras

        made = keras.models.clone_model(self.model)
        if not made.built:
            made.build(self.model.input_shape)
        made.set_weights(self.model.get_weights())
        copied = KerasNetwork(made).train(self.training)
        memo[id(self)] = copied
        return copied

    def keras_bytes(self) -> bytes:
        """The model as Keras writes it (.keras), for any of its backends."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / KERAS_FILE
            self.whole().save(path)
            return path.read_bytes()

    def whole(self) -> Any:
        """The Keras model for raw rows: of numbers and images with their standardisation inside, else as it is."""
        import keras

        layers = _standardising(self.takes or {})
        if not layers:
            return self.model
        values = rows = layers[0]
        for layer in layers[1:]:
            values = layer(values)
        made = keras.Model(rows, self.model(values), name=f"{self.model.name}_of_rows")
        if self.model.compiled:
            made.compile_from_config(self.model.get_compile_config())
        return made


def _standardising(spec: Mapping[str, Any]) -> list[Any]:
    """An input of raw rows and the layers that encode them as `data.preprocess` does; none for other rows."""
    import keras
    import numpy as np

    if spec.get("kind") == "array" and spec["keep"] == list(range(*spec["shape"])):
        variance = np.square(np.asarray(spec["scale"], dtype=np.float64))
        return [keras.Input(tuple(spec["shape"])), keras.layers.Normalization(mean=spec["mean"], variance=variance)]
    if spec.get("kind") == "image":
        size = (spec["height"], spec["width"])
        rows = keras.Input((*size, spec["channels"]) if spec["channel_axis"] else size)
        apart = [] if spec["channel_axis"] else [keras.layers.Reshape((*size, 1))]
        variance = np.square(np.asarray(spec["scale"], dtype=np.float64))
        turned = [keras.layers.Normalization(mean=spec["mean"], variance=variance), keras.layers.Permute((3, 1, 2))]
        return [rows, *apart, *turned]
    return []


def _architecture(model: Any) -> str:
    """Layers and settings as text, the same in every process: names that Keras numbers stand for their place."""
    try:
        config = json.loads(model.to_json())
    except (NotImplementedError, ValueError, TypeError):  # a subclassed model without a configuration
        return f"{type(model).__qualname__}: {[type(layer).__name__ for layer in model.layers]}"
    names: dict[str, str] = {}
    _find_names(config, names)
    return json.dumps(_renamed(config, names), sort_keys=True)


def _find_names(value: Any, names: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        if isinstance(name := value.get("name"), str):
            names.setdefault(name, f"layer-{len(names)}")
        for entry in value.values():
            _find_names(entry, names)
    elif isinstance(value, list):
        for entry in value:
            _find_names(entry, names)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    return names.get(value, value) if isinstance(value, str) else value


def as_module(what: Any) -> Any:
    """A Keras model as a torch module, everything else as it is."""
    return KerasNetwork(what) if is_keras(what) else what
