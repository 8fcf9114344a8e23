"""`bottega serve mcp`, asked by the official SDK's client and by our own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp_support import BOTTEGA, SERVERS, call, listed, served, until, with_tools

from bottega.agents.plan import RunResult
from bottega.cli.group import run
from bottega.core.errors import ServerError, UsageError
from bottega.servers.mcp import mcp_server, report_progress, run_task_tool, tools_from_file
from bottega.tools import Tool, ToolAnnotations, ToolContext, ToolResult, Workspace
from bottega.tools.catalog import Catalog
from bottega.tools.house import HOUSE_TOOLSETS, house_toolset
from bottega.tools.mcp import ServerConfig

OFFICE = str(SERVERS / "office.py")
Use = Callable[[Client], Awaitable[Any]]


def over_stdio(workspace: Path, *arguments: str) -> StdioServerParameters:
    command = [*BOTTEGA, "serve", "mcp", *arguments, "--workspace", str(workspace)]
    return StdioServerParameters(command=command[0], args=command[1:])


@pytest.fixture(scope="module")
def office_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The office, served over HTTP."""
    with served(OFFICE, workspace=tmp_path_factory.mktemp("office")) as (url, _):
        yield url


async def asked(server: Any, use: Use, **options: Any) -> Any:
    async with Client(server, read_timeout_seconds=60, **options) as client:
        return await use(client)


