"""`limbeck env`."""

from __future__ import annotations

from limbeck.cli.options import Json, Out, Quiet, Verbose
from limbeck.cli.session import begin, verb


@verb()
def env(out: Out = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show versions and hardware, as runs record them."""
    console = begin(json=json, quiet=quiet, verbose=verbose)
    import torch  # noqa: F401 - so that accelerators are seen

    from limbeck.core.files import write_json
    from limbeck.core.hardware import hardware, versions

    facts = {"versions": versions(), "hardware": hardware()}
    for group in facts.values():
        for name, value in group.items():
            console.result(f"{name:<16}{value:,}" if isinstance(value, int) else f"{name:<16}{value}")
    if out is not None:
        write_json(out / "env.json", facts)
    console.emit(facts)
