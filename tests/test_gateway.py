"""`bottega serve mcp --gateway`: real processes on both sides, over stdin and stdout and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult
from mcp_support import BOTTEGA, SERVERS, processes, served, until

from bottega.cli.group import run
from bottega.servers.gateway import AuditLog, Gateway, wire_names
from bottega.servers.gateway.stdio import serve_stdio
from bottega.tools import ToolContext, Workspace
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import read_config

BEHIND = str(SERVERS / "behind.py")
Message = dict[str, Any]


def configured(folder: Path, **servers: list[str]) -> Path:
    """A folder with servers: name -> arguments of `behind.py`."""
    folder.mkdir(exist_ok=True)
    entries = {name: {"command": sys.executable, "args": [BEHIND, *more]} for name, more in servers.items()}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": entries}))
    return folder


class Talk:
    """A client of the older protocol on the pipes of a gateway."""

    def __init__(self, workspace: Path, *options: str, capabilities: Message | None = None) -> None:
        command = [*BOTTEGA, "serve", "mcp", "--gateway", "--workspace", str(workspace), *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.heard: list[Message] = []
        """Notifications, and requests of the server."""
        self._ids = itertools.count(1)
        self._answers: dict[Any, Message] = {}
        info = {"name": "test", "version": "1"}
        initialize = {"protocolVersion": "2025-11-25", "capabilities": capabilities or {}, "clientInfo": info}
        self.greeting = self.request("initialize", initialize)
        self.send(method="notifications/initialized")

    def send(self, **message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def start(self, method: str, params: Message) -> int:
        key = next(self._ids)
        self.send(id=key, method=method, params=params)
        return key

    def answer(self, key: Any) -> Message:
        while key not in self._answers:
            self.read()
        return self._answers.pop(key)

    def read(self) -> Message:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.stderr.read())
        message: Message = json.loads(line)
        if "method" in message:
            self.heard.append(message)
        else:
            self._answers[message["id"]] = message
        return message

    def request(self, method: str, params: Message) -> Message:
        message = self.answer(self.start(method, params))
        result: Message = message.get("result") or message
        return result

    def start_call(self, tool: str, **arguments: Any) -> int:
        return self.start("tools/call", {"name": "call_tool", "arguments": {"tool": tool, "arguments": arguments}})

    def call(self, tool: str, **arguments: Any) -> Message:
        message = self.answer(self.start_call(tool, **arguments))
        result: Message = message.get("result") or message
        return result

    def own(self, name: str, **arguments: Any) -> Message:
        return self.request("tools/call", {"name": name, "arguments": arguments})

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


@contextlib.contextmanager
def talking(workspace: Path, *options: str, capabilities: Message | None = None) -> Iterator[Talk]:
    talk = Talk(workspace, *options, capabilities=capabilities)
    try:
        yield talk
    finally:
        talk.close()


def text(result: Message) -> str:
    return str(result["content"][0]["text"])


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A gateway before two servers; its client can be asked."""
    folder = tmp_path_factory.mktemp("gateway")
    configured(folder, one=["--log", str(folder / "one.log")], two=[])
    with talking(folder, capabilities={"elicitation": {}}) as talk:
        yield talk


def folder_of(talk: Talk) -> Path:
    return Path(talk.process.args[talk.process.args.index("--workspace") + 1])  # type: ignore[index, union-attr, arg-type]


def test_names_fit_language_models_can_be_parted_and_stay_the_same() -> None:
    tools = [
        ("git", "log"),
        ("a.b", "c"),
        ("a_b", "c"),
        ("x__y", "z"),
        ("x", "y__z"),
        ("s", "t" * 100),
        ("s", "t" * 99),
    ]
    names = wire_names(tools)
    assert names["git__log"] == ("git", "log")
    assert names["x__y__z"] == ("x", "y__z")
    assert sorted(names.values()) == sorted(tools)
    assert all(len(name) <= 64 and name.replace("_", "").isalnum() for name in names)
    assert set(wire_names(tools[::-1])) == set(names)


