"""What a transfer set is: its identity, what it holds, and the plan by which it is written.

The identity (teacher, preprocessing, tokenizer, view, outputs with their codecs) decides whether answers may be used
or added to; a store of another identity is refused. Provenance (versions) is recorded and only warned about.
Rows are coverage: new ones are a new segment. Segments, shard rows and batch size are fixed before the first answer,
so that a store is the same bits wherever its writing was interrupted.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from limbeck.core import files
from limbeck.core.errors import LimbeckError, StoreDamaged, StoreMismatch
from limbeck.transfer.codecs import Codec, codec_from_spec

MANIFEST_NAME = "manifest.json"
FORMAT, VERSION = "limbeck-transfer", 1
_AGAIN = "label again into a new folder, or restore the file from a copy"


class Head(Protocol):
    """What the transfer set must know of a task."""

    @property
    def kind(self) -> str:
        """The kind of task, such as "classification"."""
        ...

    @property
    def form(self) -> str:
        """The kind whose models can answer it, such as "classification" for ordered classes too."""
        ...

    @property
    def positions(self) -> bool:
        """Whether a row has an answer at each of its positions."""
        ...

    @property
    def natural(self) -> bool:
        """Whether answers on disk are in other units than in training."""
        ...

    @property
    def meaning(self) -> str:
        """What the numbers of an answer are: of "classes", of "labels", or "numbers" themselves."""
        ...

    @property
    def size(self) -> int:
        """Width of the output."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Classes, labels or columns, in the order of the output."""
        ...

    def to_training(self, values: Any) -> Any:
        """From natural units to what is trained on (the same for logits)."""
        ...

    def to_natural(self, values: Any) -> Any:
        """The way back."""
        ...


