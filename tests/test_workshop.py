"""The workshop as Python sees it: sync and async, events, servers, requests that cannot be."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bottega.agents.plan import Plan, Reference, Route, Step
from bottega.agents.specialist import Specialist
from bottega.core.errors import ConfigError, UsageError
from bottega.graphs.events import Event
from bottega.testing import ScriptedPlanner, ScriptedRouter
from bottega.tools import Tool, ToolResult, Toolset, Workspace, tool
from bottega.workshop import Bottega

ECHO_SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, answer = asked["method"], None
    if method == "initialize":
        answer = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "echo", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
        answer = {"tools": [{"name": n, "description": n, "inputSchema": schema,
                             "annotations": {"readOnlyHint": n != "shout"}} for n in ("echo", "shout")]}
    elif method == "tools/call":
        word = asked["params"]["arguments"]["word"]
        answer = {"content": [{"type": "text", "text": json.dumps({"word": word, "length": len(word)})}]}
    reply = {"result": answer} if answer is not None else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **reply}), flush=True)
"""


@tool(read_only=True)
def room_of(person: str) -> dict[str, str]:
    """In which room a person works."""
    return {"person": person, "room": "B12"}


@tool(destructive=False)
def note(text: str, workspace: Workspace) -> ToolResult:
    """Note a text."""
    workspace.write_text("note.txt", text)
    return ToolResult("Wrote note.txt.", files=("note.txt",))


ROOM = Step(id="s1", instruction="In which room is Ada?", tool="room_of", arguments={"person": "Ada"})
NOTE = Step(id="s2", instruction="note it", tool="note", arguments={"text": Reference(from_="s1")})


def workshop(folder: Path, *steps: Step, **more: Any) -> Bottega:
    more.setdefault("planner", ScriptedPlanner(steps or [ROOM]))
    return Bottega(folder, tools=[room_of, note], **more)


def servers(tmp_path: Path) -> dict[str, Any]:
    script = tmp_path / "echo_server.py"
    script.write_text(ECHO_SERVER)
    return {"echo": {"command": sys.executable, "args": [str(script)]}}


def test_a_request_is_done_and_answered(tmp_path: Path) -> None:
    with workshop(tmp_path) as bottega:
        result = bottega.run("In which room is Ada?")
    assert result.answer == "B12 [s1: room_of]"
    assert (result.status, result.exit_code) == ("succeeded", 0)


def test_the_workshop_of_one_object_serves_many_requests_sync_and_async(tmp_path: Path) -> None:
    bottega = workshop(tmp_path)
    assert bottega.run("one").status == "succeeded"
    assert asyncio.run(bottega.arun("two")).status == "succeeded"

    async def inside_a_loop() -> str:
        return bottega.run("three").status

    assert asyncio.run(inside_a_loop()) == "succeeded"
    asyncio.run(bottega.close())
    assert not [t for t in threading.enumerate() if t.name == "bottega"]


def test_many_requests_at_once_do_not_get_mixed_up(tmp_path: Path) -> None:
    async def main() -> list[str]:
        bottega = workshop(tmp_path)
        return [r.request for r in await asyncio.gather(*(bottega.arun(f"request {i}") for i in range(20)))]

    assert asyncio.run(main()) == [f"request {i}" for i in range(20)]


def test_events_come_as_they_happen_and_end_with_the_result(tmp_path: Path) -> None:
    async def main() -> list[Event]:
        async with workshop(tmp_path, ROOM, NOTE, approve="all") as bottega:
            return [event async for event in bottega.stream("go")]

    events = asyncio.run(main())
    assert [events[0].type, events[-1].type] == ["run_started", "run_finished"]
    assert len({event.run for event in events}) == 1
    assert (tmp_path / "note.txt").read_text() == "B12"


