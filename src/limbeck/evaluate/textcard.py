"""What the card of a task says where answers are texts: the copied source, likeness to the teacher, examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.evaluate import fidelity, stats
from limbeck.evaluate.answers import Array
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.quality import METRICS, constant_answer
from limbeck.evaluate.show import as_json

EXAMPLES = 8


def copied(e: Evidence) -> tuple[Array, str]:
    """The trivial answers [N], the sources as they are (empty texts where these are not known), and what they are."""
    if e.sources is None:
        return constant_answer(e.task, e.y, len(e.y)), "empty texts"
    return e.sources, "copied sources"


def text_fidelity(e: Evidence, arm: str) -> dict[str, Any]:
    """How often an arm writes the very text of the teacher, and its BLEU against these texts (mean over seeds)."""
    teacher, own = e.arms[TEACHER], e.arms[arm]
    same = fidelity.agreement_rows(e.task, teacher, own)
    bleu = METRICS[e.task.kind]["bleu"]
    against = [bleu(own[s], teacher[t], e.weights) for t, s in fidelity.pairs(teacher, own)]
    return {
        "agreement": as_json(stats.arm(same, e.groups, e.weights)), "kl": None, "rows": None,
        "bleu": float(np.mean(against)),
    }  # fmt: skip


def examples(e: Evidence) -> list[dict[str, str]]:
    """Some test rows, spread evenly: source, reference, and what the first seed of each arm wrote."""
    places = np.unique(np.linspace(0, len(e.y) - 1, min(EXAMPLES, len(e.y))).astype(int))
    rows = []
    for place in places:
        row = {} if e.sources is None else {"source": str(e.sources[place])}
        row["reference"] = str(e.y[place])
        row |= {arm: str(e.arms[arm][0, place]) for arm in (TEACHER, STUDENT, CONTROL) if arm in e.arms}
        rows.append(row)
    return rows
