"""`limbeck taps`."""

from __future__ import annotations

from limbeck.cli.options import Assign, DataDir, Json, Out, Quiet, Target, Verbose
from limbeck.cli.recipes import load_recipe
from limbeck.cli.session import begin, verb


@verb()
def taps(
    recipe: Target = None,
    assign: Assign = None,
    data: DataDir = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List inner features that a loss can name.

    Of the student and of teachers that are networks, in the order in which they run, with shapes.
    """
    console = begin(json=json, quiet=quiet, verbose=verbose)
    loaded = load_recipe(recipe, assign, data=data)
    from limbeck.core.files import write_json
    from limbeck.stages.ready import recipe_taps

    found = recipe_taps(loaded)
    for who, names in found.items():
        console.result(who)
        for name, shape in names.items():
            console.result(f"  {name:<28}{' x '.join(map(str, shape))}")
    if out is not None:
        write_json(out / "taps.json", found)
    console.emit(found)
