"""What students of text are made from in a run: its training texts and its teacher, untaught first, then taught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.parts import Parts
from limbeck.data.generation import generation_in
from limbeck.data.ondisk import OnDisk
from limbeck.models.audio.derive import sound_student
from limbeck.models.audio.network import for_rows
from limbeck.models.audio.pretrained import PretrainedSound
from limbeck.models.audio.writer import refuse_other_sources
from limbeck.models.parts.spec import is_parts
from limbeck.models.parts.student import parts_student
from limbeck.models.student import Student
from limbeck.models.text.chain import is_chain
from limbeck.models.text.ground import Ground
from limbeck.models.text.network import Tokenised
from limbeck.models.text.sentences import SentenceNetwork, is_sentence_transformer
from limbeck.models.text.seq2seq import NAME as WRITER
from limbeck.models.zoo import ZOO
from limbeck.stages.ragged import for_ragged

if TYPE_CHECKING:
    from torch import nn

    from limbeck.data.data import Data
    from limbeck.stages.teachers import Teacher


def ground_of(data: Data, teacher: Teacher | None = None) -> Ground:
    """The training texts of a run, and its teacher as it is before it is taught."""

    def rows() -> Any:
        if data.train.kind != "text":
            raise ConfigError(
                f"expected rows of text for a student of text, got rows of kind {data.train.kind}",
                "give columns of texts (one, or two for pairs), or a student that takes numbers",
            )
        given: Any = data.train.inputs
        return given.sample() if isinstance(given, OnDisk) else given

    if teacher is None:
        return Ground(rows)
    return Ground(rows, cache(lambda: _untaught(teacher, data)), named(teacher))


def student_of(what: Any, data: Data, teacher: Teacher | None = None) -> Student:
    """The student of a run, checked as far as it can be before the teacher is taught."""
    sizes = {head: task.size for head, task in data.tasks.items()}
    kinds = {head: task.form for head, task in data.tasks.items()}
    if isinstance(data.train.inputs, Parts):
        return parts_student(what, data.preprocess, lambda: data.train.inputs, sizes, kinds)  # type: ignore[arg-type, return-value]
    if is_parts(what):
        raise ConfigError(
            f"expected rows of several parts for the network {what}, got rows of kind {data.train.kind}",
            "give the parts of a row by name (columns.inputs: {text: [...], table: [...]}), or a network such as mlp",
        )
    writes = generation_in(data.tasks) is not None
    if data.train.kind == "audio" and not writes and isinstance(what, str) and is_chain(what, tuple(ZOO)):
        names = {head: task.names if task.size else () for head, task in data.tasks.items()}
        judged = {head: task.kind for head, task in data.tasks.items()}
        untaught = None if teacher is None else cache(lambda: _untaught(teacher, data))
        who = "none" if teacher is None else named(teacher)
        made = sound_student(what, data.train.rate, names, judged, data.preprocess.shape, untaught, who)
        return replace(made, kinds=kinds)
    if data.preprocess.ragged:
        what = for_ragged(what)
    what = for_rows(what, data.train.rate, {head: task.kind for head, task in data.tasks.items()})
    made = Student.of(
        what, data.preprocess.shape, sizes, kinds=kinds, ground=ground_of(data, teacher), texts=data.texts
    )
    if writes:
        refuse_other_sources(made.encoder, data.train.kind, data.train.rate, made.label)
    return made


def started(student: Student, teacher: Teacher) -> Student:
    """A student that is made of the run's teacher, now that this is taught; any other as it is."""
    if not student.wants_teacher:
        return student
    network = taught_network(teacher)
    assert network is not None, "teach comes first"
    return student.taught_by(network)


def taught_network(teacher: Teacher) -> Tokenised | PretrainedSound | None:
    """The network of text or sound of a teacher that is ready to answer (the first of several members), if any."""
    from limbeck.stages.taught import TaughtNetwork
    from limbeck.stages.teachers import GivenTeacher

    if isinstance(teacher, TaughtNetwork):
        teacher = teacher.members_taught[0] if teacher.members_taught else teacher
    model = teacher.model if isinstance(teacher, GivenTeacher) else None
    return model if isinstance(model, Tokenised | PretrainedSound) else None


@contextmanager
def of_the_teacher() -> Iterator[None]:
    """What is refused here of a network that is trained as a teacher is said of the teacher."""
    try:
        yield
    except LimbeckError as error:
        raise type(error)(error.what.replace("the student ", "the teacher "), error.todo) from error


def taught_of(what: Any, data: Data) -> Student:
    """A network that is trained as a teacher."""
    with of_the_teacher():
        return student_of(what, data)


def looked_at(what: Any, data: Data) -> nn.Module:
    """A network that is going to be trained as a teacher, of the same shapes."""
    with of_the_teacher():
        return student_of(what, data).blank()


def _untaught(teacher: Teacher, data: Data) -> Any:
    from limbeck.stages.taught import TaughtNetwork

    if isinstance(teacher, TaughtNetwork):
        if isinstance(teacher.what, Tokenised):
            return teacher.what
        if is_sentence_transformer(teacher.what):
            return SentenceNetwork.of(teacher.what)
        if isinstance(teacher.what, str) and (is_chain(teacher.what) or teacher.what.partition("(")[0] == WRITER):
            network = looked_at(teacher.what, data)
            return network if isinstance(network, Tokenised | PretrainedSound) else None
    return taught_network(teacher)


def named(teacher: Teacher) -> str:
    """A teacher in a word: the name of the network that is taught, else a type."""
    what = getattr(teacher, "what", None) or getattr(teacher, "model", None)
    return what if isinstance(what, str) else type(teacher if what is None else what).__name__
