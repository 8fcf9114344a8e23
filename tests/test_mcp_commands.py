"""`bottega mcp`: what it prints where, and what it ends with."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp_support import SERVERS

from bottega.cli.group import run

ODD = [sys.executable, str(SERVERS / "odd.py")]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def bottega(folder: Path, *arguments: str) -> Done:
    """Runs `bottega mcp` in the folder, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["mcp", *arguments])
    assert "Traceback" not in err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good and one dead server, added by the command line."""
    folder = tmp_path_factory.mktemp("office")
    assert bottega(folder, "add", "odd", "--env", "MODE=${NONE:-x}", "--", *ODD, "fragile").returncode == 0
    assert bottega(folder, "add", "dead", "--", *ODD, "dead").returncode == 0
    return folder


def test_servers_are_added_and_removed(tmp_path: Path) -> None:
    added = bottega(tmp_path, "add", "time", "--env", "TZ=UTC", "--", "python", "-m", "mcp_server_time", "--x")
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "added time in .mcp.json\n")
    assert bottega(tmp_path, "add", "far", "--url", "https://h/mcp", "--header", "A=b").returncode == 0
    assert json.loads((tmp_path / ".mcp.json").read_text()) == {
        "mcpServers": {
            "time": {"command": "python", "args": ["-m", "mcp_server_time", "--x"], "env": {"TZ": "UTC"}},
            "far": {"type": "http", "url": "https://h/mcp", "headers": {"A": "b"}},
        }
    }
    assert bottega(tmp_path, "remove", "time").returncode == 0
    gone = bottega(tmp_path, "remove", "time")
    assert gone.returncode == 2
    assert "has no server 'time'" in gone.stderr


def test_list_tells_the_state_of_each_server(office: Path) -> None:
    done = bottega(office, "list", "--json")
    assert done.returncode == 75
    good, dead = json.loads(done.stdout)
    assert (good["name"], good["state"], good["failed"], good["tools"]) == ("odd", "connected", False, 4)
    assert (dead["name"], dead["state"], dead["failed"], dead["tools"]) == ("dead", "configured", True, 0)
    assert dead["problems"] == ["server 'dead' ended with exit code 1: fatal: no API_KEY=[redacted] given"]


def test_tools_go_to_stdout_and_problems_to_stderr(office: Path) -> None:
    done = bottega(office, "tools")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "odd/echo",
        "odd/die",
        "odd/hang",
        "odd/refuse",
    ]
    assert done.stderr.startswith("dead: server 'dead' ended with exit code 1")
    assert done.returncode == 0


def test_a_tool_is_called(office: Path) -> None:
    done = bottega(office, "call", "odd/echo", "--args", '{"text": "ciao"}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "ciao\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["call", "odd/refuse"], 1, "error: refuse: not today"),
        (["call", "odd/die"], 75, "error: server 'odd' ended with exit code 9"),
        (["call", "dead/x"], 75, "error: server 'dead' ended with exit code 1"),
        (["call", "odd/ecko"], 2, "error: server 'odd' has no tool 'ecko'\nhint: did you mean echo?"),
        (["call", "od/echo"], 2, "error: there is no server 'od'\nhint: did you mean odd?"),
        (["call", "odd/echo", "--args", "{"], 2, "error: --args is not JSON"),
        (["call", "odd/echo", "--args", "[]"], 2, "error: --args has to be a JSON object"),
        (["add", "x"], 2, "error: a server needs either a command, a --url or an --openapi document"),
        (["add", "x", "--env", "novalue", "--", "y"], 2, "error: --env 'novalue' is not KEY=VALUE"),
        (["tools", "--mcp-config", "none.json"], 2, "error: none.json cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_the_right_exit_code(
    office: Path, arguments: list[str], code: int, error: str
) -> None:
    done = bottega(office, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(error)


def test_a_broken_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {"a" 1}}')
    done = bottega(tmp_path, "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: .mcp.json:1:21: broken JSON: expecting ':' delimiter\n"
