"""What a run leaves behind, read from its folder: verdict, numbers, findings, and the student to use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.files import read_json
from limbeck.core.findings import Finding
from limbeck.core.run import Run, find_run
from limbeck.evaluate.scorecard import Range, Scorecard
from limbeck.report.folder import scorecard_of
from limbeck.report.terminal import summary
from limbeck.stages.order import check_stage
from limbeck.stages.writing_student import WritingStudent


class DistillRun:
    """A run folder as a value. `print(run)` is the summary of the terminal."""

    def __init__(
        self,
        folder: str | Path,
        findings: tuple[Finding, ...] = (),
        student: Any = None,
        go_on: Callable[[str], DistillRun] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._run = Run.read(self.folder)
        self._findings = findings
        self._student = student
        self._go_on = go_on

    def __repr__(self) -> str:
        return f"DistillRun({str(self.folder)!r}, {self.status}, verdict={self.verdict!r})"

    def __str__(self) -> str:
        card = self.scorecard
        return summary(card) if card else repr(self)

    @property
    def status(self) -> str:
        """running, partial, done, failed or interrupted."""
        return self._run.status

    @property
    def scorecard(self) -> dict[str, Any]:
        """The content of scorecard.json, with "int8" where that was exported; empty before the run was evaluated."""
        path = self.folder / "scorecard.json"
        return Scorecard(scorecard_of(self.folder)).data if path.is_file() else {}

    def _card(self) -> Scorecard:
        path = self.folder / "scorecard.json"
        if not path.is_file():
            raise ConfigError(f"expected an evaluated run at {self.folder}, it is {self.status}", "run it to its end")
        return Scorecard(scorecard_of(self.folder))

    @property
    def verdict(self) -> str | None:
        """One of helped, no reliable difference and hurt; None under three seeds or before evaluation."""
        return self.scorecard.get("verdict")

    @property
    def retention(self) -> Range | None:
        """Student metric / teacher metric, with its interval."""
        return self._card().retention

    @property
    def gain(self) -> Range | None:
        """Student metric - control metric, paired, with its interval."""
        return self._card().gain

    @property
    def agreement(self) -> Range | None:
        """How often student and teacher decide alike."""
        return self._card().agreement

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that a check found."""
        return self._card().checks if self.scorecard else self._findings

    checks = findings

    @property
    def student(self) -> Any:
        """The student of the seed that validated best, as you wrote it: a torch module in evaluation mode.

        A Keras student is a Keras model that takes raw rows, its standardisation inside.
        """
        from limbeck.models.keras_network import KerasNetwork
        from limbeck.models.parts.student import PartsStudent
        from limbeck.models.saved import config_of, load

        seed = self._run.stage("train", {}).facts.get("best_seed")
        if seed is None:
            raise ConfigError(
                f"expected a trained student in {self.folder}, it is {self.status}", "run `limbeck train`"
            )
        folder = self.folder / "student" / f"seed-{seed}"
        own = self._student is None or self._student.encoder is not None
        own = own or (isinstance(self._student, PartsStudent) and self._student.kind == "name")
        like = None if own else self._student.finish(self._student.build(seed))
        found = load(folder, like=like)
        if not isinstance(found, KerasNetwork):
            return found
        found.takes = read_json(config_of(folder))["takes"]
        return found.whole()

    @property
    def exported(self) -> Path:
        """Where the exported student lies, once it does."""
        return self.folder / "export" / "student.onnx"

    def predict(self, inputs: Any, head: str | None = None) -> Any:
        """Classes, labels or values for raw rows, by the exported student; of words a list of tags for each row, of a
        task that writes texts the student's texts.
        """
        return self.answering().predict(inputs, head)

    def predict_proba(self, inputs: Any, head: str | None = None) -> Any:
        """Probabilities [N, C] for raw rows, by the exported student."""
        return self.answering().predict_proba(inputs, head)

    def embed(self, texts: Any) -> Any:
        """Embeddings [N, D] of texts, by the exported student of a task on embeddings."""
        return self.answering().embed(texts)

    def answers(self, inputs: Any) -> dict[str, Any]:
        """Logits [N, C], values [N, K] or embeddings of both texts [N, 2·D] of every task for raw rows, by the exported
        student; of words a list of logits [W, C].
        """
        found: dict[str, Any] = self.answering().answers(inputs)
        return found

    def until(self, stage: str) -> DistillRun:
        """Go on up to and including a stage; what is done is skipped.

        Raises ConfigError for a run that was made from Python by another process: only that script has its models.
        """
        check_stage(stage)
        if self._go_on is not None:
            return self._go_on(stage)
        from limbeck.recipe import Recipe
        from limbeck.stages.recipes import run_recipe

        return run_recipe(Recipe.from_run(self.folder), out=self.folder, until=stage)

    def answering(self) -> Any:
        """What answers raw rows: the exported student, or the network of a run that writes texts."""
        from limbeck.compress.onnx_model import OnnxStudent

        writes = self._run.stage("train", {}).facts.get("writes")
        if writes is not None and not self.exported.is_file():
            return WritingStudent(self.student, **writes)
        if not self.exported.is_file():
            raise ConfigError(f"expected an exported student in {self.folder}, there is none", "run `limbeck export`")
        return OnnxStudent(self._run.require("export/student.onnx"))

    def report(self, path: str | Path | None = None) -> tuple[Path, ...]:
        """Write the report to a path ending in .html or .md; without one into the run folder."""
        from limbeck.report.write import write_report

        return write_report(self.folder, path)

    def export(self, path: str | Path | None = None, *, int8: bool = False) -> Path:
        """Copy the exported student, whose parity was proven when it was written, and the tokenizer of one of text.

        Without a path it stays where it is. `int8` copies the quantised one instead; what it costs stands in the
        scorecard. Raises NotSupported for a student that writes texts.
        """
        from limbeck.compress.tokenizer import ship

        if isinstance(self.answering(), WritingStudent):
            raise NotSupported(
                "expected an exported student, this one writes texts and was not exported",
                "run it with `export: {onnx: true}` (onnx=True in Python), or load "
                f"{self.folder / 'student'}/seed-N in transformers (AutoModelForSeq2SeqLM)",
            )
        source = self.exported.with_name("student.int8.onnx") if int8 else self.exported
        if not source.is_file():
            raise ConfigError(
                f"expected an int8 student in {self.folder}, there is none",
                "run it with `export: {int8: true}` (int8=True in Python)",
            )
        if path is None:
            return source
        return ship(self._run.require(f"export/{source.name}"), Path(path))


def load(where: str | Path | None = None) -> DistillRun:
    """Open a run to use its student: a folder, the name of one in runs/, or (None) the newest."""
    return DistillRun(find_run(where))