async def ask_the_office(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == ["room_of", "staff", "head_count", "note"]
    person = tools["room_of"].input_schema["properties"]["person"]
    assert person == {"type": "string", "description": "first name of the person"}
    hints = tools["room_of"].annotations
    assert hints
    assert (hints.read_only_hint, hints.destructive_hint) == (True, False)

    room = await client.call_tool("room_of", {"person": "Ada"})
    assert (room.content[0].text, room.is_error) == ("12", False)  # type: ignore[union-attr]
    assert (await client.call_tool("staff")).structured_content == {"Ada": "12", "Grace": "7"}
    assert (await client.call_tool("head_count")).structured_content == {"result": 2}

    for name, arguments, words in (
        ("room_of", {}, "room_of: 'person' is a required property"),
        ("room_of", {"person": 5}, "room_of: person: 5 is not of type 'string'"),
        ("room_of", {"person": "Bob"}, "Bob"),
        ("room_off", {}, "room_off: there is no such tool, did you mean room_of?"),
    ):
        wrong = await client.call_tool(name, arguments)
        assert wrong.is_error
        assert words in wrong.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_uses_a_file_of_tools_over_stdio(tmp_path: Path, mode: Any) -> None:
    asyncio.run(asked(over_stdio(tmp_path, OFFICE), ask_the_office, mode=mode))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_uses_a_file_of_tools_over_http(office_url: str, mode: Any) -> None:
    asyncio.run(asked(office_url, ask_the_office, mode=mode))


def test_the_official_client_uses_every_house_toolset(tmp_path: Path) -> None:
    expected = [tool for name in HOUSE_TOOLSETS for tool in house_toolset(name)]

    async def use(client: Client) -> None:
        listed = (await client.list_tools()).tools
        assert [tool.name.split("__")[-1] for tool in listed] == [tool.name for tool in expected]
        assert [tool.input_schema for tool in listed] == [tool.input_schema for tool in expected]
        (tmp_path / "hello.txt").write_text("good morning")
        found = next(tool.name for tool in listed if tool.name.endswith("read_file"))
        read = await client.call_tool(found, {"path": "hello.txt"})
        assert "good morning" in read.content[0].text  # type: ignore[union-attr]

    options = [word for name in HOUSE_TOOLSETS for word in ("--toolset", name)]
    asyncio.run(asked(over_stdio(tmp_path, *options), use))


def test_what_tools_write_goes_into_the_served_workspace(tmp_path: Path) -> None:
    async def use(client: Client) -> None:
        await client.call_tool("note", {"text": "hi"})

    asyncio.run(asked(over_stdio(tmp_path, OFFICE), use))
    assert (tmp_path / "note.txt").read_text() == "hi"


def test_a_page_of_another_origin_cannot_reach_the_server(office_url: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with httpx.Client(trust_env=False, headers={"accept": "application/json, text/event-stream"}) as client:
        assert client.post(office_url, json=body, headers={"host": "evil.example:80"}).status_code == 421
        assert client.post(office_url, json=body, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_port_that_is_taken_is_one_line(office_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    port = office_url.split(":")[2].split("/")[0]
    assert run(["serve", "mcp", OFFICE, "--http", "--port", port]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"error: cannot listen at 127.0.0.1:{port}: " in printed.err


def test_our_client_uses_our_server_over_http_and_finds_it_again_after_a_restart(tmp_path: Path) -> None:
    with served(OFFICE, workspace=tmp_path) as (url, first):

        async def work() -> None:
            async with Catalog.open([ServerConfig("office", url=url)], tmp_path) as servers:
                tools, problems = await listed(servers)
                assert problems == []
                room = next(tool for tool in tools if tool.name == "room_of")
                assert (await call(room, tmp_path, person="Ada")).data == 12
                assert (await call(room, tmp_path, person=5)).is_error
                first.terminate()
                await asyncio.to_thread(first.communicate)
                with pytest.raises(ServerError, match="server 'office' cannot be reached at http://127"):
                    await call(room, tmp_path, person="Ada")
                with served(OFFICE, "--port", url.split(":")[2].split("/")[0], workspace=tmp_path):
                    assert (await call(room, tmp_path, person="Grace")).data == 7

        asyncio.run(work())


def test_a_web_server_that_is_no_mcp_server_is_named_with_its_status(tmp_path: Path, office_url: str) -> None:
    async def use(tools: dict[str, Tool], problems: list[tuple[str, str]]) -> None:
        assert problems == [("wrong", "server 'wrong' answered with HTTP status 404 (check its url)")]

    asyncio.run(with_tools([ServerConfig("wrong", url=office_url.replace("/mcp", "/other"))], tmp_path, use))


def a_tool(name: str, server: str, call: Any = None, **more: Any) -> Tool:
    async def say(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult(f"{server}/{name}")

    schema = more.pop("input_schema", {"type": "object"})
    return Tool(name, name, schema, call or say, ToolAnnotations(), server, **more)


def in_process(tools: list[Tool], workspace: Path, use: Use) -> None:
    asyncio.run(asked(mcp_server(tools, ToolContext(Workspace.at(workspace))), use))


def test_tools_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    async def use(client: Client) -> None:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["a__list", "b__list", "only"]
        assert (await client.call_tool("b__list")).content[0].text == "b/list"  # type: ignore[union-attr]

    in_process([a_tool("list", "a"), a_tool("list", "b"), a_tool("only", "b")], tmp_path, use)
    with pytest.raises(UsageError, match="two tools are called 'a/list'"):
        in_process([a_tool("list", "a"), a_tool("list", "a")], tmp_path, use)


def test_a_failing_tool_or_server_is_an_error_result(tmp_path: Path) -> None:
    async def gone(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise ServerError("server 'x' died")

    async def broken(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise ZeroDivisionError("division by zero")

    async def use(client: Client) -> None:
        for name, words in (("gone", "server 'x' died"), ("broken", "division by zero"), ("strange", "cannot be used")):
            result = await client.call_tool(name, {"a": 1})
            assert result.is_error
            assert words in result.content[0].text  # type: ignore[union-attr]

    remote = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/evil.json"}}}
    tools = [a_tool("gone", "s", gone), a_tool("broken", "s", broken), a_tool("strange", "s", input_schema=remote)]
    in_process(tools, tmp_path, use)


def test_run_task_gives_the_answer_and_the_whole_run(tmp_path: Path) -> None:
    async def do(request: str) -> RunResult:
        await report_progress(1, 2, "half")
        failed = "impossible" in request
        return RunResult(run="run-1", request=request, status="cannot" if failed else "succeeded", answer="It is 42.")

    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async def use(client: Client) -> None:
        result = await client.call_tool("run_task", {"request": "What is it?"}, progress_callback=progress)
        assert (result.content[0].text, result.is_error) == ("It is 42.", False)  # type: ignore[union-attr]
        assert result.structured_content["run_id"] == "run-1"
        assert result.structured_content["status"] == "succeeded"
        assert told == [(1, 2, "half")]
        assert (await client.call_tool("run_task", {"request": "the impossible"})).is_error
        assert (await client.call_tool("run_task", {"request": ""})).is_error

    in_process([run_task_tool(do)], tmp_path, use)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", " has no tools"),
        ("def f(:\n  pass", ":1: SyntaxError: invalid syntax"),
        ("\nimport nothing_of_that_name", ":2: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("import sys\n\nsys.exit('no\\nway')", ":3: SystemExit: no way"),
        ("from bottega.tools import tool\n@tool\ndef f(*all): pass", ":2: "),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_with_its_place(tmp_path: Path, source: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(UsageError) as caught:
        tools_from_file(file)
    assert caught.value.message.startswith(f"{file}{message}")
    assert "\n" not in str(caught.value)


def test_a_file_may_import_its_neighbours_and_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("ROOMS = {'Ada': '12'}")
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
            from __future__ import annotations
            from dataclasses import dataclass
            from neighbour_of_mine import ROOMS
            from bottega.tools import tool
            print("hello")

            @dataclass
            class Room:
                number: str

            @tool
            def room_of(person: str) -> Room:
                '''Tell the room.'''
                return Room(ROOMS[person])
        """)
    )
    (found,) = tools_from_file(tmp_path / "mine.py")
    result = asyncio.run(call(found, tmp_path, person="Ada"))
    assert result.data == {"number": "12"}
    assert capsys.readouterr().out == ""


def test_ctrl_c_ends_a_server_on_stdio_at_once(tmp_path: Path) -> None:
    import signal

    command = [*BOTTEGA, "serve", "mcp", OFFICE, "--workspace", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert until(lambda: process.poll() is not None, 5), "it hangs"
    _, said = process.communicate()
    assert b"Traceback" not in said


def test_a_server_on_stdio_ends_with_its_client(tmp_path: Path) -> None:
    command = [sys.executable, *BOTTEGA[1:], "serve", "mcp", OFFICE, "--workspace", str(tmp_path)]
    done = subprocess.run(command, input=b"not json\n", capture_output=True, timeout=20)
    assert done.returncode == 0
