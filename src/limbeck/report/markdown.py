"""report.md: the report as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.report.folder import read_folder
from limbeck.report.page import Page, Table, page_of

LIGHTS = {"green": "🟢", "amber": "🟡", "red": "🔴"}


def markdown(folder: str | Path) -> str:
    """The report of a run folder as Markdown."""
    found = read_folder(Path(folder))
    return markdown_of(found.scorecard, found.state, found.resolved)


def markdown_of(scorecard: Mapping[str, Any], state: Mapping[str, Any] | None = None, resolved: str = "") -> str:
    """The report of a scorecard as Markdown; whatever came from the user is escaped."""
    return _set(page_of(scorecard, state, resolved))


def escape(text: str) -> str:
    """Escape what Markdown or HTML inside it would read as markup, and keep a cell on its line."""
    text = html.escape(str(text), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text).replace("\r", " ").replace("\n", " ")


def _set(page: Page) -> str:
    parts = [f"# {escape(page.title)}", f"{LIGHTS[page.light]} **{escape(page.verdict)}**. {escape(page.sentence)}"]
    if page.findings:
        parts.append("## Checks")
        parts += [
            f"- **{f['code']}** ({f['grade']}) {escape(f['title'])}: {escape(f['measured'])}. {escape(f['why'])}. "
            f"*{escape(f['todo'])}*"
            for f in page.findings
        ]
    for section in page.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [escape(line) for line in section.text]
        parts += [_table(table) for table in section.tables]
    parts.append("## How to repeat this run")
    for name, value in page.repeat:
        if "\n" in value:
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", value)), default=0))
            parts.append(f"{name}:\n\n{fence}yaml\n{value.rstrip()}\n{fence}")
        else:
            parts.append(f"- {name}: {escape(value)}")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [table.header, ("---",) + ("---:",) * (len(table.header) - 1)]
    body = [tuple(map(escape, lines[0])), lines[1], *(tuple(map(escape, row)) for row in table.rows)]
    text = "\n".join("| " + " | ".join(row) + " |" for row in body)
    return f"{text}\n\n{escape(table.caption)}" if table.caption else text
