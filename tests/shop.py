"""A small shop on loopback, served for real, and the document that describes it. Also run by hand: `python shop.py`."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ORDERS = {
    1: {"id": 1, "customer": "Ada", "status": "open", "total": 12.5},
    2: {"id": 2, "customer": "Ben", "status": "sent", "total": 80},
    3: {"id": 3, "customer": "Ada", "status": "sent", "total": 7},
}
TOKEN = "tok-1234567890"

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/orders": {
            "get": {
                "operationId": "listOrders",
                "summary": "List the orders of the shop",
                "tags": ["orders"],
                "parameters": [
                    {"$ref": "#/components/parameters/Status"},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 20}},
                ],
                "responses": {
                    "200": {
                        "description": "orders",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}}
                            }
                        },
                    }
                },
            },
            "post": {
                "operationId": "createOrder",
                "summary": "Order something",
                "description": "Order something for a customer; an order is open until it is sent.",
                "tags": ["orders"],
                "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewOrder"}}}},
                "responses": {"201": {"$ref": "#/components/responses/Order"}},
            },
        },
        "/orders/{orderId}": {
            "parameters": [
                {
                    "name": "orderId",
                    "in": "path",
                    "required": True,
                    "description": "number of the order",
                    "schema": {"type": "integer"},
                }
            ],
            "get": {
                "summary": "Show an order",
                "tags": ["orders"],
                "responses": {"200": {"$ref": "#/components/responses/Order"}},
            },
            "delete": {
                "operationId": "cancelOrder",
                "summary": "Cancel an order",
                "security": [{"key": []}],
                "responses": {"204": {"description": "gone"}},
            },
            "put": {
                "operationId": "noteOrder",
                "summary": "Write a note on an order",
                "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}},
                "responses": {"204": {"description": "done"}},
            },
        },
    },
    "components": {
        "parameters": {
            "Status": {
                "name": "status",
                "in": "query",
                "description": "only orders with this status",
                "schema": {"type": "string", "enum": ["open", "sent"]},
            }
        },
        "responses": {
            "Order": {
                "description": "an order",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
            }
        },
        "schemas": {
            "Order": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "customer": {"type": "string"},
                    "status": {"type": "string"},
                    "total": {"type": "number"},
                },
            },
            "NewOrder": {
                "type": "object",
                "required": ["customer", "total"],
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "customer": {"type": "string", "description": "name of the customer"},
                    "total": {"type": "number"},
                    "coupon": {"type": "string", "nullable": True},
                },
            },
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
}
"""What `/openapi.json` gives."""


class Shop(BaseHTTPRequestHandler):
    """Paths below `/echo` give back the request as it came."""

    protocol_version = "HTTP/1.1"
    server: ShopServer

    def do(self) -> None:
        """Any method."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding"):
            raise AssertionError("a length is always known")
        split = urlsplit(self.path)
        request = {
            "method": self.command,
            "path": split.path,
            "query": split.query,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": base64.b64encode(body).decode(),
        }
        self.server.requests.append(request)
        head, *rest = unquote(split.path).strip("/").split("/")
        getattr(self, f"on_{head.replace('.', '_').replace('-', '_')}", self.on_nothing)(request, body, rest)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do

    def on_openapi_json(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, DOCUMENT)

    def on_orders(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        orders = self.server.orders
        if rest and int(rest[0]) not in orders:
            self.say(404, {"message": f"there is no order {rest[0]}"})
        elif self.command == "GET" and rest:
            self.say(200, orders[int(rest[0])])
        elif self.command == "GET":
            asked = parse_qs(request["query"])
            found = [o for o in orders.values() if o["status"] in asked.get("status", [o["status"]])]
            self.say(200, found[: int(asked.get("limit", ["20"])[0])])
        elif self.command == "POST":
            key = request["headers"].get("idempotency-key")
            if key is None or key not in self.server.keys:
                number = max(orders) + 1
                orders[number] = {"id": number, "status": "open", **json.loads(body)}
                self.server.keys[key] = number
            self.say(201, orders[self.server.keys[key]])
        elif self.command == "DELETE" and request["headers"].get("x-key") != TOKEN:
            self.say(401, {"error": {"message": f"not your shop: {request['headers'].get('x-key')}"}})
        elif self.command == "DELETE":
            del orders[int(rest[0])]
            self.say(204)
        else:
            orders[int(rest[0])]["note"] = body.decode()
            self.say(204)

    def on_echo(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, request)

    def on_page(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(500, b"<html><head><title>It broke</title></head><body>Traceback</body></html>", "text/html")

    def on_text(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, "naïve\x1b[31m 12".encode("latin-1"), "text/plain; charset=latin-1")

    def on_picture(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, b"\x89PNG\0\0\0\0", "image/png")

    def on_huge(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, b'["' + b"x" * 5_000_000 + b'"]', "application/json")

    def on_slow(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.server.stopped.wait(20)

    def on_hang_up(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.close_connection = True

    def on_gateway(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(502, b"upstream", "text/plain")

    def on_busy(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        calls = sum(r["path"].startswith("/busy") for r in self.server.requests)
        self.say(200 if calls > 1 else 429, {"calls": calls}, **{"Retry-After": "0"})

    def on_moved(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        """To `/echo` here, or to where the rest of the path says."""
        where = "/".join(rest[1:]) or "/echo/moved"
        self.say(int(rest[0]), None, Location=where)

    def on_round(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(302, None, Location=request["path"])

    def on_cookie(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(200, request, **{"Set-Cookie": "session=1"})

    def on_nothing(self, request: dict[str, Any], body: bytes, rest: list[str]) -> None:
        self.say(404, {"detail": [{"loc": ["body", "x"], "msg": "no such page"}]})

    def say(self, status: int, body: Any = None, kind: str = "application/json", **headers: str) -> None:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if raw:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, *_: Any) -> None: ...


class ShopServer(ThreadingHTTPServer):
    """The shop; `requests` are those that it got."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Shop)
        self.requests: list[dict[str, Any]] = []
        self.orders: dict[int, dict[str, Any]] = {number: dict(order) for number, order in ORDERS.items()}
        self.keys: dict[str | None, int] = {}
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None: ...


@contextmanager
def shop() -> Iterator[ShopServer]:
    """A shop that is open for as long as the block lasts."""
    server = ShopServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with shop() as served:
        print(served.url, flush=True)
        while True:
            time.sleep(3600)
