"""Raw rows of parts for an exported student: a mapping of the parts, or a table with the columns of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.compress.onnx_rows import array_feed, table_feeds, text_rows
from limbeck.compress.onnx_text import Texts
from limbeck.core.errors import ConfigError
from limbeck.core.parts import Parts, flattened

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class PartRows:
    """What makes the inputs of a graph of parts: facts of each part and of each input, the tokenizer of the texts."""

    parts: Mapping[str, Facts]
    inputs: Sequence[Facts]
    texts: Mapping[str, Texts]

    @classmethod
    def of(cls, path: Path, parts: Mapping[str, Facts], inputs: Sequence[Facts], about: str | None) -> PartRows:
        """Read the tokenizer beside a file, where it has texts; `about` is the file's own word on it."""
        texts: dict[str, Texts] = {}
        for name, facts in parts.items():
            if facts["kind"] == "text" and about is not None:
                mine = [i["name"].removeprefix(f"{name}.") for i in inputs if i["part"] == name]
                texts[name] = Texts.beside(path, about, mine, tuple(facts["columns"]))
        return cls(parts, tuple(inputs), texts)

    def read(self, inputs: Any) -> Parts:
        """Raw rows as parts; raises ConfigError for parts and columns that are not there."""
        if isinstance(inputs, Parts):
            return Parts({name: inputs[name] for name in self.parts})
        if isinstance(inputs, Mapping):
            flat = flattened(inputs)
            if all(name in flat for name in self.parts):
                return Parts({name: flat[name] for name in self.parts})
        return self._of_table(inputs)

    def _of_table(self, inputs: Any) -> Parts:
        import pandas as pd

        from limbeck.data.frames import pick

        if not isinstance(inputs, pd.DataFrame | Mapping | list):
            raise ConfigError(
                f"expected the parts {', '.join(self.parts)} of each row, got {type(inputs).__name__}",
                "give a mapping of the parts, or a DataFrame with the columns of all of them",
            )
        frame = inputs if isinstance(inputs, pd.DataFrame) else pd.DataFrame(inputs)
        found: dict[str, Any] = {}
        for name, facts in self.parts.items():
            if facts["columns"]:
                found[name] = pick(frame, facts["columns"], "the inputs")
            else:
                if name not in frame.columns:
                    raise ConfigError(
                        f"expected a column '{name}' of arrays for the part '{name}' (of kind {facts['kind']}), the "
                        f"table has {', '.join(map(str, frame.columns))}",
                        "give a mapping of the parts with an array for it; `limbeck predict RUN FILE` reads files as "
                        "the recipe of the run does",
                    )
                cells = frame[name]
                found[name] = np.stack([np.asarray(cell) for cell in cells]) if len(cells) else np.asarray(cells)
        return Parts(found)

    def feeds(self, rows: Parts) -> dict[str, np.ndarray[Any, Any]]:
        """The tensors that the graph takes of rows, by name."""
        made: dict[str, np.ndarray[Any, Any]] = {}
        for name, facts in self.parts.items():
            mine = [each for each in self.inputs if each["part"] == name]
            if facts["kind"] == "text":
                texts = text_rows(rows[name], facts["columns"])
                made |= {f"{name}.{each}": values for each, values in self.texts[name].feeds(texts).items()}
            elif facts["kind"] == "table":
                made |= table_feeds(rows[name], mine)
            else:
                made |= array_feed(rows[name], mine[0])
        return made
