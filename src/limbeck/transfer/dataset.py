"""A transfer set for anybody's training loop: a torch Dataset of stored answers.

Answers are as on disk: logits for classes and labels, natural units for regression.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from limbeck.transfer.codecs import Array
from limbeck.transfer.index import as_keys, hex_key
from limbeck.transfer.store import Store


class TransferSet(Dataset[dict[str, Any]]):
    """Stored answers by position, or by row key.

        answers = TransferSet("runs/x/transfer")
        answers[0]                          # {"key": "5f…", "view": 0, "outputs": {"main": tensor [C]}}
        answers[[3, 1, 4]]                  # the same for a batch, gathered at once
        places = answers.align(keys)        # positions of your rows, once
        answers.batch(places[rows])["main"] # logits [B, C] inside the loop

    Ragged answers (one for every word or token of a row) come as [B, T, C] with their mask [B, T] in "masks", those of
    one row as [T, C].

    It pickles by its path, so that DataLoader workers open it themselves.
    Raises StoreMismatch where there is no finished transfer set, StoreDamaged where a byte is wrong.
    """

    def __init__(self, path: Path | str) -> None:
        self.store = Store(path)
        self.store.require_complete()

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.store.outputs)

    def names(self, head: str = "main") -> tuple[str, ...]:
        """Classes, labels or columns of an output, in its order."""
        return self.store.output(head).names

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int | slice | Sequence[int] | Array | torch.Tensor) -> dict[str, Any]:
        if isinstance(index, int | np.integer):
            place = self._places([int(index)])
            said = self.store.signals(place)
            one = {name: _first(values, said.masks.get(name)) for name, values in said.outputs.items()}
            return {"key": hex_key(self.keys[place[0]]), "view": int(self.views[place[0]]), "outputs": one}
        places = self._places(range(len(self))[index] if isinstance(index, slice) else index)
        said = self.store.signals(places)
        found = {"key": self.keys[places], "view": self.views[places], "outputs": dict(said.outputs)}
        return found | ({"masks": dict(said.masks)} if said.masks else {})

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store}  # not the cached keys

    def batch(self, indices: Sequence[int] | Array | torch.Tensor) -> dict[str, Any]:
        """Outputs [B, C] per head at positions."""
        return dict(self.store.gather(self._places(indices)))

    def gather(self, keys: Array, views: Array | None = None) -> dict[str, Any]:
        """Outputs [B, C] per head for row keys [B, 2] under views [B] (view 0 by default).

        Raises StoreMismatch for a row or view without an answer.
        """
        return dict(self.store.gather(self.store.rows_of(as_keys(keys), views)))

    def align(self, keys: Array, view: int = 0) -> Array:
        """Positions int64 [N] of row keys [N, 2] under one view; raises StoreMismatch where one has no answer."""
        return self.store.rows_of(as_keys(keys), np.full(len(keys), view, dtype=np.int64))

    def outputs(self, head: str = "main") -> Array:
        """All answers of a head [len, C] as on disk, mapped from the file where it is one file. Do not write to it.

        Of ragged ones the answers to all positions [P, C], one row after the other; `lengths` says how many each has.
        """
        return self.store.column(head)

    def lengths(self, head: str = "main") -> Array:
        """How many positions each row [len] of a ragged head has."""
        return self.store.lengths(head)

    @cached_property
    def keys(self) -> Array:
        """Row key [len, 2] of every answer."""
        return self._keys_and_views[0]

    @cached_property
    def views(self) -> Array:
        """View [len] of every answer."""
        return self._keys_and_views[1]

    @cached_property
    def _keys_and_views(self) -> tuple[Array, Array]:
        return self.store.keys()

    def _places(self, indices: Any) -> Array:
        places = np.ascontiguousarray(np.asarray(indices, dtype=np.int64).reshape(-1))
        if len(places) and (places.min() < -len(self) or places.max() >= len(self)):
            raise IndexError(f"positions run from 0 to {len(self) - 1}, got {places.min()} to {places.max()}")
        return np.where(places < 0, places + len(self), places)


def _first(values: Any, mask: torch.Tensor | None) -> Any:
    """The answer of the only row, without padding."""
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        parts = {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
        return dataclasses.replace(values, **{k: _first(v, mask) for k, v in parts.items() if k != "size"})
    return values[0] if mask is None else values[0][mask[0]]
