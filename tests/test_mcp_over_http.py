"""Web servers that misbehave, and an older one with sessions that forgets them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mcp_support import call, listed, with_tools

from bottega.core.errors import ServerError
from bottega.tools import Tool
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import ServerConfig

Problems = list[tuple[str, str]]


class Web(ThreadingHTTPServer):
    """Speaks the 2025-11-25 protocol at /mcp; other paths misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sessions: set[str] = set()
        self.opened = 0
        self.done = threading.Event()

    def url(self, path: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/mute":
            self.server.done.wait(20)
        elif self.path == "/secret" and self.headers.get("authorization") != "Bearer s3cret-token":
            self.reply(401, {"error": "who are you?"})
        elif self.path.startswith("/broken"):
            self.reply(500, None)
        elif "id" not in message:
            self.reply(202, None)
        else:
            self.answer(message["id"], message["method"], message.get("params") or {})

    def answer(self, identity: Any, method: str, params: dict[str, Any]) -> None:
        session = self.headers.get("mcp-session-id")
        if method == "initialize":
            self.server.opened += 1
            session = f"session-{self.server.opened}"
            self.server.sessions.add(session)
            about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            about["serverInfo"] = {"name": "w", "version": "1"}
            self.reply(200, {"jsonrpc": "2.0", "id": identity, "result": about}, session)
        elif session is None:
            self.reply(400, {"error": "no session"})
        elif session not in self.server.sessions:
            self.reply(404, {"error": "no such session"})
        elif method == "tools/list":
            tools = [{"name": "whoami", "inputSchema": {"type": "object"}}]
            self.reply(200, {"jsonrpc": "2.0", "id": identity, "result": {"tools": tools}})
        else:
            content = [{"type": "text", "text": session}]
            self.reply(200, {"jsonrpc": "2.0", "id": identity, "result": {"content": content}})

    def reply(self, status: int, body: Any, session: str | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        if session:
            self.send_header("mcp-session-id", session)
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        self.reply(405, None)

    do_DELETE = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.done.set()
    server.shutdown()
    server.server_close()


def test_a_session_that_was_forgotten_is_opened_again_within_the_call(tmp_path: Path, web: Web) -> None:
    async def work() -> None:
        async with Catalog.open([ServerConfig("old", url=web.url())], tmp_path) as servers:
            (tool,), problems = await listed(servers)
            assert problems == []
            assert (await call(tool, tmp_path)).text == "session-1"
            web.sessions.clear()
            assert (await call(tool, tmp_path)).text == "session-2"
            assert (await call(tool, tmp_path)).text == "session-2"

    asyncio.run(work())


def test_refusals_name_the_status_and_no_secret(tmp_path: Path, web: Web) -> None:
    configs = [
        ServerConfig("locked", url=web.url("/secret"), headers={"Authorization": "Bearer wrong-token"}),
        ServerConfig("unlocked", url=web.url("/secret"), headers={"Authorization": "Bearer s3cret-token"}),
        ServerConfig("broken", url=web.url("/broken?key=s3cret")),
    ]

    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert list(tools) == ["unlocked/whoami"]
        assert dict(problems) == {
            "locked": "server 'locked' answered with HTTP status 401 (check its headers)",
            "broken": "server 'broken' answered with HTTP status 500",
        }

    asyncio.run(with_tools(configs, tmp_path, use))


def test_a_mute_url_costs_its_startup_timeout(tmp_path: Path, web: Web) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert len(problems) == 1
        assert problems[0][1].startswith("server 'mute' did not answer within 0.5 s of its start")

    started = time.monotonic()
    asyncio.run(with_tools([ServerConfig("mute", url=web.url("/mute"), startup_timeout=0.5)], tmp_path, use))
    assert time.monotonic() - started < 3


def test_a_web_server_that_goes_away_is_one_error(tmp_path: Path, web: Web) -> None:
    async def work() -> None:
        async with Catalog.open([ServerConfig("old", url=web.url())], tmp_path) as servers:
            (tool,), _ = await listed(servers)
            web.shutdown()
            web.server_close()
            with pytest.raises(ServerError, match="server 'old' cannot be reached at http://127"):
                await call(tool, tmp_path)

    asyncio.run(work())
