"""How far answers in half precision are from those in full: numbers, decisions, and what a student would see."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax

Array = np.ndarray[Any, Any]


def differences(exact: Array, found: Array, kind: str) -> dict[str, Any]:
    """Measures of answers [N, C] beside the exact ones (logits, natural units of numbers).

    rows, largest (absolute difference of a number), and of classes and labels agreement (share of equal decisions) and
    kl, the mean KL(exact || found) of a row in nats (summed over labels).
    """
    if exact.dtype == np.uint8:  # masks: all that is kept of them is decisions
        return {"rows": len(exact), "agreement": float(np.mean(exact == found))}
    measured: dict[str, Any] = {"rows": len(exact), "largest": float(np.abs(exact - found).max(initial=0.0))}
    right, left = exact.astype(np.float64), found.astype(np.float64)
    if kind in ("classification", "tagging"):
        measured["agreement"] = float(np.mean(right.argmax(1) == left.argmax(1)))
        logs = log_softmax(right, axis=1)
        measured["kl"] = float((np.exp(logs) * (logs - log_softmax(left, axis=1))).sum(1).mean())
    elif kind == "multilabel":
        measured["agreement"] = float(np.mean((right > 0) == (left > 0)))
        yes = expit(right) * (log_expit(right) - log_expit(left))
        no = expit(-right) * (log_expit(-right) - log_expit(-left))
        measured["kl"] = float((yes + no).sum(1).mean())
    return measured


def in_words(measured: dict[str, Any]) -> str:
    """The measures as a sentence."""
    if "largest" not in measured:
        return f"{measured['agreement']:.3%} of the pixels are decided alike ({measured['rows']} images)"
    said = f"numbers differ by at most {measured['largest']:.2g}"
    if "agreement" in measured:
        said += f", {measured['agreement']:.1%} of decisions are the same, KL {measured['kl']:.1e}"
    return f"{said} ({measured['rows']} rows)"
