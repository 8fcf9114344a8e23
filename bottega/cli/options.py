"""What several commands share: their options, and opening the workshop with them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..settings import NAMES, Settings

if TYPE_CHECKING:
    from ..agents.plan import Budget
    from ..graphs.approvals import Approve
    from ..workshop import Bottega

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def workshop_options(command: F) -> F:
    """`--workspace`, `--mcp-config`, `--web` and `--ledger`, given to the command as `settings`."""

    @functools.wraps(command)  # which also carries over the options that `command` already has
    def with_settings(workspace: str, **rest: Any) -> Any:
        flags = {name: rest.pop(name) for name in list(rest) if name in NAMES}
        settings = Settings.load(workspace, flags)
        extra = {name: rest.pop(name) for name in ("later", "approve_plan") if name in rest}
        return command(settings=dataclasses.replace(settings, **extra), **rest)

    wrapped: F = _with_options(
        with_settings,
        click.option(
            "--workspace", metavar="DIR", default=".", help="The folder to work in instead of the current one."
        ),
        click.option("--mcp-config", metavar="FILE", help="A JSON file with mcpServers; added to the folder's own."),
        click.option("--web", is_flag=True, help="Let tools reach the network."),
        click.option("--ledger", metavar="PLACE", help="Keep runs in this file or database URL; :memory: for not."),
    )
    return wrapped


def engine_options(command: F) -> F:
    """How a run is to be done: who is asked, who thinks, what it may spend."""
    wrapped: F = _with_options(
        command,
        click.option(
            "--yes", is_flag=True, help="Approve side effects inside the folder, and the tools of your servers."
        ),
        click.option("--later", is_flag=True, help="Let the run wait for approvals: bottega runs answer, then resume."),
        click.option("--approve-plan", is_flag=True, help="Ask about the plan before it is done."),
        *model_options(),
        click.option(
            "--budget", metavar="LIMITS", help="What it may spend: tokens=20000,cost=0.5,seconds=60,calls=40,depth=2"
        ),
        click.option("--traces", metavar="URL", help="Send traces to this OpenTelemetry collector (OTLP over HTTP)."),
        click.option("--trace-content", is_flag=True, help="Let traces carry requests, arguments and answers."),
    )
    return wrapped


def model_options() -> tuple[Callable[[Any], Any], ...]:
    """`--model`, `--base-url` and `--planner`."""
    return (
        click.option("--model", metavar="NAME", help="A language model, for what the house models cannot do."),
        click.option("--base-url", metavar="URL", help="An OpenAI-compatible server that has the model."),
        click.option(
            "--price", metavar="IN,OUT", help="Its price in dollars per million tokens: for budgets in money."
        ),
        click.option(
            "--planner",
            type=click.Choice(["house", "llm", "none"]),
            help="Who plans: the house models (default), the language model, or nobody.",
        ),
    )


def _with_options(command: Any, *options: Callable[[Any], Any]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


def opened(settings: Settings, approve: Approve = None, without: Sequence[str] = ()) -> Bottega:
    """The workshop of these settings, to be used `async with`. `approve` as in `Bottega`; `--yes` goes before it.

    Raises `UsageError` for a budget or a model that cannot be.
    """
    from ..workshop import Bottega

    answer: Approve = "all" if settings.yes else "later" if settings.later else approve
    model: Any = settings.model
    if model is not None:
        from ..models.chat import open_chat

        price = _price(settings.price)
        model = open_chat(model, base_url=settings.base_url, api_key=settings.api_key, price=price)
    named: dict[str, Any] = {"planner": settings.planner} if settings.planner else {}
    return Bottega(
        settings.workspace,
        servers=settings.mcp_config,
        web=settings.web,
        approve=answer,
        approve_plan=settings.approve_plan,
        model=model,
        budget=_budget(settings.budget),
        ledger=settings.ledger,
        without=without,
        **named,
    )


def _price(text: str | None) -> tuple[float, float] | None:
    """A price of `0.25,2`."""
    if not text:
        return None
    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        read = written = -1.0
    if read < 0 or written < 0:
        from ..core.errors import UsageError

        raise UsageError(f"the price {text!r} cannot be", hint="dollars per million tokens read and written: 0.25,2")
    return read, written


def _budget(text: str | None) -> Budget | None:
    """A budget of `tokens=20000,seconds=60`."""
    if not text:
        return None
    from pydantic import ValidationError

    from ..agents.plan import Budget
    from ..core.errors import UsageError

    hint = "such as tokens=20000,cost=0.5,seconds=60,calls=40,depth=2"
    try:
        parts = dict(part.strip().split("=", 1) for part in text.split(","))
        return Budget.model_validate(parts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the budget {text!r} cannot be: {where}: {first['msg'].lower()}", hint=hint) from None
    except ValueError:
        raise UsageError(f"the budget {text!r} cannot be", hint=hint) from None


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
