"""The kinds of task by name: a new one is a class in a file of its own (see `TaskKind`) and a line here.

A kind outside of limbeck needs no line: it is named by its place, "package.module:Class". Settings of a kind stand
behind its name, "quantiles(levels=[0.1, 0.5, 0.9])"; they are read and never evaluated.
"""

from __future__ import annotations

import ast
import importlib
from typing import TYPE_CHECKING, Any

from limbeck.core.errors import ConfigError, Problem
from limbeck.core.kinds import suggest

if TYPE_CHECKING:
    from limbeck.data.task import TaskKind

KINDS = {
    "classification": "limbeck.data.tasks:Classification",
    "multilabel": "limbeck.data.tasks:MultiLabel",
    "regression": "limbeck.data.regression:Regression",
    "quantiles": "limbeck.data.quantiles:Quantiles",
    "gaussian": "limbeck.data.gaussian:Gaussian",
    "ordinal": "limbeck.data.ordinal:Ordinal",
    "similarity": "limbeck.data.similarity:Similarity",
    "retrieval": "limbeck.data.retrieval:Retrieval",
    "segmentation": "limbeck.data.masks.segmentation:Segmentation",
    "tagging": "limbeck.data.tagging:Tagging",
    "transcription": "limbeck.data.audio.transcription:Transcription",
    "generation": "limbeck.data.generation:Generation",
}
GUESSED = ("classification", "multilabel", "regression")  # what labels alone can show


def kind_of(name: str) -> type[TaskKind]:
    """The class of a kind, by its name or its place, settings left aside; raises ConfigError for none."""
    from limbeck.data.task import TaskKind

    name = name.partition("(")[0].strip()
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


def kind_name(text: str) -> str:
    """The name of a kind, settings left aside."""
    return text.partition("(")[0].strip()


def is_kind(name: str) -> bool:
    """Whether a name can be that of a kind, without importing anything."""
    name = name.partition("(")[0].strip()
    return name in KINDS or ":" in name


def form_of(name: str) -> str:
    """The kind whose models can answer a kind."""
    return kind_of(name).answers_as or name.partition("(")[0].strip()


def _python(node: ast.expr) -> ast.expr:
    """True and false of YAML as Python writes them."""
    words = {"true": True, "false": False}
    return ast.Constant(words[node.id]) if isinstance(node, ast.Name) and node.id in words else node


def settings_of(text: str) -> dict[str, Any]:
    """What stands in parentheses behind the name of a kind, lists as tuples; raises ConfigError for what is unknown."""
    name, bracket, _ = text.partition("(")
    if not bracket:
        return {}
    options = kind_of(name).options
    wrong = ConfigError(
        f"expected a task such as quantiles(levels=[0.1, 0.5, 0.9]), got '{text}'",
        "write the kind and its settings as name=value; values are numbers, texts and lists of them",
    )
    try:
        node = ast.parse(f"kind({text.partition('(')[2]}", mode="eval").body
    except (SyntaxError, ValueError):
        raise wrong from None
    if not isinstance(node, ast.Call) or node.args:
        raise wrong
    found: dict[str, Any] = {}
    problems = []
    for keyword in node.keywords:
        if keyword.arg is None:
            raise wrong
        if keyword.arg not in options:
            todo = suggest(keyword.arg, options) or f"known here: {', '.join(options) or 'nothing'}"
            problems.append(Problem(f"{name.strip()}.{keyword.arg}", "unknown setting", todo))
            continue
        try:
            value = ast.literal_eval(_python(keyword.value))
        except ValueError:
            raise wrong from None
        found[keyword.arg] = tuple(value) if isinstance(value, list) else value
    if problems:
        raise ConfigError.of(problems, f"the task '{text}'")
    return found
