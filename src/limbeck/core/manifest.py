"""Which files a run folder holds, whether they are still as written, and which folders are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.core.errors import LimbeckError, NotSupported, StoreDamaged, StoreMismatch
from limbeck.core.files import checksum, is_leftover, read_json
from limbeck.core.specs import differences

RUN_NAME = "run.json"
ASKED_NAME, RESOLVED_NAME, ERROR_NAME = "recipe.yaml", "resolved.yaml", "error.log"
_GROWS = "events.jsonl"  # only appended to: what was there at the end of the run must still be its beginning
_KEYS = {"status", "recipe", "stages", "files", "fingerprints", "facts"}

# what limbeck writes into a run folder, beside the outputs that stages recorded
_OWN_FILES = (ASKED_NAME, RESOLVED_NAME, _GROWS, ERROR_NAME, "scorecard.json", "report.html", "report.md")
_OWN_FOLDERS = ("teacher", "transfer", "student", "control", "soft", "pseudo", "predictions", "export", "folds")


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
    _refuse_outside(path, state)
    return state


def _refuse_outside(path: Path, state: Mapping[str, Any]) -> None:
    """Refuse a state with an output or file outside its folder: stages remove what stands there."""
    for name in _names_in(path, state):
        if not _stays_inside(name):
            raise StoreDamaged(
                f"expected {path} to name files inside its folder, it names {name!r}",
                "it was changed by hand or by another program: start over with --overwrite",
            )


def _names_in(path: Path, state: Mapping[str, Any]) -> list[Any]:
    """All outputs and files that a state names."""
    try:
        stages = list(state["stages"].values())
        staged = [name for stage in stages for name in (*stage["outputs"], *stage["files"].keys())]
        return [*state["files"].keys(), *staged]
    except (AttributeError, KeyError, TypeError):
        raise StoreDamaged(f"expected {path} to list stages and files, it does not", "use --overwrite") from None


def _stays_inside(name: Any) -> bool:
    """Whether a recorded name is a path below the run folder (and not the folder itself)."""
    if not isinstance(name, str):
        return False
    path = Path(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


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


def clear(folder: Path, schema: int) -> None:
    """Remove what limbeck wrote into a run folder and nothing else, run.json last: half of it is still a run."""
    for name in (*_OWN_FILES, *_OWN_FOLDERS, *_outputs_of(folder / RUN_NAME, schema)):
        remove(folder / name)
    (folder / RUN_NAME).unlink(missing_ok=True)


def _outputs_of(path: Path, schema: int) -> list[str]:
    """The outputs that the stages of a run recorded; none where run.json cannot be trusted."""
    try:
        state = read_state(path, schema)
    except LimbeckError:
        return []
    return [output for stage in state["stages"].values() for output in stage["outputs"]]


def remove(path: Path) -> None:
    """Remove a file or a folder with all below it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def inside(name: str, folders: Sequence[str]) -> bool:
    """Whether a file stands in (or is) one of some outputs."""
    return any(name == folder or name.startswith(folder.rstrip("/") + "/") for folder in folders)
