"""The kinds of task by name: a new one is a class in a file of its own (see `TaskKind`) and a line here.

A kind outside of limbeck needs no line: it is named by its place, "package.module:Class".
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest

if TYPE_CHECKING:
    from limbeck.data.task import TaskKind

KINDS = {
    "classification": "limbeck.data.tasks:Classification",
    "multilabel": "limbeck.data.tasks:MultiLabel",
    "regression": "limbeck.data.regression:Regression",
    "similarity": "limbeck.data.similarity:Similarity",
    "retrieval": "limbeck.data.retrieval:Retrieval",
    "tagging": "limbeck.data.tagging:Tagging",
    "transcription": "limbeck.data.audio.transcription:Transcription",
    "generation": "limbeck.data.generation:Generation",
}
GUESSED = ("classification", "multilabel", "regression")  # what labels alone can show


def kind_of(name: str) -> type[TaskKind]:
    """The class of a kind, by its name or its place; raises ConfigError for one that is not there."""
    from limbeck.data.task import TaskKind

    place = KINDS.get(name, name)
    module, _, attribute = place.partition(":")
    if not attribute:
        known = f"{', '.join(KINDS)}, or package.module:Class of a kind of your own"
        raise ConfigError(f"expected a task of kind auto, {known}, got '{name}'", suggest(name, KINDS))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"expected a kind of task at {place}, got: {error}", "put its folder on PYTHONPATH, and write module:Class"
        ) from error
    if not (isinstance(found, type) and issubclass(found, TaskKind)):
        raise ConfigError(f"expected a subclass of limbeck.TaskKind at {place}, got {found!r}", "derive it from that")
    return found


def is_kind(name: str) -> bool:
    """Whether a name can be that of a kind, without importing anything."""
    return name in KINDS or ":" in name
