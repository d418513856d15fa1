"""Models in files, opened safely: what would run code when it is read is refused, with the safe way named.

A file is judged by its ending and by its first bytes, before any library sees it. Opened are `.onnx` (onnxruntime),
`.skops` (scikit-learn, of known types only) and `.txt` of LightGBM.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.core.errors import ConfigError, NotInstalled

OPENED = (".onnx", ".skops", ".txt")
_PICKLES = (".pkl", ".pickle", ".joblib")
_TORCH = (".pt", ".pth", ".pt2", ".bin", ".ckpt")
_HDF5 = (".h5", ".hdf5")
REFUSED = (*_PICKLES, *_TORCH, *_HDF5)
_GUESSED = 512  # bytes that say what a file is
_PICKLE_WORDS = (b"(", b"c", b"]", b"}", b"l", b"d", b"i")  # first opcodes of protocol 0 and 1
_RUNS_CODE = "which can run code when it is read"


def is_model_file(text: str) -> bool:
    """Whether a text is the name of a file with a model, one that is opened or one that is refused."""
    return text.lower().endswith((*OPENED, *REFUSED))


def open_model(path: str | Path) -> Any:
    """A callable on raw rows (ONNX, LightGBM) or a fitted scikit-learn estimator (skops).

    Raises ConfigError for a file that is not there, is not what its ending says, or is refused because reading it could
    run code or reach other files; NotInstalled where LightGBM is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"expected a file with a model at {path}, there is none", "check the path")
    ending = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(_GUESSED)
    _refuse_ending(path, ending)
    _refuse_bytes(path, head)
    return _opener(path, ending)(path)


def refuse_remote_code(folder: str | Path) -> None:
    """Refuse a folder of transformers whose settings name code of its own; raises ConfigError."""
    for name in ("config.json", "tokenizer_config.json"):
        try:
            found = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # the library says what is wrong with it
        if isinstance(found, dict) and found.get("auto_map"):
            raise ConfigError(
                f"expected a model whose code is part of transformers at {folder}, its {name} names code of its own "
                "(auto_map)",
                "trust_remote_code is not offered: load the model in your own code and give it, lb.Teacher(module), or "
                "take auto_map out of the file where transformers knows the architecture itself",
            )


def _refuse_ending(path: Path, ending: str) -> None:
    if ending in _PICKLES:
        raise _pickle(path, f"a {ending} file is a pickle")
    if ending in _TORCH:
        raise _torch(path, f"a {ending} file of torch holds pickled code")
    if ending in _HDF5:
        raise _hdf5(path)


def _refuse_bytes(path: Path, head: bytes) -> None:
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise _pickle(path, "its bytes are a pickle")
    if head.startswith(_PICKLE_WORDS) and _ends_with_stop(path):
        raise _pickle(path, "its bytes are a pickle")
    if head[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7") or (head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x9c", b"\xda")):
        raise _pickle(path, "its bytes are compressed as those of joblib")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise _hdf5(path)
    if head.startswith(b"PK") and any(name.endswith(".pkl") for name in _members(path)):
        raise _torch(path, "it is an archive of torch that holds a pickle (.pkl)")


def _ends_with_stop(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"."


def _pickle(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"expected a model file that is safe to open, got {path.name}: {why}, {_RUNS_CODE}",
        "write the estimator with skops (skops.io.dump(model, 'teacher.skops')) or export it to ONNX, or load it in "
        "your own code and give the object",
    )


def _torch(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"expected a model file that is safe to open, got {path.name}: {why}, {_RUNS_CODE}",
        "save the state dict with safetensors, load it into the module in your own code and give the module, or export "
        "it to ONNX (torch.onnx.export)",
    )


def _hdf5(path: Path) -> ConfigError:
    return ConfigError(
        f"expected a model file that is safe to open, got {path.name}: an HDF5 file of Keras can hold code, "
        "which can run when it is read",
        "save it as .keras without Lambda layers, or export it to ONNX (model.export('teacher.onnx', format='onnx'))",
    )


def _opener(path: Path, ending: str) -> Callable[[Path], Any]:
    if ending == ".onnx":
        from limbeck.models.onnx_file import OnnxFile

        return OnnxFile.read
    if ending == ".skops":
        return _skops
    if ending == ".txt":
        return _lightgbm
    raise ConfigError(
        f"expected a file with a model ({', '.join(OPENED)}), got {path.name}",
        "export it to ONNX, write a scikit-learn estimator with skops, or give the model itself",
    )


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []


def _skops(path: Path) -> Any:
    import skops.io

    from limbeck.models.estimators import refuse_unfitted
    from limbeck.models.trusted import is_trusted

    if "schema.json" not in _members(path):
        raise ConfigError(
            f"expected an estimator that skops wrote at {path}, its bytes are none",
            "write it with skops.io.dump(model, 'teacher.skops')",
        )
    try:
        asked = skops.io.get_untrusted_types(file=path)
        unknown = [name for name in asked if not is_trusted(name)]
        found = skops.io.load(path, trusted=asked) if not unknown else None
    except Exception as e:
        raise ConfigError(
            f"expected an estimator that skops can read at {path}, got {type(e).__name__}: {e}",
            "write it again, with the versions of skops and scikit-learn that are installed here",
        ) from e
    if unknown:
        raise ConfigError(
            f"expected only types of scikit-learn, NumPy and SciPy in {path.name}, it asks for {', '.join(unknown)}, "
            "which can run code when it is read",
            "where you trust its author: skops.io.load(path, trusted=[...]) in your own code, and give the estimator",
        )
    if not all(hasattr(found, name) for name in ("fit", "predict", "get_params")):
        raise ConfigError(
            f"expected an estimator in {path.name}, got {type(found).__name__}", "write the fitted estimator itself"
        )
    refuse_unfitted(found)
    return found


def _lightgbm(path: Path) -> Any:
    with path.open("rb") as file:
        first = file.readline(_GUESSED).strip()
    if first != b"tree":
        raise ConfigError(
            f"expected a model of LightGBM at {path}, whose first line is 'tree', got {first[:40].decode('latin-1')!r}",
            "write it with booster.save_model('teacher.txt')",
        )
    try:
        import lightgbm  # noqa: F401
    except ImportError as e:
        raise NotInstalled(
            f"expected the package lightgbm for {path.name}, it is not installed", "pip install 'limbeck[boosting]'"
        ) from e
    from limbeck.models.boosted import BoostedFile

    return BoostedFile(path)
