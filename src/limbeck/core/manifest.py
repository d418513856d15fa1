"""Which files a run folder holds, whether they are still as written, and which folders are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.core.errors import NotSupported, StoreDamaged, StoreMismatch
from limbeck.core.files import checksum, is_leftover, read_json
from limbeck.core.lock import LOCK_NAME
from limbeck.core.specs import differences

RUN_NAME = "run.json"
_GROWS = "events.jsonl"  # only appended to: what was there at the end of the run must still be its beginning
_KEYS = {"status", "recipe", "stages", "files", "fingerprints", "facts"}


def read_state(path: Path, schema: int) -> dict[str, Any]:
    """Read run.json; raises StoreDamaged where it is broken, NotSupported where a newer version wrote it."""
    state = read_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("schema"), int):
        raise StoreDamaged(f"expected {path} to describe a run, it does not", "start over with --overwrite")
    if state["schema"] > schema:
        raise NotSupported(
            f"expected a run of schema {schema} or older, {path} has schema {state['schema']}",
            "a newer limbeck wrote it: pip install --upgrade limbeck",
        )
    missing = sorted(_KEYS - set(state))
    if missing:
        raise StoreDamaged(f"expected {path} to describe a run, it lacks {', '.join(missing)}", "use --overwrite")
    return state


def list_files(folder: Path) -> list[str]:
    """All files below a folder, relative, sorted; unfinished ones left out."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not is_leftover(path))
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def files_below(folder: Path, outputs: Sequence[str]) -> list[str]:
    """The files that some outputs (files or folders inside `folder`) consist of."""
    found: list[str] = []
    for output in outputs:
        path = folder / output
        if path.is_dir():
            found += [f"{output.rstrip('/')}/{name}" for name in list_files(path)]
        elif path.is_file():
            found.append(output)
    return sorted(set(found))


def record(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size (bytes) and checksum of files, by name."""
    return {name: {"bytes": (folder / name).stat().st_size, "xxh3": checksum(folder / name)} for name in names}


def damaged(folder: Path, name: str, entry: dict[str, Any]) -> list[str]:
    """What is wrong with a recorded file, in a sentence; empty where it is as it was written."""
    path = folder / name
    if not path.is_file():
        return [f"{name} is missing"]
    size = path.stat().st_size
    if name == _GROWS and size >= entry["bytes"]:
        with path.open("rb") as file:
            same = checksum(file.read(entry["bytes"])) == entry["xxh3"]
    elif size != entry["bytes"]:
        return [f"{name} has {size} bytes, {entry['bytes']} were written"]
    else:
        same = checksum(path) == entry["xxh3"]
    return [] if same else [f"{name} has other bytes than were written"]


def refuse_unknown(folder: Path) -> None:
    """Refuse a folder that holds files but no run; raises StoreMismatch."""
    if not folder.is_dir() or (folder / RUN_NAME).exists():
        return
    # a kill between making the folder and writing run.json leaves hidden files only
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others:
        raise StoreMismatch(
            f"expected {folder} to be empty or a run folder, it holds {', '.join(others[:3])}"
            + (" ..." if len(others) > 3 else ""),
            "name another folder with --out; limbeck does not write into folders that it did not make",
        )


def refuse_other(folder: Path, state: Mapping[str, Any], plain: Any) -> None:
    """Refuse the run of another recipe, naming the settings that differ; raises StoreMismatch."""
    changed = differences(state["recipe"], plain)
    if changed:
        more = f"\n  ... and {len(changed) - 12} more" if len(changed) > 12 else ""
        lines = "\n".join(f"  {line}" for line in changed[:12])
        count = f"{len(changed)} setting{'s' if len(changed) != 1 else ''}"
        raise StoreMismatch(
            f"expected {folder} to hold a run of this recipe, it differs in {count}",
            f"{lines}{more}\nname another folder with --out, or replace that run with --overwrite",
        )


def nothing_done(state: Mapping[str, Any]) -> bool:
    """Whether a run failed before any of its stages was done: it holds nothing that anybody would miss."""
    return state["status"] == "failed" and not any(s["status"] == "done" for s in state["stages"].values())


def clear(folder: Path) -> None:
    """Empty a run folder, run.json last, so that half of it is still known for a run."""
    for path in folder.iterdir():
        if path.name not in (LOCK_NAME, RUN_NAME):
            remove(path)
    (folder / RUN_NAME).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file or a folder with all below it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def inside(name: str, folders: Sequence[str]) -> bool:
    """Whether a file stands in (or is) one of some outputs."""
    return any(name == folder or name.startswith(folder.rstrip("/") + "/") for folder in folders)
