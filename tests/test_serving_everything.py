"""The official SDK's client lists and calls every house toolset, over stdio and over HTTP, and has tasks done."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_support import BOTTEGA, served

from bottega.tools.house import HOUSE_TOOLSETS, house_toolset

OFFICE = Path(__file__).parent.parent / "examples" / "office"

CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "files": ("count_lines", {"path": "kiln.log"}, "12 lines"),
    "search": ("count_matching_lines", {"path": "kiln.log", "text": "ERROR"}, "3"),
    "tables": ("table_columns", {"path": "orders.csv"}, "customer"),
    "sqlite": ("query_database", {"database": "stock.db", "sql": "SELECT sum(pieces) FROM stock"}, "42"),
    "git": ("git_status", {}, "kiln.log"),
    "time": ("convert_time", {"time": "12:00", "from_timezone": "UTC", "to_timezone": "Asia/Tokyo"}, "21:00"),
    "dates": ("weekday_of", {"date": "2024-02-29"}, "Thursday"),
    "calc": ("calculate", {"expression": "7 * 8"}, "56"),
    "units": ("convert_units", {"value": 2, "from_unit": "km", "to_unit": "m"}, "2000"),
    "json": ("json_value", {"path": "kiln.json", "key": "kiln.cones.0"}, "06"),
    "text": ("count_words", {"text": "one two three"}, "3"),
    "reading": ("answer_from_document", {"path": "meeting.md", "question": "Who lends twelve panels?"}, "Piet"),
    "web": ("fetch_page", {"url": "http://127.0.0.1:9/"}, "not permitted"),
}
"""Toolset -> one of its tools, arguments, and what the answer has to say. The web is a refusal: nobody permitted it."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The office of the examples, with a database, a JSON file and a repository beside."""
    folder = tmp_path_factory.mktemp("serving") / "office"
    shutil.copytree(OFFICE, folder, ignore=shutil.ignore_patterns(".mcp.json"))
    (folder / "kiln.json").write_text('{"kiln": {"cones": ["06", "6"]}}')
    with sqlite3.connect(folder / "stock.db") as connection:
        connection.executescript("CREATE TABLE stock (pieces INTEGER); INSERT INTO stock VALUES (40), (2)")
    connection.close()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def over_stdio(folder: Path, *arguments: str) -> Client:
    command = [*BOTTEGA, "serve", "mcp", *arguments, "--workspace", str(folder)]
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    return Client(server, read_timeout_seconds=100)


async def use(client: Client, *toolsets: str) -> None:
    """Lists everything and calls a tool of each toolset."""
    tools = [(name, tool) for name in toolsets for tool in house_toolset(name)]
    async with client:
        listed = (await client.list_tools()).tools
        assert [tool.name.split("__")[-1] for tool in listed] == [tool.name for _, tool in tools]
        assert [tool.input_schema for tool in listed] == [tool.input_schema for _, tool in tools]
        for toolset in toolsets:
            name, arguments, words = CALLS[toolset]
            shown = next(
                one.name for one, (of, tool) in zip(listed, tools, strict=True) if (of, tool.name) == (toolset, name)
            )
            result = await client.call_tool(shown, arguments)
            text = result.content[0].text  # type: ignore[union-attr]
            assert words in text, (toolset, text)
            assert result.is_error == (toolset == "web"), (toolset, text)


def test_every_toolset_is_tried() -> None:
    assert list(CALLS) == list(HOUSE_TOOLSETS)


def test_each_house_toolset_is_served_by_itself_over_stdio(office: Path) -> None:
    async def work() -> None:
        slots = asyncio.Semaphore(2)

        async def one(toolset: str) -> None:
            async with slots:
                await use(over_stdio(office, "--toolset", toolset), toolset)

        async with asyncio.TaskGroup() as group:
            for toolset in CALLS:
                group.create_task(one(toolset))

    asyncio.run(work())


def test_all_house_toolsets_are_served_together_over_http(office: Path) -> None:
    options = [word for toolset in CALLS for word in ("--toolset", toolset)]
    with served(*options, workspace=office) as (url, _):
        asyncio.run(use(Client(url, read_timeout_seconds=100), *CALLS))


def test_run_task_does_a_compound_request_beside_all_tools(office: Path) -> None:
    async def work() -> None:
        async with over_stdio(office) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert len(names) == 1 + sum(len(list(house_toolset(toolset))) for toolset in HOUSE_TOOLSETS)
            assert names[-1] == "run_task"

            result = await client.call_tool(
                "run_task", {"request": "How many lines does kiln.log have, and what is 7 * 8?"}
            )
            answer = result.content[0].text  # type: ignore[union-attr]
            assert not result.is_error, answer
            assert "12" in answer
            assert "56" in answer
            assert result.structured_content is not None
            assert result.structured_content["status"] == "succeeded"
            assert len(result.structured_content["steps"]) == 2

            refused = await client.call_tool("run_task", {"request": "   "})
            assert refused.is_error

    asyncio.run(work())
