"""Teachers that write texts: what limbeck trained, a network that was handed in, or any function of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.models.predict import told
from limbeck.models.text.decoding import Decoding, mean_logprobs, write
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.stages.taught import TaughtNetwork
from limbeck.stages.teachers import GivenTeacher, Teacher

if TYPE_CHECKING:
    from limbeck.models.student import Student

Array = np.ndarray[Any, Any]


class Writer(Protocol):
    """Writes a text for each source."""

    def write(self, sources: Sequence[str], how: Decoding, seed: int) -> list[str]:
        """The texts; `seed` decides what is drawn."""
        ...

    def logprobs(self, sources: Sequence[str], texts: Sequence[str]) -> Array:
        """Mean log-probability of a token of each text; NaN of a teacher that has none."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkWriter:
    """A network in memory."""

    network: Seq2SeqNetwork

    def write(self, sources: Sequence[str], how: Decoding, seed: int) -> list[str]:
        rows = torch.from_numpy(self.network.encoder.encode(list(sources)))
        return write(self.network, rows, how, seed)

    def logprobs(self, sources: Sequence[str], texts: Sequence[str]) -> Array:
        return mean_logprobs(self.network, torch.from_numpy(self.network.encoder.pairs(list(sources), list(texts))))


@dataclass(frozen=True, eq=False)
class FunctionWriter:
    """A function from a list of texts to a list of texts, such as a call of an API."""

    function: Any

    def write(self, sources: Sequence[str], how: Decoding, seed: int) -> list[str]:
        name = f"the teacher {getattr(self.function, '__qualname__', type(self.function).__name__)}"
        with told(name, list(sources)):
            said = self.function(list(sources))
        if not isinstance(said, list | tuple | np.ndarray) or len(said) != len(sources):
            got = f"{len(said)} answers" if hasattr(said, "__len__") else type(said).__name__
            raise LimbeckError(
                f"expected {name} to give one text for each of {len(sources)} sources, got {got}",
                "it takes a list of texts and returns a list of texts of the same length",
            )
        return list(said)

    def logprobs(self, sources: Sequence[str], texts: Sequence[str]) -> Array:
        return np.full(len(texts), np.nan, dtype=np.float32)


def writer_of(teacher: Teacher) -> Writer:
    """What writes for a teacher that is ready; raises ConfigError for one that writes no texts."""
    if isinstance(teacher, TaughtNetwork):
        network = teacher.members_taught[0].model
        assert isinstance(network, Seq2SeqNetwork)
        return NetworkWriter(network)
    refuse_silent(teacher)
    assert isinstance(teacher, GivenTeacher)
    if isinstance(teacher.model, Seq2SeqNetwork):
        return NetworkWriter(teacher.model)
    return FunctionWriter(teacher.model)


def refuse_silent(teacher: Teacher) -> None:
    """Raise ConfigError for a teacher that writes no texts, before any work."""
    from torch import nn

    if isinstance(teacher, TaughtNetwork):
        if teacher.members > 1:
            raise ConfigError(
                f"expected one network that writes texts as the teacher, got {teacher.members} members",
                "texts cannot be averaged: leave members at 1",
            )
        return
    if isinstance(teacher, GivenTeacher):
        model = teacher.model
        plain = isinstance(model, nn.Module) or hasattr(model, "predict")
        if isinstance(model, Seq2SeqNetwork) or (callable(model) and not plain):
            return
        raise ConfigError(
            f"expected a teacher that writes texts, got {type(model).__name__}",
            "give a Seq2SeqNetwork, hf:FOLDER of a sequence-to-sequence model, or a function from a list of texts to a "
            "list of texts",
        )
    raise ConfigError(
        f"expected a teacher that writes texts, got a teacher of kind {teacher.describe()['kind']}",
        "give a Seq2SeqNetwork, hf:FOLDER of a sequence-to-sequence model, seq2seq(...) to train one first, or a "
        "function from a list of texts to a list of texts",
    )


def same_vocabulary(network: Any, student: Student) -> bool:
    """Whether the logits of a teacher stand for the tokens that those of a student stand for."""
    from limbeck.models.text.pairs import PairEncoder
    from limbeck.models.text.seq2seq import vocabulary_of

    assert isinstance(student.encoder, PairEncoder)
    return vocabulary_of(network) == vocabulary_of(student.encoder)


def network_of(teacher: Teacher) -> Seq2SeqNetwork | None:
    """The network behind a teacher; None where there is only a function."""
    if isinstance(teacher, TaughtNetwork):
        found = teacher.members_taught[0].model
        return found if isinstance(found, Seq2SeqNetwork) else None
    model = teacher.model if isinstance(teacher, GivenTeacher) else None
    return model if isinstance(model, Seq2SeqNetwork) else None
