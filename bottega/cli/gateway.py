"""`bottega serve mcp --gateway`: all tools of the configured servers behind one server."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UsageError
from ..settings import Settings
from .output import tell
from .serving import serve_at

if TYPE_CHECKING:
    from ..retrieval.encoding import Encoding
    from ..servers.gateway import Gateway
    from ..tools import Workspace
    from ..tools.mcp import ServerConfig


@dataclass(frozen=True)
class GatewayOptions:
    """What `bottega serve mcp` takes for its gateway; None is what was not given."""

    all_tools: bool = False
    audit: Path | None = None
    longest: float | None = None
    idle: float | None = None

    @property
    def given(self) -> str | None:
        """The name of an option that was given."""
        named = {
            "--all-tools": self.all_tools,
            "--audit": self.audit,
            "--longest": self.longest,
            "--idle": self.idle,
        }
        return next((name for name, value in named.items() if value), None)


async def serve_gateway(settings: Settings, options: GatewayOptions, address: tuple[str, int] | None) -> int:
    """Serves until the client leaves, or at a host and port until it is cancelled.

    Raises `UsageError` where no server is configured, `ConfigError` for files that cannot be used.
    """
    # Before numpy is loaded: on a busy machine its threads wait for each other longer than they work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .. import __version__
    from ..keeping import catalog_folder, read_rules
    from ..servers.gateway import AuditLog, Gateway, Limits
    from ..tools import ToolContext, Workspace
    from ..tools.catalog import Catalog
    from ..tools.mcp import read_config

    found = {config.name: config for config in read_config(settings.workspace)}
    if settings.mcp_config is not None:
        found |= {config.name: config for config in read_config(settings.mcp_config, workspace=settings.workspace)}
    configs = [config for config in found.values() if not _is_gateway(config)]
    if not configs:
        hint = "bottega mcp add NAME -- COMMAND, or name a file with --mcp-config"
        raise UsageError(f"{settings.workspace} has no servers for a gateway", hint=hint)
    workspace = Workspace.at(settings.workspace)
    folder = catalog_folder(workspace)
    read_rules(workspace)  # a broken file is to be known now
    default = Limits()
    limits = Limits(options.longest or default.longest, options.idle or default.idle)
    place = options.audit or (folder.parent / "audit.jsonl" if folder else None)
    audit = AuditLog(place) if place else None
    if folder is not None:
        _keep_from_git(folder.parent)
    try:
        async with (
            Catalog.open(configs, workspace.root, folder) as catalog,
            Gateway(
                catalog,
                ToolContext(workspace, web=settings.web),
                rules=lambda: read_rules(workspace),
                allow=settings.yes,
                all_tools=options.all_tools,
                index=folder.parent / "gateway" if folder else None,
                retriever=partial(_retriever, workspace),
                audit=audit,
                limits=limits,
                version=__version__,
            ) as gateway,
        ):
            known = f"{len(catalog.tools())} tools of {len(configs)} servers"
            await serve_at(address, known, partial(_over_pipes, gateway), partial(_over_http, gateway))
    finally:
        if audit is not None:
            audit.close()
            if audit.problem:
                tell(audit.problem)
    return 0


async def _over_pipes(gateway: Gateway) -> None:
    from ..servers.gateway.stdio import serve_stdio

    await serve_stdio(gateway)


async def _over_http(gateway: Gateway, *, host: str, port: int, started: Callable[[str], None]) -> None:
    from ..servers.gateway.http import serve_http  # imports the SDK

    await serve_http(gateway, host=host, port=port, started=started)


def _keep_from_git(folder: Path) -> None:
    """Lets no log of calls be committed by accident."""
    from ..keeping import NAME

    file = folder / ".gitignore"
    with suppress(OSError, UnicodeDecodeError):
        known = file.read_text("utf-8") if file.exists() else f"{NAME}*\n"
        if "audit.jsonl" not in known:
            folder.mkdir(exist_ok=True)
            file.write_text(f"{known}audit.jsonl*\ngateway/\n", "utf-8")


def _is_gateway(config: ServerConfig) -> bool:
    """Whether a server is a gateway itself, which would start another one, and that the next, without end."""
    return {"serve", "mcp", "--gateway"} <= set(config.args)


def _retriever(workspace: Workspace) -> Encoding:
    """The folder's own retriever, or the house's."""
    from ..keeping import own_retriever
    from ..retrieval.encoding import QuickRetriever

    own, notice = own_retriever(workspace)
    if notice:
        tell(notice)
    return QuickRetriever(own) if own else QuickRetriever()
