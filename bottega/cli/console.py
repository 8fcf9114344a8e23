"""`bottega console`, and `bottega` alone: talks with the workshop."""

from __future__ import annotations

import sys

import click

from ..core.errors import UsageError
from ..settings import Settings
from .options import engine_options, workshop_options


@click.command()
@workshop_options
@engine_options
def console(settings: Settings) -> int:
    """Talk with the workshop, one request after the other. `/help` lists what else can be typed."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal", hint='to have one request done: bottega run "your request"')
    from ..console import Console

    return Console(settings).run()