def test_a_tool_is_found_described_and_called(office: Talk) -> None:
    assert [tool["name"] for tool in office.request("tools/list", {})["tools"]] == [
        "find_tools",
        "describe_tool",
        "call_tool",
    ]
    found = office.own("find_tools", query="a tool that writes something down")
    best = found["structuredContent"]["tools"][0]
    assert (best["id"], best["required"]) in [("one/write", ["text"]), ("two/write", ["text"])]
    assert 0 < best["score"] <= 1
    assert best["id"] in text(found)
    only = office.own("find_tools", query="a tool that writes something down", server="two", limit=3)
    assert {tool["id"].split("/")[0] for tool in only["structuredContent"]["tools"]} == {"two"}

    described = office.own("describe_tool", tools=["two/echo", "two/eco"])["structuredContent"]
    assert described["tools"][0]["inputSchema"]["required"] == ["text"]
    assert "did you mean two/echo" in described["problems"][0]
    assert text(office.call("two/echo", text="héllo")) == "héllo"


def test_a_name_that_is_none_is_refused_with_the_nearest(office: Talk) -> None:
    result = office.call("one/ecko", text="x")
    assert result["isError"]
    assert "did you mean one/echo" in text(result)
    assert "tools are called 'echo'" in text(office.call("echo", text="x"))
    assert office.own("call_tool", arguments={})["isError"]
    assert office.own("find_tools", query=" ")["isError"]
    assert "there are: one, two" in text(office.own("find_tools", query="x", server="three"))


def test_results_and_errors_of_the_protocol_pass_as_they_are(office: Talk) -> None:
    sys.path.insert(0, str(SERVERS))
    try:
        from behind import RICH
    finally:
        sys.path.remove(str(SERVERS))
    assert office.call("one/rich") == RICH
    assert office.call("one/fail")["error"] == {"code": -32042, "message": "not today", "data": {"until": "Monday"}}


def test_progress_reaches_the_client_under_its_own_token(office: Talk) -> None:
    params = {"name": "call_tool", "arguments": {"tool": "one/slow"}, "_meta": {"progressToken": "mine"}}
    office.heard.clear()
    assert text(office.request("tools/call", params)) == "slow"
    told = [message["params"] for message in office.heard if message["method"] == "notifications/progress"]
    assert [one["progress"] for one in told] == [0, 1, 2, 3]
    assert {one["progressToken"] for one in told} == {"mine"}


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(office: Talk) -> None:
    log = folder_of(office) / "one.log"
    key = office.start_call("one/wait")
    assert text(office.call("one/echo", text="meanwhile")) == "meanwhile"
    office.send(method="notifications/cancelled", params={"requestId": key})
    assert until(lambda: "cancelled" in log.read_text())


def test_what_a_server_asks_goes_to_the_client_and_the_answer_back(office: Talk) -> None:
    assert "asks ['elicitation']" in (folder_of(office) / "one.log").read_text()
    key = office.start_call("one/ask")
    asked = answered(office, "elicitation/create", {"action": "accept", "content": {"colour": "red"}})
    assert asked["message"] == "which colour?"
    assert json.loads(text(office.answer(key)["result"])) == {"action": "accept", "content": {"colour": "red"}}


def answered(talk: Talk, method: str, result: Message) -> Message:
    """Answers the next request of the gateway; gives its parameters."""
    while (asked := talk.read()).get("method") != method:
        pass
    talk.send(id=asked["id"], result=result)
    params: Message = asked["params"]
    return params


def test_a_person_is_asked_about_what_may_destroy(office: Talk) -> None:
    key = office.start_call("one/write", text="hello")
    asked = answered(office, "elicitation/create", {"action": "accept", "content": {"allow": "no"}})
    assert "one/write may destroy something" in asked["message"]
    assert '"text": "hello"' in asked["message"]
    assert "the person said no" in text(office.answer(key)["result"])

    key = office.start_call("one/write", text="hello")
    answered(office, "elicitation/create", {"action": "accept", "content": {"allow": "session"}})
    assert text(office.answer(key)["result"]) == "hello"
    assert text(office.call("one/write", text="again")) == "again"


def test_a_server_that_dies_or_floods_harms_no_other_and_comes_back(office: Talk) -> None:
    waiting = office.start_call("two/wait")
    storm = office.start_call("two/storm")
    huge = office.start_call("two/huge")
    for n in range(20):
        assert text(office.call("one/echo", text=f"{n}")) == str(n)
    assert len(text(office.answer(huge)["result"])) == 3_000_000
    assert text(office.answer(storm)["result"]) == "storm"

    dead = office.call("two/die")
    assert dead["isError"]
    assert "server 'two' ended with exit code 3" in text(dead)
    assert "exit code 3" in text(office.answer(waiting)["result"])
    assert text(office.call("one/echo", text="well")) == "well"
    assert text(office.call("two/echo", text="back")) == "back"


