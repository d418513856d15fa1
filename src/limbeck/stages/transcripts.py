"""Transcripts before they are trained on: those that no path of frames spells, and those of a teacher that guesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from limbeck.core.findings import Finding
from limbeck.data.audio.transcription import BLANK, NONE, Transcription
from limbeck.models.audio.network import FrameNet
from limbeck.objectives.sequence.transcript_kd import TranscriptKD, heard
from limbeck.stages.label import stored_answers
from limbeck.stages.tables import labelled_first

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.data.rows import Rows
    from limbeck.models.student import Student
    from limbeck.stages.job import Job
    from limbeck.transfer.store import Store

_LOOKED_AT = 2000  # training rows
_BATCH = 64
_MANY = 0.05  # of the rows: worth a tip, not a note


def short_findings(data: Data, student: Student) -> list[Finding]:
    """LB139, where clips of the training rows have fewer frames of the student than their transcript needs."""
    tasks = {head: task for head, task in data.tasks.items() if isinstance(task, Transcription)}
    module = student.blank() if tasks else None
    if not isinstance(module, FrameNet):
        return []
    found = []
    for head in tasks:
        known = np.flatnonzero(data.train.label_mask[head])
        rows = data.train.take(known[np.unique(np.linspace(0, len(known) - 1, _LOOKED_AT).astype(int))])
        needed = frames_needed(rows.targets[head])
        short = frames_of(module, data, rows, head) < needed
        if short.any():
            found.append(_too_short(int(short.sum()), len(rows), head))
    return found


def frames_needed(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Fewest frames that spell each row of ids int64 [N, U] (-1 behind the last): a blank between equal ones."""
    there = targets != NONE
    again = (targets[:, 1:] == targets[:, :-1]) & there[:, 1:]
    return np.asarray(there.sum(1) + again.sum(1))


def frames_of(module: FrameNet, data: Data, rows: Rows, head: str) -> np.ndarray[Any, Any]:
    """Frames [N] with which a network answers each clip."""
    counts = []
    for first in range(0, len(rows), _BATCH):
        part = rows.take(np.arange(first, min(first + _BATCH, len(rows))))
        inputs = torch.from_numpy(np.ascontiguousarray(data.preprocess.encode(part.inputs), dtype=np.float32))
        with torch.no_grad():
            counts.append(module.masks(inputs)[head].sum(1).numpy())
    return np.concatenate(counts)


def _too_short(short: int, of: int, head: str) -> Finding:
    name = "" if head == "main" else f"{head}: "
    return Finding(
        "LB139", "tip" if short > _MANY * of else "note", f"{name}clips are too short for their transcript",
        f"{short} of {of} training clips that were looked at have fewer frames than their transcript needs",
        "CTC has no path that spells such a transcript: the clip is counted and teaches nothing",
        "choose a smaller subsample of the student, or mend transcripts that belong to other clips",
        {"short": short, "of": of},
    )  # fmt: skip


def heard_by(job: Job, store: Store) -> dict[str, dict[str, Any]]:
    """By task, of how many clips the teacher's transcript is learned from; nothing where no term leaves any out."""
    terms = [
        term
        for term in (each.objective for each in job.objective.terms)
        if isinstance(term, TranscriptKD) and term.min_confidence > 0
    ]
    found: dict[str, dict[str, Any]] = {}
    for term in terms:
        rows, labelled = labelled_first(job.pool)
        said = stored_answers(job, store, rows)[term.on]
        counts = np.array([_of_clip(logits, term) for logits in said], dtype=bool).reshape(-1, 2)
        found[term.on] = {
            "min_confidence": term.min_confidence,
            "per": term.per,
            "labelled": _counted(counts[:labelled]),
            "unlabelled": _counted(counts[labelled:]),
        }
        _say(job, term.on, found[term.on])
    return found


def _of_clip(logits: Any, term: TranscriptKD) -> tuple[bool, bool]:
    """Whether anything was heard in a clip, and whether it is learned from."""
    answers = torch.as_tensor(np.asarray(logits))[None]
    frames = torch.ones(answers.shape[:2], dtype=torch.bool)
    path, known = heard(answers, frames, term.min_confidence, term.per)
    return bool((path != BLANK).any()), bool(known.any())


def _counted(rows: np.ndarray[Any, Any]) -> dict[str, int]:
    return {
        "rows": len(rows),
        "silent": int((~rows[:, 0]).sum()),
        "unsure": int((rows[:, 0] & ~rows[:, 1]).sum()),
    }


def _say(job: Job, head: str, found: Mapping[str, Any]) -> None:
    dropped, rows = (sum(found[k][what] for k in ("labelled", "unlabelled")) for what in ("unsure", "rows"))
    job.console.say(
        f"transcripts of the teacher for {head}: {dropped} of {rows} clips are left out, it is less sure than "
        f"{found['min_confidence']:g} per {found['per']}"
    )
