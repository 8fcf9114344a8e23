"""The lazy group of commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

import click

from .. import __version__
from ..core.errors import BottegaError, UsageError

COMMANDS = {
    "run": ("run", "Do a request and print the answer."),
    "plan": ("plan", "Show how a request would be done, and do nothing."),
    "route": ("route", "Show who would take a request, and how sure the router is."),
    "runs": ("runs", "List, show, resume, answer and cancel runs."),
    "tools": ("tools", "List, search and show tools: the house's and your servers'."),
    "console": ("console", "Talk with the workshop (what `bottega` alone opens)."),
    "serve": ("serve", "Serve tools and the workshop over MCP, or task models over HTTP."),
    "mcp": ("mcp", "List and check the MCP servers that are configured."),
    "models": ("models", "List task models, show their cards, check their files."),
    "train": ("train", "Train a task model of your own."),
    "doctor": ("doctor", "Check this installation and this folder; nothing leaves the machine."),
}
"""Command -> its module in this folder, which has a click command of the same name, and its line in the help."""


class LazyGroup(click.Group):
    """Imports a command when it is called. The help screen is made of the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        found = getattr(import_module(f".{module}", __package__), cmd_name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean `bottega {near[0]}`?" if near else 'say what to do: bottega run "your request"'
            raise UsageError(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error (also BOTTEGA_DEBUG=1).")
@click.version_option(__version__, message="bottega %(version)s")
@click.pass_context
def bottega(ctx: click.Context, debug: bool) -> int | None:
    """A workshop of agents: plans a request, gives each step to a specialist, and finds the tools it needs.

    Without a command it opens the console. It needs no key, no GPU and no network.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if sys.stdin.isatty() and sys.stdout.isatty():
        from .console import console

        code: int | None = ctx.invoke(console)
        return code
    click.echo(ctx.get_help(), err=True)
    return 2


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and gives its exit code. Every error becomes one line, with a hint below it."""
    _open_streams()
    code = _outcome(arguments)
    try:
        sys.stderr.flush()
    except OSError:
        _let_go(sys.stderr)
    return code


def _outcome(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments[:1] or os.environ.get("BOTTEGA_DEBUG", "") not in ("", "0")
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except BottegaError as error:
        if debug:
            raise
        return _say(error.message, error.hint, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "bottega"
        return _say(_lower(error.format_message().rstrip(".")), f"{where} --help", error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _say("cancelled", None, 130)
    except BrokenPipeError:
        _let_go(sys.stdout)
        return 1
    except OSError as error:
        if debug:
            raise
        _let_go(sys.stdout)
        place = f" ({error.filename})" if error.filename else ""
        return _say(f"{_lower(error.strerror or str(error))}{place}", None, 1)
    except Exception as error:
        if debug:
            raise
        hint = "this is a defect; `bottega --debug ...` or BOTTEGA_DEBUG=1 shows where"
        return _say(f"unexpected {type(error).__name__}: {error}", hint, 1)


def _open_streams() -> None:
    """Makes stdout and stderr take any text, and opens on nothing whichever stream we were started without."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the end
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _invoke(arguments: Sequence[str]) -> int:
    code = bottega.main(list(arguments), prog_name="bottega", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _say(message: str, hint: str | None, code: int) -> int:
    from ..core.redaction import redact
    from .text import one_line

    try:
        print(f"error: {redact(one_line(message))}", file=sys.stderr)
        if hint:
            print(f"hint: {redact(one_line(hint))}", file=sys.stderr)
        sys.stdout.flush()
    except OSError:
        _let_go(sys.stdout)
    return code


def _let_go(stream: TextIO) -> None:
    """Points a stream at nothing, so that what is buffered for a reader that is gone cannot fail again at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
