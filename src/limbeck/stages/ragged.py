"""Networks for series of different lengths: which ones take them."""

from __future__ import annotations

from typing import Any

from limbeck.data.ragged import refuse_fixed_length
from limbeck.models.zoo import is_zoo_name, parse, with_settings


def for_ragged(what: Any) -> Any:
    """A network for series of different lengths: series_cnn is told so, networks of the user's own are left alone.

    Raises ConfigError for networks of the zoo that take rows of one length.
    """
    if not isinstance(what, str) or not is_zoo_name(what):
        return what
    name, settings = parse(what)
    if name != "series_cnn" or settings["hidden"] or settings["level"]:
        raise refuse_fixed_length(what)
    return with_settings(what, {"ragged": True})
