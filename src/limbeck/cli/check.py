"""`limbeck check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.cli.options import Assign, DataDir, Json, Out, Quiet, Target, Verbose
from limbeck.cli.recipes import load_recipe
from limbeck.cli.session import begin, end_with, verb
from limbeck.core.console import seconds
from limbeck.report.words import size


@verb()
def check(
    recipe: Target = None,
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say all that can be known before work starts.

    Recipe, data, time, memory, and the smallest gain that the test set can show.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    loaded = load_recipe(recipe, assign, data=data, out=out)
    from limbeck import stages

    found = stages.check_recipe(loaded)
    for finding in found.findings:
        console.finding(finding)
    for name, value in flat(found.estimate):
        console.result(f"{name:<34}{value}")
    plain = [finding.to_json() for finding in found.findings]
    console.emit({"recipe": loaded.resolved(), "findings": plain, "estimate": found.estimate})
    end_with(found.findings)


def flat(estimate: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """The estimate as lines: names without their unit, values with it."""
    lines: list[tuple[str, str]] = []
    for key, value in estimate.items():
        name = f"{above} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            lines += flat(value, name)
        elif name.endswith("seconds") and isinstance(value, int | float):
            lines.append((name.removesuffix("seconds").strip() or "the whole run", f"about {seconds(value)}"))
        elif name.endswith(" bytes") and isinstance(value, int | float):
            lines.append((name.removesuffix(" bytes"), f"about {size(value)}"))
        elif name == "smallest gain":
            lines.append((name, f"{100 * value:.1f} points" if value is not None else "not known for this metric"))
        elif isinstance(value, list):
            lines.append((name, ", ".join(map(str, value))))
        else:
            lines.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return lines
