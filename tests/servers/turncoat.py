"""A stdio server whose tools are what a file says at the moment: python turncoat.py TOOLS.json [MARK]

Raw JSON-RPC of the 2025-11-25 protocol. Calling `announce` has it say that its tools changed, `flood` has it say so
700 times; `die` ends it, `hang` is never answered; all other tools give their arguments back.
"""

import json
import os
import sys
from pathlib import Path

CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(method, params):
    if method == "initialize":
        about = {"name": "turncoat", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": about}
    if method == "tools/list":
        with (Path(sys.argv[1]).parent / "lists").open("a") as lists:
            lists.write("x")
        return {"tools": json.loads(Path(sys.argv[1]).read_text())}
    if params["name"] == "die":
        os._exit(9)
    for _ in range({"announce": 1, "flood": 700}.get(params["name"], 0)):
        send(CHANGED)
    return {"content": [{"type": "text", "text": json.dumps(params.get("arguments") or {})}]}


for line in sys.stdin:
    message = json.loads(line)
    if message.get("id") is None:
        continue
    if message["method"] not in ("initialize", "tools/list", "tools/call"):
        error = {"code": -32601, "message": f"no method {message['method']}"}
        send({"jsonrpc": "2.0", "id": message["id"], "error": error})
    elif (message.get("params") or {}).get("name") != "hang":
        send({"jsonrpc": "2.0", "id": message["id"], "result": answer(message["method"], message.get("params") or {})})
