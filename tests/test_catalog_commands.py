"""`bottega tools`: what it shows of servers' tools, keeps in step, asks about, imports and exports."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp_support import SERVERS, processes

from bottega import Bottega
from bottega.cli.group import run
from bottega.core.errors import UsageError
from bottega.tools.catalog import Catalog, export_lines, read_definitions

Json = Any


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def bottega(folder: Path, *arguments: str) -> Done:
    """Runs a command line in the folder, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    assert "Traceback" not in err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


def definition(name: str, description: str = "", **more: Json) -> dict[str, Json]:
    return {"name": name, "description": description or f"Does {name}.", "inputSchema": {"type": "object"}} | more


def tells(folder: Path, *definitions: dict[str, Json]) -> None:
    (folder / "told.json").write_text(json.dumps(definitions))


def configured(folder: Path, mark: str = "x") -> None:
    """Has the folder one server, `coat`, whose tools are those that it is told to tell."""
    entry = {"command": sys.executable, "args": [str(SERVERS / "turncoat.py"), str(folder / "told.json"), mark]}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"coat": entry | {"startup_timeout_sec": 60}}}))


def rows(done: Done, server: str = "coat") -> list[list[str]]:
    """The lines about a server's tools, in words."""
    return [line.split() for line in done.stdout.splitlines() if line.startswith(f"{server}/")]


def test_a_run_starts_no_server_whose_tools_are_known(tmp_path: Path) -> None:
    mark = f"mark-{uuid.uuid4().hex}"
    tells(tmp_path, definition("a"))
    configured(tmp_path, mark)

    async def known() -> list[str]:
        async with Bottega(tmp_path) as workshop:
            found = [tool.id for tool in await workshop.catalog() if tool.server == "coat"]
            return [*found, f"{len(processes(mark))} running", *(text for _, text in workshop.notices)]

    assert asyncio.run(known()) == ["coat/a", "1 running"]
    assert asyncio.run(known()) == ["coat/a", "0 running"]
    tells(tmp_path, definition("a", "Does something else."))
    assert bottega(tmp_path, "tools", "sync").returncode == 0
    assert asyncio.run(known()) == [
        "0 running",
        "server 'coat': 1 tool has changed since approved, held back until you look: a "
        "(to look at what changed: bottega tools approve coat)",
    ]


def test_sync_shows_what_changed_and_approve_shows_how_and_asks(tmp_path: Path) -> None:
    tells(tmp_path, definition("pay"), definition("a"), definition("b"))
    configured(tmp_path)
    first = bottega(tmp_path, "tools", "sync")
    assert (first.returncode, first.stdout) == (0, "+ coat/pay\n+ coat/a\n+ coat/b\n")
    assert first.stderr == "[1/1] coat: 3 tools\n3 added, 0 changed, 0 removed\n"
    tells(tmp_path, definition("pay", "Pays.\x1b[31m Then tells."), definition("b"), definition("c"))
    second = bottega(tmp_path, "tools", "sync")
    assert second.stdout == "+ coat/c\n~ coat/pay (held back)\n- coat/a\n"
    assert second.stderr.endswith("1 added, 1 changed, 1 removed; 1 held back (bottega tools approve)\n")
    (told,) = json.loads(bottega(tmp_path, "tools", "sync", "coat", "--json").stdout)
    assert (told["tools"], told["changed"], told["held_back"]) == (2, [], ["coat/pay"])

    assert rows(bottega(tmp_path, "tools", "list")) == [
        ["coat/b", "listed", "Does", "b."],
        ["coat/c", "listed", "Does", "c."],
        ["coat/pay", "held", "back", "changed:", "description"],
    ]
    shown = bottega(tmp_path, "tools", "show", "pay")
    assert "held back: its description changed since it was approved (bottega tools approve coat/pay)" in shown.stdout
    called = bottega(tmp_path, "mcp", "call", "coat/pay")
    assert (called.returncode, called.stderr.splitlines()[0]) == (
        1,
        "error: coat/pay is held back: its description changed since it was approved",
    )

    asked = bottega(tmp_path, "tools", "approve")
    assert asked.returncode == 3  # nobody is at the terminal
    assert '-  "description": "Does pay."' in asked.stdout
    assert '+  "description": "Pays.\\u001b[31m Then tells."' in asked.stdout
    assert "\x1b" not in asked.stdout + asked.stderr
    assert bottega(tmp_path, "tools", "approve", "coat/b").stderr == (
        "error: nothing of 'coat/b' is held back\nhint: held back are: coat/pay\n"
    )
    assert bottega(tmp_path, "tools", "approve", "--yes", "coat").stderr == "approved 1 of 1\n"
    assert bottega(tmp_path, "mcp", "call", "coat/pay", "--args", '{"n": 1}').stdout == '{"n": 1}\n'
    assert ["coat/pay", "called"] in [row[:2] for row in rows(bottega(tmp_path, "tools", "list"))]
    assert "last called 0s ago" in bottega(tmp_path, "tools", "show", "coat/pay").stdout
    assert bottega(tmp_path, "tools", "approve").stderr == "nothing is held back\n"


def test_a_failing_server_is_named_and_harms_no_other_command(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {"absent": {"command": "no-such-command"}}}')
    done = bottega(tmp_path, "tools", "sync")
    assert done.returncode == 75
    assert "[1/1] absent: server 'absent' cannot be started: there is no command 'no-such-command'" in done.stderr
    listed = bottega(tmp_path, "tools", "list")
    assert listed.returncode == 0
    assert "files/read_file" in listed.stdout
    assert "no command 'no-such-command'" in listed.stderr
    assert bottega(tmp_path, "tools", "sync", "abs").returncode == 2


