"""What students of text are made from: the training texts, and the teacher before it is taught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from limbeck.core.errors import ConfigError
from limbeck.models.text.network import TextNetwork, Tokenised
from limbeck.models.text.tokens import TextEncoder


@dataclass(frozen=True)
class Ground:
    """`rows` gives the raw training rows (a table of one or two columns of texts, or a list of texts).

    `teacher` gives the teacher's network as it is before it is taught, and None where it is no network of text; `who`
    names it in errors.
    """

    rows: Callable[[], Any] | None = None
    teacher: Callable[[], Tokenised | None] | None = None
    who: str = "none"

    def texts(self, what: str) -> Iterator[str]:
        """All texts of the training rows; raises ConfigError where there are none."""
        rows = self.inputs(what)
        for column in [rows[name] for name in rows.columns] if hasattr(rows, "columns") else [rows]:
            yield from (_whole(text) for text in column)

    def inputs(self, what: str) -> Any:
        """The raw training rows."""
        if self.rows is None:
            raise ConfigError(f"expected training texts for {what}, got none", "give texts=[...]")
        return self.rows()

    @property
    def pair(self) -> bool:
        """Whether a row holds two texts."""
        rows = self.rows() if self.rows is not None else ()
        return len(getattr(rows, "columns", ())) > 1

    @property
    def network(self) -> Tokenised | None:
        """The teacher's network before it is taught."""
        return self.teacher() if self.teacher is not None else None

    @property
    def encoder(self) -> TextEncoder | None:
        """The teacher's tokenizer."""
        network = self.network
        return network.encoder if network is not None else None


def _whole(text: Any) -> str:
    """A text, or its words in one; "" where it is missing."""
    if isinstance(text, tuple | list):
        return " ".join(map(str, text))
    return text if isinstance(text, str) else ""


def as_base(network: Any, who: str, what: str) -> TextNetwork:
    """The network of a teacher as the base of a student; raises ConfigError where it is no model of transformers."""
    if not isinstance(network, TextNetwork):
        raise ConfigError(
            f"expected a teacher that is a model of transformers for the student {what}, got {who}",
            f"name what it is made of, for example hf:FOLDER | {what}; bag_of_words and text_cnn need no such teacher",
        )
    return network
