"""The toolset web: only with permission, only public addresses, bounded in size and time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bottega.core.errors import ToolError
from bottega.tools import ToolContext, ToolResult, Workspace
from bottega.tools.house import house_toolset, web
from bottega.tools.house.html import html_text

PAGE = """<!doctype html><html><head><title>A &amp; B</title><style>p {}</style></head><body>
<h1>Opening   hours</h1><p>Open on <b>Monday</b>.<br>Closed else.</p><ul><li>one</li><li>two</li></ul>
<script>alert("no")</script><table><tr><td>a</td><td>b</td></tr></table><p>é</p></body></html>"""


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
            return
        body, kind = {
            "/": (PAGE.encode(), "text/html; charset=utf-8"),
            "/latin": ("<meta charset=latin-1>Zoë".encode("latin-1"), "text/html"),
            "/json": (b'{"a": 1}', "application/json"),
            "/picture": (b"\x89PNG", "image/png"),
            "/huge": (b"x" * 4_000_000, "text/plain"),
            "/host": (self.headers["Host"].encode(), "text/plain"),
            "/slow": (b"", "text/plain"),
        }.get(path, (b"", ""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", "5" if path == "/slow" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if path == "/slow":
            self.server.stopped.wait(10)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.stopped = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.stopped.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def fetch(folder: Path, url: str, *, permitted: bool = True) -> ToolResult:
    return asyncio.run(house_toolset("web")["fetch_page"](ToolContext(Workspace.at(folder), web=permitted), url=url))


def read(url: str) -> ToolResult:
    """Reads a page of this machine, which the tool itself never does."""
    return asyncio.run(web.read_page(url, allows=lambda address: address.is_loopback))


def test_without_permission_nothing_is_fetched(tmp_path: Path) -> None:
    result = fetch(tmp_path, "https://example.org", permitted=False)
    assert result.is_error
    assert "not permitted" in result.text
    assert "allow" in result.text


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[::ffff:127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "224.0.0.1",
        "2130706433",
        "0x7f.1",
    ],
)
def test_private_addresses_are_refused(tmp_path: Path, host: str) -> None:
    result = fetch(tmp_path, f"http://{host}/")
    assert result.is_error
    assert "public internet" in result.text or "not known" in result.text or "not a web address" in result.text


def test_a_public_address_is_public() -> None:
    assert web.is_public(ipaddress.ip_address("93.184.216.34"))
    assert web.is_public(ipaddress.ip_address("2606:2800:220:1:248:1893:25c8:1946"))


def test_a_name_that_leads_to_a_private_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: resolve(host, port))
    assert "10.0.0.1" in fetch(tmp_path, "http://innocent.example/").text


def test_a_redirect_to_a_private_address_is_refused(site: str) -> None:
    with pytest.raises(ToolError, match="public internet"):
        read(f"{site}/to/http://169.254.169.254/latest")
    with pytest.raises(ToolError, match="not a web address"):
        read(f"{site}/to/file:///etc/passwd")


def test_redirects_are_followed_a_few_times(site: str) -> None:
    assert read(f"{site}/to//host").text == site.removeprefix("http://")
    with pytest.raises(ToolError, match="redirects more than"):
        read(f"{site}/to/" + "/to/" * 9 + "/")


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "file:///etc/passwd", "http://", "http://u:p@example.org", "\0"]
)
def test_what_is_no_web_address_is_refused(tmp_path: Path, url: str) -> None:
    assert fetch(tmp_path, url).is_error


def test_a_page_is_read_as_text(site: str) -> None:
    result = read(site + "/")
    assert result.data["title"] == "A & B"
    assert result.text == "A & B\n\n# Opening hours\n\nOpen on Monday.\nClosed else.\n\n- one\n- two\n\na b\n\né"
    assert result.data["url"] == site + "/"


def test_the_host_that_was_asked_for_is_told_to_the_server(site: str) -> None:
    port = site.rsplit(":", 1)[1]
    assert read(f"http://localhost:{port}/host").text == f"localhost:{port}"


def test_other_text_is_given_as_it_is(site: str) -> None:
    assert read(site + "/json").text == '{"a": 1}'
    assert read(site + "/latin").text == "Zoë"


def test_what_is_no_text_too_large_or_not_there_is_said(site: str) -> None:
    with pytest.raises(ToolError, match="image/png"):
        read(site + "/picture")
    with pytest.raises(ToolError, match="larger than 3 MB"):
        read(site + "/huge")
    with pytest.raises(ToolError, match="404 Not Found"):
        read(site + "/nothing")


def test_a_server_that_is_not_there_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ToolError, match="cannot be fetched"):
            read(f"http://127.0.0.1:{unused.getsockname()[1]}/")


def test_a_server_that_stalls_is_given_up(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_SECONDS", 0.3)
    with pytest.raises(ToolError, match="longer than"):
        read(site + "/slow")


def test_html_without_order_is_still_read() -> None:
    assert html_text("<p>a<p>b</div><li>c") == ("", "a\n\nb\n\n- c")
    assert html_text("<head><meta x><title>T</title><body>x") == ("T", "x")
    assert html_text("<svg><title>no</title></svg>yes<script>x<y</script>") == ("", "yes")
    assert html_text("plain &lt;text&gt;") == ("", "plain <text>")
    assert html_text("<pre>a\n  b</pre>")[1] == "a\nb"
    assert html_text("") == ("", "")
