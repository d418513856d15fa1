"""In which slices the test rows of a run are judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.core.specs import fingerprint
from limbeck.data.rows import Rows
from limbeck.data.slices import Slicing, slicings

Array = np.ndarray[Any, Any]


def slices_for(rows: Rows, sentences: Array | None) -> dict[str, Slicing]:
    """Ways in which rows [N] are told apart; of a task on words these [M], which are of so many `sentences`."""
    found = slicings(rows)
    return found if sentences is None else {name: each.take(sentences) for name, each in found.items()}


def slices_identity(rows: Rows) -> dict[str, str]:
    """A hash of what the user tells rows apart by; nothing where that is nothing."""
    if not rows.slices:
        return {}
    return {"slices": fingerprint({name: [str(v) for v in values] for name, values in rows.slices.items()})}
