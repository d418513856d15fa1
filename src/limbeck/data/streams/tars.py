"""Tar shards as webdataset lays them out: members of one stem, one after the other, are the fields of a row.

`000001.npy`, `000001.cls` is a row with an array and its class. Nothing is unpickled; members of other endings are
left out.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.core.errors import ConfigError
from limbeck.data.images import IMAGES, pixels_of

_TEXTS = ("txt", "text")
_SOUND = ("wav", "flac", "ogg", "mp3", "aiff")
_BLOCK = 512  # bytes of a header
LABEL, TEXT = "label", "text"  # what the members .cls and .txt are called


def rows_of_tar(path: Path, size: tuple[int, int] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stem and the fields of each row; raises ConfigError naming the member that cannot be read."""
    if path.name.endswith(".tar"):
        _refuse_cut(path)
    row: dict[str, Any] = {}
    stem, last = "", "its beginning"
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                last = member.name
                own, field = _split(member.name)
                if not member.isfile() or not field:
                    continue
                if own != stem and row:
                    yield stem, row
                    row = {}
                stem = own
                file = tar.extractfile(member)
                data = b"" if file is None else file.read()
                if len(data) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                row = _with(row, field, data, f"{member.name} of {path}", size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ConfigError(
            f"expected a whole tar at {path}, it cannot be read behind {last}: {str(error) or type(error).__name__}",
            "it may be cut short: fetch the shard again",
        ) from error
    if row:
        yield stem, row


def _refuse_cut(path: Path) -> None:
    """Refuse a tar without the blocks of zeros that end it: cut between two members it would seem whole."""
    length = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(length - 2 * _BLOCK, 0))
        tail = file.read()
    if length < 2 * _BLOCK or any(tail):
        raise ConfigError(
            f"expected a whole tar at {path}, its last {2 * _BLOCK} bytes are not the zeros that end one",
            "it may be cut short: fetch the shard again",
        )


def refuse_clips(where: str) -> ConfigError:
    """The error for sound in a stream."""
    return ConfigError(
        f"expected arrays, images, tables or texts in a stream, got the clip {where}",
        "give clips as a folder or a table of files, which are read into memory, or their features as arrays",
    )


def _split(name: str) -> tuple[str, str]:
    """A member's stem and its field: what follows the first dot of its file name."""
    folder, slash, file = name.rpartition("/")
    stem, _, field = file.partition(".")
    return folder + slash + stem, field.lower() if stem else ""


def _with(row: dict[str, Any], field: str, data: bytes, where: str, size: tuple[int, int] | None) -> dict[str, Any]:
    """The row with one more member in it."""
    ending = field.rpartition(".")[2]
    if ending in _SOUND:
        raise refuse_clips(where)
    try:
        if ending == "npy":
            found: dict[str, Any] = {field: np.load(io.BytesIO(data), allow_pickle=False)}
        elif f".{ending}" in IMAGES:
            found = {field: _image(data, size)}
        elif ending == "cls":
            found = {LABEL if field == "cls" else field: _class(data.decode())}
        elif ending in _TEXTS:
            found = {TEXT if field in _TEXTS else field: data.decode()}
        elif ending == "json":
            value = json.loads(data)
            found = value if isinstance(value, dict) else {field: value}
        else:
            return row
    except Exception as error:
        raise ConfigError(
            f"expected {_what(ending)} in {where}, got: {(str(error) or type(error).__name__).splitlines()[0]}",
            "repair the member, or leave the row out of the shard",
        ) from error
    twice = sorted(set(row) & set(found))
    if twice:
        raise ConfigError(f"expected each field of a row once, got '{twice[0]}' again in {where}", "rename one of them")
    return {**row, **found}


def _what(ending: str) -> str:
    return {"npy": "an array", "cls": "a class", "json": "JSON"}.get(
        ending, "a text (UTF-8)" if ending in _TEXTS else "an image"
    )


def _image(data: bytes, size: tuple[int, int] | None) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return pixels_of(image, size)


def _class(text: str) -> int | str:
    """A class by number or by name."""
    text = text.strip()
    return int(text) if text.lstrip("-").isdecimal() else text