def test_a_tool_that_turns_into_another_is_held_back(office: Talk) -> None:
    assert text(office.call("two/turn")) == "turn"

    def held() -> bool:
        return "held back" in text(office.call("two/echo", text="x"))

    assert until(held)
    assert "bottega tools approve" in text(office.call("two/echo", text="x"))
    assert text(office.call("one/echo", text="x")) == "x"
    assert "keys" not in text(office.own("find_tools", query="give the text back", server="two"))


def test_the_audit_log_has_every_call_its_outcome_and_no_value(office: Talk) -> None:
    log = folder_of(office) / ".bottega" / "audit.jsonl"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "audit.jsonl*" in (log.parent / ".gitignore").read_text().splitlines()
    before = len(log.read_text().splitlines())
    office.call("one/echo", text="a-secret-value")
    office.call("one/fail")
    first, second = map(json.loads, log.read_text().splitlines()[before:])
    assert (first["tool"], first["outcome"], first["decision"]) == ("one/echo", "ok", "allow")
    assert first["arguments"]["bytes"] == len('{"text":"a-secret-value"}')
    assert len(first["result"]["sha256"]) == 64
    assert (second["outcome"], second["result"]) == ("error", None)
    assert "a-secret-value" not in log.read_text()
    outcomes = {json.loads(line)["outcome"] for line in log.read_text().splitlines()}
    assert {"ok", "error", "refused", "cancelled", "failed"} <= outcomes


