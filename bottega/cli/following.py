"""Follows a run to its end: shows how it goes on stderr, puts its questions, prints the answer on stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from ..settings import Settings
from .asking import Asker, read_line
from .options import can_ask, opened
from .output import print_json
from .progress import Progress
from .record import Record
from .text import plain

if TYPE_CHECKING:
    from ..agents.plan import RunResult
    from ..graphs.events import Event
    from ..workshop import Bottega

Form = Literal["text", "json", "stream-json"]
FORMS = click.Choice(["text", "json", "stream-json"])


def form_options(command: Any) -> Any:
    """`--json`, `--output` and `--quiet`."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing but the answer."),
        click.option("--output", type=FORMS, default="text", help="stream-json: one event a line."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
    ):
        command = option(command)
    return command


async def follow(
    settings: Settings,
    begin: Callable[[Bottega], AsyncGenerator[Event, None]],
    request: str,
    form: Form,
    quiet: bool,
) -> int:
    """Runs what `begin` begins, and gives the exit code."""
    from ..graphs.events import RunFinished

    progress = None if quiet else Progress()
    asker = Asker(read_line, pause=progress.pause if progress else lambda: None)
    record = Record(request)
    try:
        async with (
            traced(settings) as trace,
            opened(settings, asker if can_ask() else None) as bottega,
            aclosing(begin(bottega)) as events,
        ):
            async for event in events:
                record(event)
                trace(event)
                if form == "stream-json":
                    print(event.model_dump_json(), flush=True)
                if progress is not None:
                    progress(event)
    except asyncio.CancelledError:
        pass  # what was done until then is told below
    finally:
        if progress is not None:
            progress.pause()
    result = record.result or record.cancelled()
    if form == "json":
        print_json(result.to_json())
    elif form == "text":
        print(plain(result.answer))
    elif record.result is None:
        print(RunFinished(run=result.run, result=result).model_dump_json())
    if progress is not None:
        _tell_on(result)
    return result.exit_code


@asynccontextmanager
async def traced(settings: Settings) -> AsyncIterator[Callable[[Event], None]]:
    """What hears of events to make traces of them; nothing where none are wanted. Tells what got lost on the way."""
    if settings.traces is None:
        yield lambda event: None
        return
    from ..graphs.otlp import Otlp
    from ..graphs.traces import Traces

    collector = Otlp(settings.traces)
    traces = Traces(collector.provider, content=settings.trace_content)
    try:
        yield traces
    finally:
        traces.close()
        if problem := await asyncio.to_thread(collector.close):
            print(f"warning: {problem}", file=sys.stderr)


def _tell_on(result: RunResult) -> None:
    """How a run that did not come to its end goes on."""
    if result.run and result.status in ("waiting", "exhausted", "cancelled"):
        print(f"to go on: bottega runs resume {result.run}", file=sys.stderr)
