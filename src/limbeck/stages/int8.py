"""The int8 student of a run: quantised from the exported one, measured on all test rows, written down beside it.

The evaluate stage is over when a student is exported. So what is measured here stands in export/int8.json, which
belongs to the export stage; whoever reads a scorecard through the run folder finds it there as "int8".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.files import write_json
from limbeck.core.findings import Finding
from limbeck.evaluate.evidence import CONTROL, STUDENT, TEACHER, Evidence
from limbeck.evaluate.show import finite
from limbeck.evaluate.variant import lost, slower, variant_card
from limbeck.stages import answers
from limbeck.stages.job import Job
from limbeck.stages.judged import all_judged
from limbeck.stages.words import Truth

NAME, MEASURED = "student.int8.onnx", "int8.json"
NOTHING = "none of its operators has weights that dynamic int8 quantises (MatMul, Gemm, embeddings)"
_BATCHES = {1: 20, 64: 3}  # rows of a call -> calls before the clock runs


def int8(job: Job, exported: Path, seed: int) -> dict[str, Any]:
    """Quantise an exported student, measure it on the test rows and write int8.json; the facts of it."""
    from limbeck.compress.onnx_model import OnnxStudent
    from limbeck.compress.quantise import quantise

    path = exported.with_name(NAME)
    tensors = quantise(exported, path)
    found: dict[str, Any] = {"schema": 1, "seed": seed, "tensors": tensors, "reason": None if tensors else NOTHING}
    found["bytes"] = {"float32": exported.stat().st_size, "int8": path.stat().st_size if tensors else None}
    findings: list[Finding] = []
    if tensors:
        quick, plain = OnnxStudent(path, threads=1), OnnxStudent(exported, threads=1)
        found["latency"] = {"float32": _latency(job, plain), "int8": _latency(job, quick)}
        found["tasks"] = _cards(job, _judged(job, quick), seed)
        times = [found["latency"][kind]["1"]["p50_ms"] for kind in ("int8", "float32")]
        judged = [slower(*times), *(lost(head, card) for head, card in found["tasks"].items())]
        findings = [f for f in judged if f is not None and f.code not in job.settings.ignore]
    found["findings"] = [finding.to_json() for finding in findings]
    for finding in findings:
        job.console.finding(finding)
    write_json(exported.with_name(MEASURED), finite(found))
    return {"int8_bytes": found["bytes"]["int8"], "int8_tensors": tensors}


def _judged(job: Job, student: Any) -> dict[str, Any]:
    """What an exported student says of the test rows, as it is judged; of a task of words for all words."""
    said, corpus = student.answers(job.test.inputs), None
    for head in (head for head, task in job.data.tasks.items() if task.kind == "tagging"):
        said[head] = np.concatenate(said[head])
    if job.data.corpus is not None:
        corpus = student.answers(job.data.corpus.inputs)
    training = {  # a kind that reads its answers itself is exported in training space
        head: said[head] if task.judged_as else task.to_training(said[head]) for head, task in job.data.tasks.items()
    }
    return all_judged(job.data.tasks, training, job.test, corpus)


def _cards(job: Job, said: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Each task: the int8 student beside the student that it was made from, as that one was evaluated."""
    test, data = job.test, job.data
    original = answers.read(job.run, answers.TEST, STUDENT, (seed,), test)
    teacher = answers.read(job.run, answers.TEST, TEACHER, (0,), test)
    cards = {}
    for head, task in data.tasks.items():
        truth = Truth.of(test, head, task, data.corpus)
        evidence = Evidence(
            task=task.outcome,
            y=truth.y,
            arms={STUDENT: said[head][None], CONTROL: original[head], TEACHER: teacher[head]},
            mask=truth.labelled,
            weights=truth.weight,
            groups=truth.groups,
            sentences=truth.sentences,
            metric=data.metric if head == next(iter(data.tasks)) else None,
        )
        cards[head] = variant_card(evidence)
    return cards


def _latency(job: Job, student: Any) -> dict[str, Any]:
    """Time of the graph alone with one thread, its inputs made before, by the rows of a call."""
    from limbeck.evaluate.cost import latency

    timed = {}
    for size, warm_up in _BATCHES.items():
        feeds = student.feeds(job.test.take(np.arange(size) % len(job.test)).inputs)
        timed[str(size)] = latency(lambda feeds=feeds: student.session.run(None, feeds), warm_up=warm_up)  # type: ignore[misc]
    return timed