def test_the_audit_log_is_parted_by_size_and_shared(tmp_path: Path) -> None:
    logs = [AuditLog(tmp_path / "a.jsonl", largest=2000, parts=2) for _ in range(2)]
    for n in range(400):
        logs[n % 2].write({"n": n})
    for log in logs:
        log.close()
        assert log.problem is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    kept = [json.loads(line)["n"] for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert 399 in kept
    assert len(kept) == len(set(kept))


def test_rules_decide_and_without_anybody_to_ask_the_rule_to_write_is_named(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder", one=[])
    policy = Path(os.environ["XDG_CONFIG_HOME"]) / "bottega" / "policy.toml"
    policy.parent.mkdir(parents=True, exist_ok=True)
    here = f"workspace = {json.dumps(str(folder.resolve()))}\n"
    policy.write_text(f'[[rules]]\ntool = "one/rich"\ndecision = "deny"\n{here}')
    try:
        with talking(folder) as talk:
            refused = text(talk.call("one/write", text="x"))
            assert 'tool = "one/write"' in refused
            assert 'decision = "allow"' in refused
            assert "the rule for 'one/rich' says deny" in text(talk.call("one/rich"))
            policy.write_text(policy.read_text() + f'[[rules]]\ntool = "one/write"\ndecision = "allow"\n{here}')
            assert until(lambda: text(talk.call("one/write", text="x")) == "x")
    finally:
        policy.unlink()


def test_the_first_answer_comes_from_disk_and_starts_nothing(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark.log")
    folder = configured(tmp_path / "folder", **{f"s{n}": ["--log", mark] for n in range(3)})
    with talking(folder) as talk:
        assert text(talk.call("s1/echo", text="x")) == "x"  # waits for its server to be listed
    known = len(Path(mark).read_text().splitlines())
    with talking(folder) as talk:
        found = talk.own("find_tools", query="a tool that tells how far it is")
        assert found["structuredContent"]["tools"][0]["id"].endswith("/slow")
        assert "note" not in found["structuredContent"]
    assert len(Path(mark).read_text().splitlines()) == known
    assert not processes(mark)


def test_what_cannot_be_started_is_told_of_and_the_longest_time_of_a_call_holds(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder", good=[])
    document = json.loads((folder / ".mcp.json").read_text())
    document["mcpServers"]["bad"] = {"command": "no-such-command"}
    (folder / ".mcp.json").write_text(json.dumps(document))
    with talking(folder, "--longest", "0.3") as talk:
        assert text(talk.call("good/echo", text="x")) == "x"
        assert until(lambda: "cannot be reached: bad" in text(talk.own("find_tools", query="give the text back")))
        params = {"name": "call_tool", "arguments": {"tool": "good/slow"}, "_meta": {"progressToken": 7}}
        late = talk.request("tools/call", params)
        assert late["isError"]
        assert "did not answer 'slow' within 0.3 s" in text(late)
        assert text(talk.call("good/echo", text="x")) == "x"


def test_servers_that_stay_mute_keep_no_call_of_another_waiting(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder", good=[])
    with talking(folder) as talk:
        assert text(talk.call("good/echo", text="x")) == "x"
    document = json.loads((folder / ".mcp.json").read_text())
    mute = {f"mute{n}": {"command": "sleep", "args": ["600"], "startup_timeout_sec": 600} for n in range(9)}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": mute | document["mcpServers"]}))
    with talking(folder) as talk:
        assert text(talk.call("good/echo", text="at once")) == "at once"
        assert "0 of 9 new servers are listed" in text(talk.own("find_tools", query="give the text back"))


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_after_many_calls(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder", one=[], two=[])

    async def work(lines: list[bytes], context: ToolContext) -> tuple[int, int, int, int]:
        """Tasks and descriptors before and after; calls answer in between."""
        read, write = os.pipe()
        back, out = os.pipe()
        saved = os.dup(0), os.dup(1)
        os.dup2(read, 0)
        os.dup2(out, 1)
        for file in (read, out):
            os.close(file)
        answers: list[Message] = []

        def collect() -> None:
            with os.fdopen(back) as file:
                for line in file:
                    answers.append(json.loads(line))

        reader = threading.Thread(target=collect)
        reader.start()
        root = folder / ".bottega" / "catalog"
        async with Catalog.open(read_config(folder), folder, root) as catalog, Gateway(catalog, context) as gateway:
            serving = asyncio.create_task(serve_stdio(gateway))

            async def until_there(count: int) -> None:
                while len(answers) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

            async def some(start: int, count: int) -> None:
                for n in range(start, start + count):
                    arguments = {"tool": f"{'one' if n % 2 else 'two'}/echo", "arguments": {"text": f"{n}"}}
                    params = {"name": "call_tool", "arguments": arguments}
                    message = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params}
                    os.write(write, json.dumps(message).encode() + b"\n")
                    if n % 8 == 0:
                        await until_there(n)
                await until_there(start + count)

            for line in lines:
                os.write(write, line)
            await some(1, 100)
            before = len(asyncio.all_tasks()), descriptors()
            await some(101, 600)
            await asyncio.sleep(0)
            after = len(asyncio.all_tasks()), descriptors()
            os.close(write)
            await serving
        os.dup2(saved[0], 0)
        os.dup2(saved[1], 1)
        for file in saved:
            os.close(file)
        reader.join()
        assert all("result" in answer for answer in answers), answers[-1]
        return *before, *after

    initialize = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": initialize}
    context = ToolContext(Workspace.at(folder))
    tasks, files, tasks_after, files_after = asyncio.run(work([json.dumps(hello).encode() + b"\n"], context))
    assert tasks_after <= tasks
    assert files_after <= files


def test_the_official_client_uses_it_over_stdin_and_stdout_in_both_protocols(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder", one=[])
    command = [*BOTTEGA, "serve", "mcp", "--gateway", "--workspace", str(folder)]
    target = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))

    async def say(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"allow": "once"})

    async def use(mode: str) -> tuple[str, list[str]]:
        async with Client(target, mode=mode, read_timeout_seconds=30, elicitation_callback=say) as client:
            told: list[str] = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                told.append(message or "")

            slow = {"tool": "one/slow", "arguments": {}}
            await client.call_tool("call_tool", slow, progress_callback=progress)
            write = await client.call_tool("call_tool", {"tool": "one/write", "arguments": {"text": "done"}})
            assert write.content[0].text == "done"  # type: ignore[union-attr]
            return client.protocol_version, told

    assert asyncio.run(use("auto")) == ("2026-07-28", [f"part {n}" for n in range(4)])
    assert asyncio.run(use("legacy")) == ("2025-11-25", [f"part {n}" for n in range(4)])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway over HTTP that lists all tools: of one process, of another server over HTTP."""
    folder = tmp_path_factory.mktemp("http")
    with served(str(SERVERS / "office.py"), workspace=folder) as (office_url, _):
        configured(folder, many=["--tools", "250", "--log", str(folder / "many.log")])
        document = json.loads((folder / ".mcp.json").read_text())
        document["mcpServers"]["office"] = {"url": office_url}
        (folder / ".mcp.json").write_text(json.dumps(document))
        with served("--gateway", "--all-tools", "--yes", workspace=folder) as (at, _):
            yield at


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_official_client_uses_it_over_http(url: str, mode: str, version: str) -> None:
    async def say(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"colour": "blue"})

    async def use() -> None:
        async with Client(url, mode=mode, read_timeout_seconds=30, elicitation_callback=say) as client:
            assert client.protocol_version == version
            assert "1" in await spoken(client, "many__echo", {"text": "1"})
            names, cursor = [], None
            while True:
                page = await client.list_tools(cursor=cursor)
                names += [tool.name for tool in page.tools]
                if (cursor := page.next_cursor) is None:
                    break
            assert names[:3] == ["find_tools", "describe_tool", "call_tool"]
            assert len(names) == len(set(names)) == 3 + 250 + 4
            assert await spoken(client, "office__room_of", {"person": "Ada"}) == "12"
            assert await asyncio.gather(*(spoken(client, "many__echo", {"text": f"{n}"}) for n in range(20))) == [
                f"{n}" for n in range(20)
            ]
            told: list[float] = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                told.append(done)

            await client.call_tool("many__slow", {}, progress_callback=progress)
            assert told == [0, 1, 2, 3]
            if mode == "legacy":
                assert "blue" in await spoken(client, "many__ask", {})

    asyncio.run(use())


async def spoken(client: Client, name: str, arguments: Message) -> str:
    result = await client.call_tool(name, arguments)
    found: str = result.content[0].text  # type: ignore[union-attr]
    return found


def test_over_http_what_is_not_as_it_should_be_is_refused(url: str) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "many__echo", "arguments": {"text": "x"}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": "k", "method": "tools/call", "params": params}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "many__echo",
    }
    good = httpx.post(url, json=body, headers=headers)
    assert good.json()["id"] == "k"
    assert good.json()["result"]["content"][0]["text"] == "x"
    assert httpx.post(url, json=body, headers=headers | {"host": "evil.example"}).status_code == 421
    assert httpx.post(url, json=body, headers=headers | {"origin": "http://evil.example"}).status_code == 403
    assert httpx.post(url, json=body, headers=headers | {"accept": "text/html"}).status_code == 406
    other = httpx.post(url, json=body, headers=headers | {"mcp-name": "many__rich"})
    assert (other.status_code, other.json()["error"]["code"]) == (400, -32020)
    assert httpx.post(url, content=b"{", headers=headers | {"content-type": "application/json"}).status_code == 400


def test_over_http_a_client_that_goes_away_cancels_its_call(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "many__wait", "_meta": meta}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "many__wait",
    }
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.post(url, json=body, headers=headers, timeout=0.3)
    log = tmp_path_factory.getbasetemp() / "http0" / "many.log"
    assert until(lambda: "cancelled" in log.read_text())


def test_a_server_over_http_that_was_started_again_is_used_again(tmp_path: Path) -> None:
    folder = configured(tmp_path / "folder")
    with served(str(SERVERS / "office.py"), workspace=folder) as (at, _):
        (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"office": {"url": at}}}))
        talk = Talk(folder)
        assert text(talk.call("office/room_of", person="Ada")) == "12"
    port = at.split(":")[-1].split("/")[0]
    try:
        gone = text(talk.call("office/room_of", person="Ada"))
        assert gone.startswith("server 'office' ")
        with served(str(SERVERS / "office.py"), "--port", port, workspace=folder):
            assert until(lambda: text(talk.call("office/room_of", person="Ada")) == "12", 20)
    finally:
        talk.close()


def test_options_that_do_not_go_together_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "mcp", "--gateway", "--workspace", str(tmp_path)]) == 2
    assert "has no servers for a gateway" in capsys.readouterr().err
    itself = {"command": "bottega", "args": ["serve", "mcp", "--gateway"]}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"gateway": itself}}))
    assert run(["serve", "mcp", "--gateway", "--workspace", str(tmp_path)]) == 2
    assert "has no servers for a gateway" in capsys.readouterr().err
    assert run(["serve", "mcp", "--audit", "x.jsonl", "--workspace", str(tmp_path)]) == 2
    assert "--audit is for a gateway" in capsys.readouterr().err
    assert run(["serve", "mcp", "--gateway", "--workshop", "--workspace", str(tmp_path)]) == 2
    assert "and nothing else" in capsys.readouterr().err
