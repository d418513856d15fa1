"""Files and functions stay short: hard limits, and a list of exceptions that may only shrink."""

import ast
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "limbeck"
MAX_FILE, MAX_FUNCTION = 400, 80
LONG_FILES: set[str] = set()
FORBIDDEN_NAMES = {"utils", "common", "misc", "helpers", "engine", "contrib"}


def modules():
    return sorted(SRC.rglob("*.py"))


def test_the_sources_are_found():
    assert len(modules()) > 40


def test_files_are_short():
    long = {str(p.relative_to(SRC)) for p in modules() if len(p.read_text().splitlines()) > MAX_FILE}
    assert long <= LONG_FILES, f"over {MAX_FILE} lines: {sorted(long - LONG_FILES)}"
    assert long >= LONG_FILES, f"no longer too long, take off the list: {sorted(LONG_FILES - long)}"


def test_functions_are_short():
    long = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION:
                    long.append(f"{path.relative_to(SRC)}:{node.lineno} {node.name} ({length})")
    assert not long


def test_no_module_without_a_subject():
    assert not [p for p in modules() if p.stem in FORBIDDEN_NAMES]


def test_every_module_says_what_it_is():
    assert not [str(p) for p in modules() if not ast.get_docstring(ast.parse(p.read_text()))]