@dataclass(frozen=True)
class Identity:
    """Fingerprints of what made the answers, None where there is no such thing; `precision` None is fp32."""

    teacher: str
    preprocessing: str | None = None
    tokenizer: str | None = None
    view: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class OutputSpec:
    """One output of the store: its head, kind, width, the names of its columns in order, and its codec."""

    head: str
    kind: str
    width: int
    names: tuple[str, ...]
    codec: Codec

    def to_json(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {
            "head": self.head,
            "kind": self.kind,
            "width": self.width,
            "names": list(self.names),
            "codec": self.codec.spec(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OutputSpec:
        """The inverse of `to_json`."""
        names = tuple(value["names"])
        return cls(value["head"], value["kind"], value["width"], names, codec_from_spec(value["codec"]))


@dataclass(frozen=True)
class Segment:
    """Rows that were planned at one time: `rows` keys, views `first_view` to `first_view + views - 1` of each.

    Its answers lie view by view, the rows of a view in the order of the key file.
    """

    rows: int
    first_view: int
    views: int
    keys_checksum: str

    @property
    def answers(self) -> int:
        """Rows times views."""
        return self.rows * self.views


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    identity: Identity
    outputs: tuple[OutputSpec, ...]
    batch_size: int
    shard_rows: int
    segments: tuple[Segment, ...] = ()
    provenance: Mapping[str, str] | None = None

    @property
    def answers(self) -> int:
        """Answers planned, over all segments."""
        return sum(segment.answers for segment in self.segments)

    def with_segments(self, new: Sequence[Segment]) -> Manifest:
        """The same store with more rows planned."""
        return replace(self, segments=(*self.segments, *new))

    def to_bytes(self) -> bytes:
        """The file: canonical JSON that holds the checksum of its own content."""
        body = {
            "format": FORMAT,
            "version": VERSION,
            "identity": asdict(self.identity),
            "outputs": [output.to_json() for output in self.outputs],
            "batch_size": self.batch_size,
            "shard_rows": self.shard_rows,
            "segments": [asdict(segment) for segment in self.segments],
            "provenance": dict(self.provenance or {}),
        }
        return _sealed(body)

    def write(self, folder: Path) -> None:
        """Commit it to a folder."""
        files.write_bytes(folder / MANIFEST_NAME, self.to_bytes())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read it; raises StoreMismatch for a folder without one, StoreDamaged where a byte is wrong."""
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise StoreMismatch(
                f"expected a transfer set at {folder}, there is no {MANIFEST_NAME}",
                "give the folder that labelling wrote (in a run: its folder `transfer`)",
            )
        body = _unsealed(path.read_bytes(), path)
        if body.get("format") != FORMAT or body.get("version") != VERSION:
            raise StoreMismatch(
                f"expected a transfer set of version {VERSION}, got {body.get('format')} {body.get('version')}",
                "it was written by another version of limbeck: use that one, or label again into a new folder",
            )
        return cls(
            identity=Identity(**body["identity"]),
            outputs=tuple(OutputSpec.from_json(output) for output in body["outputs"]),
            batch_size=body["batch_size"],
            shard_rows=body["shard_rows"],
            segments=tuple(Segment(**segment) for segment in body["segments"]),
            provenance=body["provenance"],
        )


def _sealed(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, indent=1)
    whole = {"checksum": files.checksum(text.encode()), "content": body}
    return json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"


def _unsealed(data: bytes, path: Path) -> dict[str, Any]:
    try:
        body = json.loads(data)["content"]
        sound = isinstance(body, dict) and _sealed(body) == data
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise StoreDamaged(f"expected {path} to match its checksum, it does not", _AGAIN)
    assert isinstance(body, dict)
    return body


def outputs_of(heads: Mapping[str, Head], codecs: Mapping[str, Codec]) -> tuple[OutputSpec, ...]:
    """Describe the outputs of tasks; every head has a codec."""
    return tuple(
        OutputSpec(name, head.kind, head.size, tuple(str(n) for n in head.names), codecs[name])
        for name, head in heads.items()
    )


def versions() -> dict[str, str]:
    """Versions of what computed the answers."""
    found = {"python": platform.python_version()}
    for package in ("limbeck", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def differences(have: Manifest, want: Manifest) -> list[str]:
    """Each field of the identity that differs, with both values, in words."""
    mine, yours = _fields(have), _fields(want)
    found = []
    for field in dict.fromkeys((*mine, *yours)):
        if mine.get(field) != yours.get(field):
            found.append(f"{field} is {_show(mine.get(field))} in the store and {_show(yours.get(field))} here")
    return found


def refuse_if_different(have: Manifest, want: Manifest, where: Path) -> None:
    """Raise StoreMismatch where the identities differ, naming every field with both values."""
    found = differences(have, want)
    if found:
        raise StoreMismatch(
            f"expected the transfer set at {where} to be of this teacher and data, but " + "; ".join(found),
            "label into another folder, or go back to what made this one; answers of two identities are never mixed",
        )


def changed_versions(have: Manifest, want: Manifest) -> list[str]:
    """Provenance that differs: "torch 2.10.0, now 2.11.0"."""
    old, new = have.provenance or {}, want.provenance or {}
    return [f"{name} {old[name]}, now {new[name]}" for name in old if name in new and old[name] != new[name]]


def _fields(manifest: Manifest) -> dict[str, Any]:
    fields: dict[str, Any] = asdict(manifest.identity)
    fields["heads"] = sorted(output.head for output in manifest.outputs)
    for output in manifest.outputs:
        for name, value in output.to_json().items():
            if name == "codec":
                fields |= {f"{output.head}.codec.{key}": setting for key, setting in value.items()}
            elif name != "head":
                fields[f"{output.head}.{name}"] = value
    return fields


def _show(value: Any) -> str:
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f"'{value}'"
    return text if len(text) <= 80 else text[:77] + "..."


def check_plan(batch_size: int, shard_rows: int) -> None:
    """Refuse a plan in which a batch would straddle two shards."""
    if batch_size < 1 or shard_rows < 1 or shard_rows % batch_size:
        raise LimbeckError(
            f"expected shard_rows to be a multiple of batch_size, got {shard_rows} and {batch_size}",
            f"use for example shard_rows={max(1, shard_rows // max(batch_size, 1)) * max(batch_size, 1)}",
        )
