"""The export stage: the best student as one ONNX file that takes raw rows, proven equal to the student."""

from __future__ import annotations

from typing import Any

from limbeck.core.files import write_json
from limbeck.core.run import Stage
from limbeck.data.generation import generation_in
from limbeck.stages.int8 import int8
from limbeck.stages.job import Job, metric_identity
from limbeck.stages.pixels import few_for
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
        if generation_in(job.data.tasks) is not None:
            _export_writer(job, stage, module, seed)
            return
        path = job.run.path(FOLDER, NAME)
        test = few_for(job.test, job.data.tasks, len(job.test))
        facts: dict[str, Any] = {"run": job.settings.name, "seed": seed}
        export_onnx(module, job.data.preprocess, job.data.tasks, path, example=job.test.inputs, metadata=facts)
        parity = check_parity(
            path, module, job.data.preprocess, job.data.tasks, test.inputs, tolerance=job.settings.tolerance
        )
        write_json(job.run.path(FOLDER, PARITY), parity)
        if job.settings.int8:
            stage.note(**int8(job, path, seed))
        stage.note(onnx_bytes=path.stat().st_size, rows=parity["rows"], held=parity["held"])


def _export_writer(job: Job, stage: Stage, module: Any, seed: int) -> None:
    """The same of a student that writes texts: encoder and decoder, and texts that are equal."""
    from limbeck.compress.onnx_writer import decoder_of
    from limbeck.compress.writer_export import check_writer, export_writer

    path, how = job.run.path(FOLDER, NAME), job.settings.writing.testing
    (head, task), *_ = job.data.tasks.items()
    columns = [str(name) for name in job.test.inputs.columns]  # type: ignore[union-attr]
    export_writer(
        module, path, columns=columns, head=head, names=task.names, max_length=how["max_length"], tokens=how["tokens"],
        metadata={"run": job.settings.name, "seed": seed},
    )  # fmt: skip
    parity = check_writer(path, module, job.test.inputs, tolerance=job.settings.tolerance)
    write_json(job.run.path(FOLDER, PARITY), parity)
    size = path.stat().st_size + decoder_of(path).stat().st_size
    stage.note(onnx_bytes=size, rows=parity["rows"], held=parity["held"])
