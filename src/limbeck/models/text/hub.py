"""Models by the name of a folder or of the Hugging Face hub: a folder that is not there is said at once.

Where the hub cannot be reached its client asks again and again, for minutes. So it is called once, for a moment, and
where it does not answer only what was loaded before is looked for.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from limbeck.core.errors import ConfigError
from limbeck.models.files import refuse_remote_code

_PATIENCE = 3.0  # seconds
_OFF = ("1", "ON", "YES", "TRUE")


def where_from(where: str | Path, what: str, todo: str) -> dict[str, Any]:
    """Settings of `from_pretrained` that say where a model may be looked for.

    `what` is the kind of model in words. Raises ConfigError for a path where there is no folder, and for a name that is
    neither a folder nor was loaded before while the hub cannot be reached.
    """
    if Path(where).is_dir():
        refuse_remote_code(where)
        return {}
    if _is_path(str(where)):
        raise ConfigError(f"expected a folder with {what} at {where}, there is none", todo)
    if not _can_be_asked():
        if not _was_loaded(str(where)):
            raise ConfigError(
                f"expected a folder with {what} at {where}, or a name of the hub: there is no such folder here, and "
                "the hub cannot be reached",
                todo,
            )
        return {"local_files_only": True}
    return {}


def _is_path(where: str) -> bool:
    """Whether a text can only be a path: names of the hub are NAME or OWNER/NAME, and no folder is called OWNER."""
    first, slash, rest = where.partition("/")
    return where.startswith((".", "~", "/")) or "\\" in where or "/" in rest or bool(slash and Path(first).is_dir())


def _can_be_asked() -> bool:
    """Whether the hub may be asked and answers."""
    if any(os.environ.get(name, "").upper() in _OFF for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return False
    from huggingface_hub import constants

    return _answers(constants.ENDPOINT)


@cache
def _answers(address: str) -> bool:
    """Whether somebody listens at an address; behind a proxy that is not known, and taken for granted."""
    parts = urlsplit(address)
    if getproxies().get(parts.scheme):
        return True
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 443), timeout=_PATIENCE):
            return True
    except OSError:
        return False


def _was_loaded(name: str) -> bool:
    """Whether some file of a model lies in the cache of the hub."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="model")).is_dir()
