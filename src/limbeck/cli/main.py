"""The command line of limbeck; `limbeck --help` imports neither torch nor anything else that is heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck import __version__
from limbeck.cli import transfer
from limbeck.cli.check import check
from limbeck.cli.checks import checks
from limbeck.cli.demo import demo
from limbeck.cli.distill import distill
from limbeck.cli.env import env
from limbeck.cli.evaluate import evaluate
from limbeck.cli.export import export
from limbeck.cli.init import init
from limbeck.cli.judge import judge
from limbeck.cli.label import label
from limbeck.cli.ls import ls
from limbeck.cli.predict import predict
from limbeck.cli.report import report
from limbeck.cli.teach import teach
from limbeck.cli.train import train

EPILOG = (
    "Exit codes: 0 ok, 1 internal error, 2 usage or configuration, 3 checks failed, 4 gate not met, "
    "5 budget reached, 6 missing optional package, 130 interrupted."
)

app = typer.Typer(
    name="limbeck",
    help="Knowledge distillation with a control: a small model nearly as good as the big one, and the proof.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (
    demo,
    init,
    check,
    distill,
    teach,
    label,
    train,
    evaluate,
    export,
    report,
    predict,
    judge,
    ls,
    checks,
    env,
):
    app.command()(_command)
app.add_typer(transfer.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"limbeck {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Knowledge distillation with a control: a small model nearly as good as the big one, and the proof."""


def run() -> None:
    """The entry point."""
    app()