def test_leaving_the_stream_cancels_the_run(tmp_path: Path) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        @tool(read_only=True)
        async def hang() -> str:
            """Hang."""
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return ""

        steps = [Step(id="s1", instruction="hang", tool="hang")]
        bottega = Bottega(tmp_path, tools=[hang], planner=ScriptedPlanner(steps))
        before = asyncio.all_tasks()
        async with aclosing(bottega.stream("go")) as events:
            async for event in events:
                if event.type == "tool_called":
                    break
        assert ended.is_set()
        assert asyncio.all_tasks() == before

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("a" * 100_000, "100,000 bytes"),
        ("a\0b", "NUL"),
        ("\udcff\udc00", "not valid text"),
        (b"bytes", "not bytes"),
        (None, "not NoneType"),
    ],
)
def test_what_cannot_be_a_request_is_refused_before_anything_starts(
    tmp_path: Path, request_: Any, message: str
) -> None:
    planner = ScriptedPlanner([ROOM])
    with workshop(tmp_path, planner=planner) as bottega, pytest.raises(UsageError, match=message):
        bottega.run(request_)
    assert planner.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workspace": "missing"}, "'missing'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"approve": "some"}, "approve is 'some'"),
        ({"tools": [print]}, "is not a tool"),
        ({"specialists": [Specialist("a", ""), Specialist("a", "")]}, "'a'"),
    ],
)
def test_what_cannot_be_a_workshop_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        Bottega(**arguments)


