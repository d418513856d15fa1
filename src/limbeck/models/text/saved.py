"""Networks of text read from their folder: limbeck.json says which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.models.text.frozen import FrozenText
from limbeck.models.text.network import Tokenised, text_from
from limbeck.models.text.sentences import SentenceNetwork, sentences_from
from limbeck.models.text.small_words import small_from

SENTENCES = f"{SentenceNetwork.__module__}:{SentenceNetwork.__qualname__}"


def load_text(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tokenised:
    """The network as `Tokenised.files` wrote it; `config` is limbeck.json, `state` the weights, already checked."""
    if config.get("class") == SENTENCES:
        return sentences_from(folder)
    if config.get("network") == "small":
        return small_from(folder, config, state)
    if config.get("network") == "frozen":
        return FrozenText.load(folder, config)
    return text_from(folder, config["out_sizes"], config["max_length"], config.get("tags", ()))
