"""The stages of a run in their order."""

from __future__ import annotations

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest

STAGES = ("teach", "label", "train", "evaluate", "export", "report")


def check_stage(name: str) -> None:
    """Raise ConfigError for what is no stage."""
    if name not in STAGES:
        raise ConfigError(
            f"expected a stage, got '{name}'", suggest(name, STAGES) or f"the stages are {', '.join(STAGES)}"
        )
