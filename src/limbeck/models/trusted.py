"""Which of the types that a skops file asks about are trusted: classes that scikit-learn, NumPy or SciPy define.

A prefix of the name is not enough: modules of these packages import functions of others (`urlopen`, `Popen`), and have
parts that compile or download. So a name must lead to a class, defined there, outside of those parts.
"""

from __future__ import annotations

import importlib

_PACKAGES = ("sklearn", "numpy", "scipy")
# parts of these packages that compile, run or download something, or that run when they are imported
_NEVER = frozenset(
    (
        "conftest", "ctypeslib", "datasets", "distutils", "exec_command", "externals", "f2py", "io", "lib", "setup",
        "test", "testing", "tests", "_build_utils", "_distributor_init", "_pyinstaller", "_testing", "memmap",
    )
)  # fmt: skip


def is_trusted(name: str) -> bool:
    """Whether a dotted name is that of a class which one of the trusted packages defines."""
    module, _, last = name.rpartition(".")
    if not _inside(name) or not module:
        return False
    try:
        found = getattr(importlib.import_module(module), last, None)
    except ImportError:
        return False
    return isinstance(found, type) and _inside(f"{found.__module__}.{found.__qualname__}")


def _inside(name: str) -> bool:
    parts = name.split(".")
    return parts[0] in _PACKAGES and not _NEVER & set(parts) and not any(part.startswith("__") for part in parts)
