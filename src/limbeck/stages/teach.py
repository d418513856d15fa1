"""The teach stage: the teacher is trained, fitted or looked at, and made ready to answer."""

from __future__ import annotations

from limbeck.core.files import make_folder, write_json
from limbeck.stages.bases import started
from limbeck.stages.job import Job

FOLDER = "teacher"
FACTS = "teacher.json"


def teach(job: Job) -> None:
    """Make the teacher ready; what it needs lies in teacher/, its fingerprint in run.json."""
    inputs = {
        "teacher": job.teacher.describe(),
        "data": job.data.fingerprint,
        "train": job.train,
        "seed": job.settings.seed,
    }
    stage = job.run.stage("teach", inputs, outputs=(FOLDER,))
    folder = job.run.path(FOLDER)
    if stage.done:
        job.add(job.teacher.teach(job, folder))  # reads what stands there
    else:
        with stage:
            make_folder(folder)
            job.add(job.teacher.teach(job, folder))
            write_json(folder / FACTS, {"fingerprint": job.teacher.fingerprint(), **job.teacher.describe()})
    job.run.fingerprints(teacher=job.teacher.fingerprint())
    job.student = started(job.student, job.teacher)