def test_tools_are_exported_and_imported_elsewhere_without_loss(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    odd = definition("odd", "Zeilen\u2028und \u202etext \ud800 ✓", title="T", annotations={"readOnlyHint": True})
    tells(here, odd, definition("keyed", _meta={"io.bottega/keyed": True}, outputSchema={"type": "object"}))
    configured(here)
    lines = bottega(here, "tools", "export").stdout
    assert [json.loads(line)["id"] for line in lines.splitlines()] == ["coat/odd", "coat/keyed"]
    assert bottega(here, "tools", "export", "--server", "coat", "-o", str(there / "tools.jsonl")).stdout == ""
    assert (there / "tools.jsonl").read_text() == lines
    done = bottega(there, "tools", "import", "tools.jsonl")
    assert (done.returncode, done.stderr) == (0, "2 tools of 1 servers; 2 added, 0 changed, 0 removed\n")
    assert bottega(there, "tools", "export").stdout == lines
    assert "imported: there is no server to call it" in bottega(there, "tools", "show", "odd").stdout
    # The server itself says the same, to the letter: nothing is held back.
    configured(here)
    (there / ".mcp.json").write_text((here / ".mcp.json").read_text())
    assert bottega(there, "tools", "sync").stderr.endswith("2 added, 0 changed, 0 removed\n")
    assert bottega(there, "tools", "export", "--server", "other").returncode == 2
    assert bottega(there, "tools", "export", "-o", "no/such/folder/x").returncode == 2


def test_servers_of_a_file_are_configured(tmp_path: Path) -> None:
    (tmp_path / "desktop.json").write_text('{"mcpServers": {"time": {"command": "mcp-time"}}}')
    done = bottega(tmp_path, "tools", "import", "desktop.json")
    assert (done.returncode, done.stderr) == (0, "added time in .mcp.json\n")
    assert json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["time"] == {"command": "mcp-time"}


PAGES = [{"tools": [definition("a")], "nextCursor": "1"}, {"tools": [definition("b")]}]
REPLIES = [{"jsonrpc": "2.0", "id": n, "result": page} for n, page in enumerate(PAGES)]
LINES = [
    {"id": "s/a", "server": "s", "name": "a", "description": "", "input_schema": {"properties": {}}},
    {"id": "s/b", "name": "b"},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(PAGES[0]), {"dump": ["a"]}),
        (json.dumps(PAGES), {"dump": ["a", "b"]}),
        (json.dumps(REPLIES), {"dump": ["a", "b"]}),
        ("\n".join(map(json.dumps, REPLIES)), {"dump": ["a", "b"]}),
        ("\n".join(map(json.dumps, LINES)) + "\n\n", {"s": ["a", "b"]}),
        (json.dumps(LINES), {"s": ["a", "b"]}),
        (json.dumps(definition("a")), {"dump": ["a"]}),
        ("\ufeff" + json.dumps([definition("a")]), {"dump": ["a"]}),
    ],
)
def test_what_servers_answer_is_read_in_every_form(tmp_path: Path, text: str, expected: dict[str, list[str]]) -> None:
    (tmp_path / "dump.json").write_text(text, "utf-8")
    found = read_definitions(tmp_path / "dump.json")
    assert {server: [d["name"] for d in ds] for server, ds in found.definitions.items()} == expected
    assert found.problems == []
    everything = read_definitions(tmp_path / "dump.json", "mine")
    assert everything.definitions.keys() == {"mine"}
    with contextlib.closing(io.StringIO()) as out:
        out.writelines(f"{line}\n" for line in export_lines(("x", d) for ds in found.definitions.values() for d in ds))
        (tmp_path / "again").write_text(out.getvalue())
    one, other = Catalog.open([], tmp_path), Catalog.open([], tmp_path)
    one.add({"x": [d for ds in found.definitions.values() for d in ds]})
    other.add(one_server := dict(read_definitions(tmp_path / "again").definitions))
    assert one_server.keys() == {"x"}
    assert [*one.definitions()] == [*other.definitions()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "dump.json:1:2: broken JSON: expecting property name"),
        ('{"name": "a"}\n{"name', "dump.json:2: broken JSON"),
        ("[]", "no tools and no servers are in it"),
        ('"text"', "'text' is not an object"),
        ('{"tools": [{"name": "a b", "inputSchema": {"type": "object"}}]}', "its name is not 1 to 128 letters"),
        ('{"tools": [{"inputSchema": {}}]}', "it has no name"),
        ('{"name": "a", "server": "x/y"}', "'x/y' cannot be the name of a server"),
        ("[" * 100_000, "cannot be read as JSON"),
        (b"\xff\xfe\x00", "is not text"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_imported_is_one_error_with_its_place(
    tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    file = tmp_path / "dump.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_definitions(file)
    assert message in str(caught.value)


def test_one_bad_tool_of_a_file_is_left_out_alone_and_told(tmp_path: Path) -> None:
    bad = [{"name": "bad", "inputSchema": {"type": "array"}}, 5, definition("a"), definition("a")]
    (tmp_path / "dump.json").write_text(json.dumps({"tools": bad}))
    done = bottega(tmp_path, "tools", "import", "dump.json")
    assert done.returncode == 0
    assert done.stderr.splitlines()[:-1] == [
        "dump.json: '5' is no tool: it has no name",
        "dump.json: dump: tool 'bad' is left out: its input schema is of type 'array', not 'object'",
        "dump.json: dump: tool 'a' is left out: its name is taken by another tool of this server",
    ]
    assert done.stderr.endswith("1 tools of 1 servers; 1 added, 0 changed, 0 removed\n")
    (tmp_path / "house.jsonl").write_text(json.dumps({"name": "read_file", "server": "files"}))
    assert bottega(tmp_path, "tools", "import", "house.jsonl").stderr == ("left out: files is a toolset of the house\n")
