from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from mcp_support import SERVERS, call, listed, odd, processes, until, with_tools

from bottega.core.errors import ServerError
from bottega.tools import Tool
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import ServerConfig

Problems = list[tuple[str, str]]


@pytest.fixture
def mark() -> str:
    return f"mark-{uuid.uuid4().hex}"


def test_nothing_starts_before_it_is_asked_for(tmp_path: Path, mark: str) -> None:
    async def work() -> None:
        async with Catalog.open([odd("echo", mark)], tmp_path) as servers:
            assert [server.state for server in servers.status()] == ["configured"]
            assert processes(mark) == []
            await listed(servers)
            assert [server.state for server in servers.status()] == ["connected"]
            assert len(processes(mark)) == 1
        assert processes(mark) == []

    asyncio.run(work())


def test_a_server_is_started_once_for_many_calls_at_once(tmp_path: Path, mark: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        echo = tools["echo/echo"]
        results = await asyncio.gather(*(call(echo, tmp_path, text=str(n)) for n in range(50)))
        assert [result.data for result in results] == list(range(50))
        assert len(processes(mark)) == 1

    asyncio.run(with_tools([odd("echo", mark)], tmp_path, use))


def test_each_failing_server_harms_only_itself(tmp_path: Path) -> None:
    configs = [
        odd("dead"),
        odd("mute", startup_timeout=1.5),
        ServerConfig("absent", "no-such-command"),
        ServerConfig("homeless", sys.executable, cwd="no/such/folder"),
        ServerConfig("unset", problem="env.KEY: the variable TOKEN is not set"),
        ServerConfig("off", sys.executable, enabled=False),
        ServerConfig("unreachable", url="http://127.0.0.1:9/mcp"),
        odd("nonsense"),
        odd("echo"),
    ]

    async def use(tools: dict[str, Tool], problems: Problems) -> dict[str, str]:
        assert list(tools) == ["echo/echo"]
        assert (await call(tools["echo/echo"], tmp_path, text="hi")).text == "hi"
        return dict(problems)

    started = time.monotonic()
    problems = asyncio.run(with_tools(configs, tmp_path, use))
    assert time.monotonic() - started < 6, "the mute server may cost its startup timeout, and no more"
    assert problems.pop("unreachable").startswith("server 'unreachable' cannot be reached at http://127.0.0.1:9/mcp: ")
    assert problems == {
        "dead": "server 'dead' ended with exit code 1: fatal: no API_KEY=[redacted] given",
        "mute": "server 'mute' did not answer within 1.5 s of its start "
        "(if it is only slow, raise its startup_timeout_sec)",
        "absent": "server 'absent' cannot be started: there is no command 'no-such-command' "
        "(install it, or give its full path in the configuration)",
        "homeless": "server 'homeless' cannot be started: "
        f"there is no folder '{tmp_path}/no/such/folder' (see its cwd)",
        "unset": "env.KEY: the variable TOKEN is not set",
        "nonsense": "its list of tools is not a list",
    }


def test_nothing_a_server_writes_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert (await call(tools["noisy/echo"], tmp_path, text="through the noise")).text == "through the noise"
        assert problems == []

    asyncio.run(with_tools([odd("noisy")], tmp_path, use))
    assert capfd.readouterr() == ("", "")


def test_bad_tools_are_left_out_and_named(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert list(tools) == ["careless/echo"]
        assert {message.split(" is left out")[0] for _, message in problems} == {
            "tool 'empty_schema'",
            "tool 'no schema at all'",
            "tool 'odd_properties'",
            "tool 'bad_hints'",
            "tool ''",
            "tool without a name",
            "tool 'echo'",
        }
        assert (await call(tools["careless/echo"], tmp_path, text="still here")).text == "still here"

    asyncio.run(with_tools([odd("careless")], tmp_path, use))


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        ("endless", 500, "its list of tools was cut after 500 pages with 500 tools"),
        ("circling", 2, "its list of tools goes in circles and was cut"),
    ],
)
def test_a_list_without_end_is_cut(tmp_path: Path, kind: str, count: int, message: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert len(tools) == count
        assert problems == [(kind, message)]

    asyncio.run(with_tools([odd(kind, startup_timeout=60)], tmp_path, use))


def test_a_list_that_takes_too_long_is_cut_and_what_came_is_used(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert list(tools) == ["stalling/t1"]
        assert problems == [("stalling", "its list of tools was cut after 3 s")]
        assert not (await call(tools["stalling/t1"], tmp_path)).is_error

    asyncio.run(with_tools([odd("stalling", startup_timeout=3)], tmp_path, use))


def test_a_death_in_a_call_is_one_clear_error_and_the_next_use_starts_it_again(tmp_path: Path, mark: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        others = [asyncio.create_task(call(tools["fragile/hang"], tmp_path)) for _ in range(3)]
        await call(tools["fragile/echo"], tmp_path)
        before = processes(mark)
        with pytest.raises(ServerError) as caught:
            await call(tools["fragile/die"], tmp_path)
        assert str(caught.value) == "server 'fragile' ended with exit code 9: ValueError: token=[redacted] is bad"
        for error in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(error, ServerError)
        assert (await call(tools["fragile/echo"], tmp_path, text="back")).text == "back"
        after = processes(mark)
        assert len(after) == 1
        assert after != before

    asyncio.run(with_tools([odd("fragile", mark)], tmp_path, use))


def test_a_death_between_calls_is_not_noticed_by_the_next(tmp_path: Path, mark: str) -> None:
    async def work() -> None:
        async with Catalog.open([odd("echo", mark)], tmp_path) as servers:
            (tool,), _ = await listed(servers)
            os.kill(processes(mark)[0], signal.SIGKILL)
            while servers.status()[0].connected:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert servers.status()[0].problems == ("server 'echo' was ended by SIGKILL",)
            assert (await call(tool, tmp_path, text="back")).text == "back"
            assert servers.status()[0].problems == ()

    asyncio.run(work())


def test_a_server_that_keeps_failing_is_left_alone_for_a_while(tmp_path: Path) -> None:
    script = "open('starts', 'a').write('x'); raise SystemExit(3)"

    async def work() -> None:
        async with Catalog.open([ServerConfig("dead", sys.executable, ("-c", script))], tmp_path) as servers:
            for _ in range(5):
                _, problems = await listed(servers)
                assert problems == [("dead", "server 'dead' ended with exit code 3")]

    asyncio.run(work())
    starts = len((tmp_path / "starts").read_text())
    assert starts == 4, "it is tried twice at once, each time with both handshakes, and not again so soon"


def test_a_call_that_takes_too_long_is_given_up_and_the_server_stays(tmp_path: Path, mark: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        before = processes(mark)
        with pytest.raises(ServerError, match=r"server 'fragile' did not answer 'hang' within 0\.2 s"):
            await call(tools["fragile/hang"], tmp_path)
        assert (await call(tools["fragile/echo"], tmp_path, text="here")).text == "here"
        assert processes(mark) == before

    asyncio.run(with_tools([odd("fragile", mark, tool_timeout=0.2)], tmp_path, use))


def test_a_call_can_be_cancelled_and_the_server_stays(tmp_path: Path, mark: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        before = processes(mark)
        hanging = asyncio.create_task(call(tools["fragile/hang"], tmp_path))
        await call(tools["fragile/echo"], tmp_path)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert (await call(tools["fragile/echo"], tmp_path, text="here")).text == "here"
        assert processes(mark) == before

    asyncio.run(with_tools([odd("fragile", mark)], tmp_path, use))


def test_what_a_server_refuses_is_an_error_result(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        refused = await call(tools["fragile/refuse"], tmp_path)
        assert (refused.is_error, refused.text) == (True, "refuse: not today")
        lie = await call(tools["liar/liar"], tmp_path)
        assert lie.is_error
        assert "'not a number' is not of type 'integer'" in lie.text

    asyncio.run(with_tools([odd("fragile"), odd("liar")], tmp_path, use))


def test_colours_and_titles_do_not_get_through(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert tools["colourful/paint"].description == "Paints red."
        assert (await call(tools["colourful/paint"], tmp_path)).text == "bold\nnext"

    asyncio.run(with_tools([odd("colourful")], tmp_path, use))


def test_an_older_server_that_ends_itself_at_an_unknown_message_gets_a_second_chance(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert problems == []
        assert (await call(tools["touchy/echo"], tmp_path, text="hi")).text == "hi"

    asyncio.run(with_tools([odd("touchy")], tmp_path, use))


def test_an_older_server_that_ignores_what_it_does_not_know_starts_soon(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert list(tools) == ["ignorant/echo"]

    started = time.monotonic()
    asyncio.run(with_tools([odd("ignorant")], tmp_path, use))
    assert time.monotonic() - started < 8


def test_a_server_gets_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_API_KEY", "not for servers")
    script = "import os, sys; sys.exit(f\"{os.getcwd()} {os.environ.get('OUR_API_KEY')} {os.environ['MINE']}\")"
    (tmp_path / "inside").mkdir()
    config = ServerConfig("nosy", sys.executable, ("-c", script), env={"MINE": "yes"}, cwd="inside")

    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert problems == [("nosy", f"server 'nosy' ended with exit code 1: {tmp_path}/inside None yes")]

    asyncio.run(with_tools([config], tmp_path, use))


def test_a_server_that_will_not_go_is_gone_with_its_children(tmp_path: Path, mark: str) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert len(processes(mark)) == 2

    asyncio.run(with_tools([odd("stubborn", mark)], tmp_path, use))
    assert until(lambda: not processes(mark))


def test_cancelling_whoever_uses_the_servers_ends_them(tmp_path: Path, mark: str) -> None:
    async def work() -> None:
        ready = asyncio.Event()

        async def use(tools: dict[str, Tool], problems: Problems) -> None:
            ready.set()
            await call(tools["fragile/hang"], tmp_path)

        using = asyncio.create_task(with_tools([odd("fragile", mark), odd("echo", mark)], tmp_path, use))
        await ready.wait()
        assert len(processes(mark)) == 2
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert processes(mark) == []

    asyncio.run(work())


def test_cancelling_while_servers_start_ends_them(tmp_path: Path, mark: str) -> None:
    async def work() -> None:
        async def use(tools: dict[str, Tool], problems: Problems) -> None:
            raise AssertionError("a mute server is not ready")

        using = asyncio.create_task(with_tools([odd("mute", mark)], tmp_path, use))
        while not processes(mark):  # noqa: ASYNC110
            await asyncio.sleep(0)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert until(lambda: not processes(mark))

    asyncio.run(work())


HOLDER = """
import asyncio, sys
from bottega.tools import ToolContext, Workspace
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import ServerConfig

async def main():
    configs = [ServerConfig(kind, sys.executable, (sys.argv[1], kind, sys.argv[2])) for kind in sys.argv[3:]]
    async with Catalog.open(configs, ".") as servers:
        await servers.refresh()
        tools = servers.tools()
        print("ready", flush=True)
        await [tool for tool in tools if tool.name == "hang"][0](ToolContext(Workspace.at(".")))

asyncio.run(main())
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_us(tmp_path: Path, mark: str, stop: signal.Signals) -> None:
    # A deaf server would be waited for; when we are killed, it is the Linux kernel that ends it.
    kinds = ["fragile", "deaf"] if stop == signal.SIGKILL and sys.platform == "linux" else ["fragile"]
    command = [sys.executable, "-c", HOLDER, str(SERVERS / "odd.py"), mark, *kinds]
    holder: subprocess.Popen[Any] = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"ready\n"
    assert len(processes(mark)) == 1 + len(kinds)
    holder.send_signal(stop)
    holder.communicate(timeout=15)
    assert until(lambda: not processes(mark)), "a server is still there"
