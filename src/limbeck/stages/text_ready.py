"""What cannot work where answers are texts, looked at before any work."""

from __future__ import annotations

from typing import Any

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.audio.writer import ClipPairs
from limbeck.models.student import Student
from limbeck.models.text.ground import Ground
from limbeck.models.text.written import written_by
from limbeck.objectives.base import Sum
from limbeck.signals import Needs
from limbeck.stages.job import Settings
from limbeck.stages.taught import TaughtNetwork
from limbeck.stages.teachers import Teacher
from limbeck.stages.text_training import asks_live
from limbeck.stages.writers import network_of, refuse_silent, same_vocabulary


def refuse_generation(settings: Settings, objective: Sum, student: Student, teacher: Teacher, texts: Any) -> None:
    """Refuse what cannot work for a task that writes texts, before any work; raises ConfigError or NotSupported."""
    if settings.int8:
        raise ConfigError(
            f"expected no int8 of a student that writes texts ({student.label}), limbeck makes none",
            "leave export.int8 out; export.onnx: true writes it in fp32",
        )
    if settings.onnx is True and settings.writing.test_beams > 1:
        raise ConfigError(
            "expected test_beams: 1 for an exported student, which searches greedily, got "
            f"{settings.writing.test_beams}",
            "leave export.onnx at auto, or writing.test_beams at 1",
        )
    if settings.onnx is True and isinstance(student.encoder, ClipPairs):
        raise NotSupported(
            f"expected no ONNX file of a student that writes what it hears ({student.label}), limbeck makes none",
            "leave export.onnx at auto; student/seed-N loads in transformers' AutoModelForSpeechSeq2Seq",
        )
    if settings.label_dtype != "fp32":
        raise ConfigError(
            f"expected texts to be written in fp32, got label.dtype {settings.label_dtype}",
            "leave label.dtype (label_dtype in Python) at fp32",
        )
    refuse_silent(teacher)
    theirs = None
    if isinstance(teacher, TaughtNetwork):
        theirs = written_by(teacher.what, student.kinds, texts, Ground()).encoder
    elif (network := network_of(teacher)) is not None:
        theirs = network.encoder
    for term in objective:
        if getattr(term.objective, "temperature", None) == "auto":
            raise ConfigError(
                "expected a temperature as a number for texts, got auto", "write for example KD(temperature=1)"
            )
    if not asks_live(objective):
        return
    names = ", ".join(t.objective.name.upper() for t in objective if t.objective.teacher_needs() != Needs())
    if theirs is None:
        raise NotSupported(
            f"expected a teacher with logits for {names}, got a function that only writes texts",
            "train on its texts: objective SequenceKD",
        )
    needs = objective.teacher_needs()
    if settings.writing.topk is not None and ("topk" not in needs.forms or needs.taps or needs.attention):
        raise ConfigError(
            f"expected losses that take the most probable tokens alone with topk: {settings.writing.topk}, got {names}",
            "leave topk out: the teacher then runs beside the student; or use KD",
        )
    if not same_vocabulary(theirs, student):
        raise ConfigError(
            f"expected teacher and student to share a vocabulary for {names}, which compares them token by token, got "
            f"{len(theirs.tokenizer)} and {len(student.encoder.tokenizer)} tokens that differ",  # type: ignore[union-attr]
            "give the student the teacher's tokenizer, seq2seq(tokenizer='FOLDER', ...), or train on the teacher's "
            "texts: objective SequenceKD",
        )
