"""The export stage: the best student as one ONNX file that takes raw rows, proven equal to the student."""

from __future__ import annotations

from typing import Any

from limbeck.core.files import write_json
from limbeck.stages.int8 import int8
from limbeck.stages.job import Job, metric_identity
from limbeck.stages.train import best_seed, load_student

FOLDER, NAME, PARITY = "export", "student.onnx", "parity.json"


def export(job: Job) -> None:
    """Write export/student.onnx of the seed that validated best; raises ChecksFailed where parity does not hold."""
    from limbeck.compress.export import export_onnx
    from limbeck.compress.parity import check_parity

    seed = best_seed(job)
    inputs = {"train": job.run.stage("train", {}).fingerprint, "seed": seed, "tolerance": job.settings.tolerance}
    if job.settings.int8:
        inputs |= {"int8": True, "metric": metric_identity(job.data), "ignore": list(job.settings.ignore)}
    stage = job.run.stage("export", inputs, outputs=(FOLDER,))
    if stage.done:
        return
    with stage:
        module = load_student(job, seed)
        path = job.run.path(FOLDER, NAME)
        facts: dict[str, Any] = {"run": job.settings.name, "seed": seed}
        export_onnx(module, job.data.preprocess, job.data.tasks, path, example=job.test.inputs, metadata=facts)
        parity = check_parity(
            path, module, job.data.preprocess, job.data.tasks, job.test.inputs, tolerance=job.settings.tolerance
        )
        write_json(job.run.path(FOLDER, PARITY), parity)
        if job.settings.int8:
            stage.note(**int8(job, path, seed))
        stage.note(onnx_bytes=path.stat().st_size, rows=parity["rows"], held=parity["held"])
