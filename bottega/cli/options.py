"""What several commands share: their options, and opening the workshop with them."""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..settings import Settings

if TYPE_CHECKING:
    from ..graphs.approvals import Approve
    from ..workshop import Bottega

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def workshop_options(command: F) -> F:
    """`--workspace`, `--mcp-config` and `--web`, given to the command as `settings`."""

    @functools.wraps(command)  # which also carries over the options that `command` already has
    def with_settings(workspace: str, mcp_config: str | None, web: bool, **rest: Any) -> Any:
        flags = {"mcp_config": mcp_config, "web": web, "yes": rest.pop("yes", False)}
        return command(settings=Settings.load(workspace, flags), **rest)

    wrapped: Any = with_settings
    for option in (
        click.option("--web", is_flag=True, help="Let tools reach the network."),
        click.option("--mcp-config", metavar="FILE", help="A JSON file with mcpServers; added to the folder's own."),
        click.option(
            "--workspace", metavar="DIR", default=".", help="The folder to work in instead of the current one."
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def opened(settings: Settings, approve: Approve = None) -> Bottega:
    """The workshop of these settings, to be used `async with`. `approve` as in `Bottega`; `--yes` goes before it."""
    from ..workshop import Bottega

    answer: Approve = "all" if settings.yes else approve
    return Bottega(settings.workspace, servers=settings.mcp_config, web=settings.web, approve=answer)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end. Ctrl-C and SIGTERM cancel it, so that it closes what it opened; another does not wait."""

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def can_ask() -> bool:
    """Whether there is a person to ask: a terminal on both sides."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def ask(question: str) -> bool:
    """Asks yes or no on stderr; anything but y and yes is no, an end of input too."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    return answer.strip().lower() in ("y", "yes")