def test_the_catalog_has_own_tools_first_and_those_of_the_house(tmp_path: Path) -> None:
    porter = Specialist("porter", "Knows rooms.", tools=[room_of])

    async def main() -> tuple[Tool, ...]:
        async with Bottega(tmp_path, specialists=[porter], tools=Toolset.of("desk", "", [note])) as bottega:
            return await bottega.catalog()

    ids = [t.id for t in asyncio.run(main())]
    assert ids[:2] == ["desk/note", "porter/room_of"]
    assert {"files/read_file", "calc/calculate", "tables/ask_table"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_specialist_of_ones_own_takes_the_place_of_the_houses(tmp_path: Path) -> None:
    bottega = Bottega(tmp_path, specialists=[Specialist("reader", "Mine.")])
    assert [s.description for s in bottega.specialists if s.name == "reader"] == ["Mine."]
    assert {s.name for s in bottega.specialists} == {"operator", "analyst", "reader", "writer"}


def test_planner_and_router_see_the_request_and_all_there_is(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watching(ScriptedPlanner):
        async def plan(self, request: str, context: Any) -> Plan:
            seen.append(context)
            context.notice("info", "thinking")
            return await super().plan(request, context)

    router = ScriptedRouter(Route(kind="specialist", specialist="operator"))

    async def main() -> list[Event]:
        async with workshop(tmp_path, planner=Watching([ROOM]), router=router) as bottega:
            assert (await bottega.plan("x")).steps == (ROOM,)
            assert (await bottega.route("x")).specialist == "operator"
            return [event async for event in bottega.stream("x")]

    events = asyncio.run(main())
    assert [c.route.specialist for c in seen] == ["operator", "operator"]
    assert any(t.id == "room_of" for t in seen[0].tools)
    assert seen[0].workspace.root == tmp_path.resolve()
    assert [e.text for e in events if e.type == "notice"] == ["thinking"]


def test_tools_of_a_server_are_in_the_catalog_and_are_called(tmp_path: Path) -> None:
    reads = Step(id="s1", instruction="how long is the word", tool="echo/echo", arguments={"word": "abc"})
    acts = Step(id="s2", instruction="shout", tool="echo/shout", arguments={"word": "abc"})
    with workshop(tmp_path, reads, acts, servers=servers(tmp_path)) as bottega:
        result = bottega.run("go")
        assert [r.status for r in result.results] == ["succeeded", "refused"]
        assert result.answer.startswith("3 (length)")
    with workshop(tmp_path, reads, acts, servers=servers(tmp_path), approve="all") as bottega:
        assert bottega.run("go").status == "succeeded"


def test_servers_come_from_the_folder_and_from_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "office").mkdir()
    (tmp_path / "office" / ".mcp.json").write_text(json.dumps({"mcpServers": servers(tmp_path)}))
    beside = tmp_path / "more.json"
    beside.write_text(json.dumps({"mcpServers": {"second": servers(tmp_path)["echo"]}}))

    async def found(servers: Any) -> set[str]:
        async with Bottega(tmp_path / "office", servers=servers) as bottega:
            return {t.server for t in await bottega.catalog()} & {"echo", "second"}

    assert asyncio.run(found(None)) == {"echo"}
    assert asyncio.run(found(beside)) == {"echo", "second"}
    assert asyncio.run(found({})) == set()


def test_one_workshop_uses_its_servers_from_several_event_loops(tmp_path: Path) -> None:
    step = Step(id="s1", instruction="echo", tool="echo/echo", arguments={"word": "abc"})
    bottega = workshop(tmp_path, step, servers=servers(tmp_path))
    assert bottega.run("go").status == "succeeded"

    async def main() -> str:
        status = (await bottega.arun("go")).status
        await bottega.close()
        return status

    assert asyncio.run(main()) == "succeeded"
    assert bottega.run("go").status == "succeeded"
    asyncio.run(bottega.close())


def test_it_is_kept_what_was_called(tmp_path: Path) -> None:
    step = Step(id="s1", instruction="echo", tool="echo/echo", arguments={"word": "abc"})
    with workshop(tmp_path, step, servers=servers(tmp_path)) as bottega:
        assert bottega.run("go").status == "succeeded"

    async def states() -> dict[str, str]:
        async with Bottega(tmp_path, servers=servers(tmp_path)) as bottega:
            catalog = bottega.known_servers()
            return {tool.name: catalog.tool_status(tool.id).state for tool in catalog.tools()}

    assert asyncio.run(states()) == {"echo": "called", "shout": "listed"}


def test_a_dead_server_is_one_notice_and_harms_nobody_else(tmp_path: Path) -> None:
    dead = {"dead": {"command": sys.executable, "args": ["-c", "raise SystemExit(3)"]}}

    async def main() -> list[Event]:
        async with workshop(tmp_path, servers=dead) as bottega:
            return [event async for event in bottega.stream("go")]

    events = asyncio.run(main())
    (notice,) = [e for e in events if e.type == "notice"]
    assert notice.level == "warning"
    assert "'dead'" in notice.text
    last = events[-1]
    assert last.type == "run_finished"
    assert last.result.status == "succeeded"


def test_a_tool_of_a_server_does_not_take_the_place_of_one_that_is_there(tmp_path: Path) -> None:
    shadow = {"desk": servers(tmp_path)["echo"]}

    @tool(read_only=True)
    def shout(word: str) -> str:
        """Shout."""
        return "mine"

    async def main() -> tuple[list[str], Bottega]:
        async with Bottega(tmp_path, servers=shadow, tools=Toolset.of("desk", "", [shout])) as bottega:
            found = {t.id: t.description for t in await bottega.catalog()}
            return [found["desk/shout"], found["desk/echo"]], bottega

    descriptions, bottega = asyncio.run(main())
    assert descriptions == ["Shout.", "echo"]
    assert any("desk/shout" in text for _, text in bottega.notices)


def test_a_broken_server_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {')
    with workshop(tmp_path) as bottega, pytest.raises(ConfigError, match=r"\.mcp\.json"):
        bottega.run("go")


def test_ctrl_c_in_the_sync_face_cancels_the_run_and_waits_for_its_end(tmp_path: Path) -> None:
    main = threading.main_thread().ident
    assert main is not None
    ended = threading.Event()

    @tool(read_only=True)
    async def hang() -> str:
        """Hang."""
        try:
            signal.pthread_kill(main, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    steps = [Step(id="s1", instruction="hang", tool="hang")]
    with Bottega(tmp_path, tools=[hang], planner=ScriptedPlanner(steps)) as bottega:
        with pytest.raises(KeyboardInterrupt):
            bottega.run("go")
        assert ended.is_set()


def test_a_planner_that_does_not_search_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not search"):
        asyncio.run(workshop(tmp_path).find_tools("rooms"))
