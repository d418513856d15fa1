"""The test clips once more with white noise added: how fast teacher, student and control get worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.audio.views import add_noise
from limbeck.data.counter import row_words
from limbeck.data.rows import Rows
from limbeck.evaluate import stats
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.show import as_json
from limbeck.evaluate.taskcard import row_scores
from limbeck.signals import Needs
from limbeck.stages import answers
from limbeck.stages.answered import AnsweredTeacher
from limbeck.stages.label import ask
from limbeck.stages.per_task import PerTaskTeacher
from limbeck.stages.several import EnsembleTeacher, TableTeacher
from limbeck.stages.words import lengths_of

if TYPE_CHECKING:
    from limbeck.data.data import Data
    from limbeck.stages.job import Job

_ARMS = (STUDENT, CONTROL)
_CHANNEL = 7001  # of the counter: noise that no view draws


def refuse_noise(noise: tuple[float, ...], data: Data, folds: int | None = None) -> None:
    """Raise ConfigError where noise is asked for rows that are no clips, at a ratio that is none, or with folds."""
    if not noise:
        return
    if folds is not None:
        raise ConfigError(
            "expected noise or folds, got both: what is asked again has seen these rows in training",
            "leave evaluate.noise out, or give test rows in place of folds",
        )
    if data.train.kind != "audio":
        raise ConfigError(
            f"expected clips of sound to add noise to, got rows of kind {data.train.kind}", "leave evaluate.noise out"
        )
    if not np.isfinite(noise).all() or len(set(noise)) < len(noise):
        raise ConfigError(
            f"expected different signal-to-noise ratios in dB, got {list(noise)}", "for example [20, 10, 5, 0]"
        )


def noisy(rows: Rows, snr: float, seed: int) -> Rows:
    """The same clips with white noise at `snr` dB, a function of seed and clip; keys and labels are those of before."""
    words = row_words(seed, rows.keys, np.zeros(len(rows), dtype=np.int64), _CHANNEL)
    clips: Any = rows.inputs
    return replace(rows, inputs=add_noise(clips, words, snr))


def asks_again(teacher: Any) -> bool:
    """Whether a teacher can answer rows that it has not seen: a table and stored answers cannot."""
    if isinstance(teacher, EnsembleTeacher):
        return all(asks_again(part) for part, _ in teacher.members)
    if isinstance(teacher, PerTaskTeacher):
        return all(asks_again(part) for part in teacher.parts.values())
    return not isinstance(teacher, TableTeacher | AnsweredTeacher)


def ask_in_noise(job: Job) -> None:
    """Let the teacher, where it can, and every student and control answer the noisy clips once."""
    from limbeck.stages.scoring import predictions
    from limbeck.stages.train import rebuilt

    if not job.settings.noise:
        return
    stage = job.run.stage("noise", _inputs(job), outputs=_files(job))
    if stage.done:
        return
    with stage:
        source = job.teacher.source(job, Needs(outputs=tuple(job.data.tasks))) if TEACHER in _asked(job) else None
        for snr in job.settings.noise:
            rows = noisy(job.test, snr, job.settings.seed)
            counts = lengths_of(rows, job.data.tasks)
            if source is not None:
                answers.write(job.run, _split(snr), TEACHER, 0, rows, ask(job, source, rows), counts)
            for arm in _ARMS:
                for seed in job.seeds:
                    module = rebuilt(job.student, seed, job.run.path(arm, f"seed-{seed}"))
                    answers.write(job.run, _split(snr), arm, seed, rows, predictions(job, module, rows), counts)


def answers_in_noise(job: Job) -> dict[float, dict[str, Mapping[str, Any]]]:
    """What was answered, by signal-to-noise ratio and arm."""
    return {
        snr: {arm: answers.read(job.run, _split(snr), arm, seeds, job.test) for arm, seeds in _asked(job).items()}
        for snr in job.settings.noise
    }


def noise_card(e: Evidence, snr: float) -> dict[str, Any]:
    """One line: {"snr", "rows", "arms" {arm: interval}, "gain"}."""
    e = e.prepared()
    metric = e.chosen_metric()
    scores = {arm: row_scores(metric, said, e) for arm, said in e.arms.items()}
    arms = {}
    for arm, rows in scores.items():
        value = np.mean([metric(seed, e.y, e.weights) for seed in e.arms[arm]])
        arms[arm] = as_json(replace(stats.arm(rows, e.groups, e.weights), value=float(value)))
    gained = stats.gain(scores[STUDENT], scores[CONTROL], e.groups, e.weights)
    return {"snr": float(snr), "rows": len(e.y), "arms": arms, "gain": as_json(gained)}


def _asked(job: Job) -> dict[str, tuple[int, ...]]:
    taught: dict[str, tuple[int, ...]] = {TEACHER: (0,)} if asks_again(job.teacher) else {}
    return taught | dict.fromkeys(_ARMS, job.seeds)


def _split(snr: float) -> str:
    return f"noise-{snr:g}"


def _files(job: Job) -> tuple[str, ...]:
    return tuple(
        answers.file_name(_split(snr), arm, seed)
        for snr in job.settings.noise
        for arm, seeds in _asked(job).items()
        for seed in seeds
    )


def _inputs(job: Job) -> dict[str, Any]:
    return {
        "train": job.run.stage("train", {}).fingerprint,
        "label": job.run.stage("label", {}).fingerprint,
        "noise": list(job.settings.noise),
        "seed": job.settings.seed,
    }
