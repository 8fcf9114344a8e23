"""Writes docs/commands.md from the help of the commands. Run by `make docs`; a test holds that it is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bottega.cli.group import bottega

TARGET = Path(__file__).with_name("commands.md")
WIDTH: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100}
HEAD = "# Commands\n\nWritten by `make docs` from the commands' own help; do not edit.\n"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    top = click.Context(bottega, info_name="bottega", **bottega.context_settings, **WIDTH)
    for command, context in commands(bottega, top):
        parts.append(f"## {context.command_path}\n\n```\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it, each with its context."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from commands(found, click.Context(found, info_name=name, parent=context, **WIDTH))


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
    print(f"wrote {TARGET}")
