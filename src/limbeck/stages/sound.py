"""How fast a model hears: seconds of work for a second of sound."""

from __future__ import annotations

from typing import Any

from limbeck.data.rows import Rows


def with_real_time(cost: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """A cost with `real_time_factor`, where rows are clips: the time of one call over the length of the first of them.

    The cost was measured on these rows; below 1 a model keeps up with a speaker, with one thread.
    """
    if rows.kind != "audio" or not len(rows) or not cost.get("latency"):
        return cost
    seconds = len(rows.inputs[0]) / rows.rate
    return cost | {"real_time_factor": cost["latency"]["1"]["p50_ms"] / 1000 / seconds}
