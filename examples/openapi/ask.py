"""Ask something that only an HTTP API knows: `kilns.yaml` describes it, and each of its operations is a tool.

python examples/openapi/ask.py [REQUEST]
"""

import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bottega import Bottega

TEMPERATURES = {"large": 1220.5, "small": 24}


class Kilns(BaseHTTPRequestHandler):
    """The API, so that there is something to ask."""

    def do_GET(self) -> None:
        kiln = self.path.split("/")[2]
        body = json.dumps({"kiln": kiln, "celsius": TEMPERATURES[kiln]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


with ThreadingHTTPServer(("127.0.0.1", 0), Kilns) as api, tempfile.TemporaryDirectory() as folder:
    threading.Thread(target=api.serve_forever, daemon=True).start()
    kilns = {
        "openapi": str(Path(__file__).with_name("kilns.yaml")),
        "base_url": f"http://127.0.0.1:{api.server_address[1]}",
        "include": ["kilns"],
    }
    with Bottega(folder, servers={"kilns": kilns}) as bottega:
        result = bottega.run(sys.argv[1] if len(sys.argv) > 1 else "How hot is the large kiln?")
    api.shutdown()

print(result.answer)
sys.exit(result.exit_code)
