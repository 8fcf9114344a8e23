"""Stdio servers that misbehave, in raw JSON-RPC of the 2025-11-25 protocol: python odd.py KIND [MARK]

MARK is only there to find the process by.
"""

import json
import os
import signal
import subprocess
import sys
import time

KIND = sys.argv[1]
ECHO = {
    "name": "echo",
    "description": "Say it back.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}


def plain(name, **more):
    return {"name": name, "description": name, "inputSchema": {"type": "object"}} | more


TOOLS = {
    "fragile": [ECHO, plain("die"), plain("hang"), plain("refuse")],
    "careless": [
        plain("empty_schema", inputSchema={}),
        plain("no schema at all", inputSchema=None),
        plain("odd_properties", inputSchema={"type": "object", "properties": {"a": 5}}),
        plain("bad_hints", annotations={"readOnlyHint": "certainly"}),
        plain("", inputSchema={"type": "object"}),
        "not even an object",
        ECHO,
        ECHO,
    ],
    "liar": [
        plain("liar", outputSchema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    ],
    "colourful": [plain("paint", description="Paints\x1b[31m red\x07.")],
}.get(KIND, [ECHO])


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def text(words, **more):
    return {"content": [{"type": "text", "text": words}]} | more


def call(name, arguments):
    if name == "die":
        print(
            "Traceback (most recent call last):\n  File somewhere\nValueError: token=abcdef123456 is bad",
            file=sys.stderr,
        )
        sys.stderr.flush()
        os._exit(9)
    if name == "hang":
        return None
    if name == "liar":
        return text("x", structuredContent={"n": "not a number"})
    if name == "paint":
        return text("\x1b]0;title\x07\x1b[1mbold\x1b[0m\r\nnext\x00")
    return text(arguments.get("text", ""))


pages = 0
if KIND == "mute":
    for _ in sys.stdin:
        pass
    sys.exit()
if KIND == "dead":
    sys.exit("fatal: no API_KEY=s3cret-value given")
if KIND == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.argv[2] != "child":
        subprocess.Popen([sys.executable, __file__, "sleeper", sys.argv[2]], stdin=subprocess.DEVNULL)
if KIND == "sleeper":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if KIND == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND == "noisy":
    print("Welcome to my server!\n{not json}\n[]")
    print("a warning on stderr", file=sys.stderr)

for line in sys.stdin:
    message = json.loads(line)
    method, identity, params = message.get("method"), message.get("id"), message.get("params") or {}
    if KIND == "noisy":
        print("DEBUG", method)
    if KIND == "touchy" and method not in ("initialize", "notifications/initialized", "tools/list", "tools/call"):
        sys.exit("error: expected initialize")
    if identity is None:
        continue
    if method == "initialize":
        about = {"name": KIND, "version": "1"}
        send(
            {
                "jsonrpc": "2.0",
                "id": identity,
                "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about},
            }
        )
    elif method == "tools/list":
        pages += 1
        result = {"tools": TOOLS}
        if KIND == "endless":
            result = {"tools": [plain(f"t{pages}")], "nextCursor": str(pages)}
        elif KIND == "stalling":
            if pages > 1:
                continue
            result = {"tools": [plain("t1")], "nextCursor": "more"}
        elif KIND == "circling":
            result = {"tools": [plain(f"t{pages}")], "nextCursor": "again"}
        elif KIND == "nonsense":
            result = {"tools": "many"}
        send({"jsonrpc": "2.0", "id": identity, "result": result})
    elif method == "tools/call" and params["name"] == "refuse":
        send({"jsonrpc": "2.0", "id": identity, "error": {"code": -32602, "message": "not today"}})
    elif method == "tools/call":
        if (result := call(params["name"], params.get("arguments") or {})) is not None:
            send({"jsonrpc": "2.0", "id": identity, "result": result})
    elif KIND != "ignorant":
        send({"jsonrpc": "2.0", "id": identity, "error": {"code": -32601, "message": f"no method {method}"}})

if KIND in ("stubborn", "deaf"):
    time.sleep(600)
