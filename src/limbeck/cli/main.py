"""The command line of limbeck; `limbeck --help` imports neither torch nor anything else that is heavy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
from limbeck.cli.taps import taps
from limbeck.cli.teach import teach
from limbeck.cli.train import train
from limbeck.core.console import Console

USAGE = 2  # exit code


class Verbs(TyperGroup):
    """All verbs; an error of usage is said as JSON too where --json was given."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        self._as_json = "--json" in (sys.argv[1:] if args is None else args)
        return super().main(args, *rest, **more)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with self._said():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with self._said():
            return super().invoke(ctx)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except Exception as err:
            message = getattr(err, "format_message", None)  # what the parser of the command line raises
            if message is not None and self._as_json:
                plain = {"type": "UsageError", "what": message(), "todo": "see --help", "exit_code": USAGE}
                Console(as_json=True).emit({"error": plain})
            raise


EPILOG = (
    "Exit codes: 0 ok, 1 internal error, 2 usage or configuration, 3 checks failed, 4 gate not met, "
    "5 budget reached, 6 missing optional package, 130 interrupted."
)

app = typer.Typer(
    name="limbeck",
    cls=Verbs,
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
    taps,
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
