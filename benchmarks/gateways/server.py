"""A server to measure gateways with: `echo`, and as many other tools as are wanted.

python server.py [--tools N] [--http PORT]      with the SDK, as most servers are
python server.py --plain [--tools N]            of nothing but Python, of which fifty start in seconds
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

ACTIONS = ("archive", "compare", "count", "draft", "export", "forward", "list", "merge", "rename", "restore")
THINGS = ("invoice", "parcel", "recipe", "timesheet", "voucher", "floor plan", "sensor reading", "playlist")


def definition(number: int) -> dict[str, Any]:
    """The tool of a number: told apart by what it does to what."""
    action, thing = ACTIONS[number % len(ACTIONS)], THINGS[number // len(ACTIONS) % len(THINGS)]
    properties = {
        "id": {"type": "string", "description": f"which {thing}"},
        "since": {"type": "string", "format": "date", "description": "only what is newer"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
        "order": {"type": "string", "enum": ["oldest", "newest"]},
    }
    return {
        "name": f"{action}_{thing.replace(' ', '_')}_{number}",
        "description": f"{action.capitalize()} a {thing} of branch {number}.",
        "inputSchema": {"type": "object", "properties": properties, "required": ["id"]},
        "annotations": {"readOnlyHint": True},
    }


def definitions(count: int) -> list[dict[str, Any]]:
    """`echo`, and others up to `count` tools."""
    echo = {
        "name": "echo",
        "description": "Give the text back.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        "annotations": {"readOnlyHint": True},
    }
    return [echo, *(definition(number) for number in range(count - 1))]


def text_of(name: str, arguments: dict[str, Any]) -> str:
    return str(arguments.get("text", "")) if name == "echo" else f"{name} done"


def serve_plain(tools: list[dict[str, Any]]) -> None:
    """The older protocol on stdin and stdout."""
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params") or {}
        if "id" not in message:
            continue
        result: dict[str, Any] | None = None
        if method == "initialize":
            info = {"name": "plain", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            result = {"tools": tools}
        elif method == "tools/call":
            text = text_of(params["name"], params.get("arguments") or {})
            result = {"content": [{"type": "text", "text": text}]}
        error = {"code": -32601, "message": "there is no such method"}
        answer = {"error": error} if result is None else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)


def serve_with_sdk(tools: list[dict[str, Any]], port: int | None) -> None:
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in tools])

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        text = text_of(params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    server = Server[Any]("measured", on_list_tools=list_tools, on_call_tool=call_tool)
    if port is not None:
        import uvicorn

        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="error", access_log=False)
        return

    async def over_stdio() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    asyncio.run(over_stdio())


def main() -> None:
    parser = argparse.ArgumentParser(description="A server to measure gateways with.")
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--http", type=int, metavar="PORT")
    options = parser.parse_args()
    tools = definitions(options.tools)
    if options.plain:
        serve_plain(tools)
    else:
        serve_with_sdk(tools, options.http)


if __name__ == "__main__":
    main()
