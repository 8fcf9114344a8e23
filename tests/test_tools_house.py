"""The house toolsets as a whole: what their schemas and annotations say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bottega.core.errors import UsageError
from bottega.tools import Tool
from bottega.tools.house import HOUSE_TOOLSETS, house_toolset, house_toolsets

EXPECTED = {
    "files": "list_files read_file write_file append_to_file copy_file move_file make_folder delete_file"
    " count_lines file_info",
    "search": "find_lines count_matching_lines find_files_mentioning",
    "tables": "table_columns table_rows ask_table",
    "sqlite": "list_tables table_schema query_database ask_database",
    "git": "git_status git_log git_diff git_show",
    "time": "current_time convert_time",
    "dates": "days_between weekday_of add_to_date today",
    "calc": "calculate percentage share_of arithmetic",
    "units": "convert_units",
    "json": "json_value json_keys",
    "text": "summarize keywords find_emails find_urls find_dates count_words",
    "reading": "answer_from_document",
    "web": "fetch_page",
}
WRITING = {
    "files/write_file": (True, True),
    "files/append_to_file": (False, False),
    "files/copy_file": (False, True),
    "files/move_file": (True, False),
    "files/make_folder": (False, True),
    "files/delete_file": (True, False),
}
"""Tool -> destructive, idempotent."""

TOOLS = [tool for toolset in house_toolsets() for tool in toolset]


def test_every_toolset_has_its_tools() -> None:
    assert {t.name: " ".join(tool.name for tool in t) for t in house_toolsets()} == EXPECTED
    assert list(HOUSE_TOOLSETS) == list(EXPECTED)


def test_an_unknown_toolset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'kitchen'.*files, search"):
        house_toolset("kitchen")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.id)
def test_every_tool_and_parameter_is_described(tool: Tool) -> None:
    assert tool.description.endswith(".") or tool.description.endswith(")")
    assert 20 < len(tool.description) < 260
    for name, schema in tool.parameters.items():
        assert schema.get("description"), name
        assert "type" in schema, name


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.id)
def test_paths_and_instructions_are_marked(tool: Tool) -> None:
    paths = {"path", "folder", "source", "destination", "database", "repository"}
    for name, schema in tool.parameters.items():
        assert (schema.get("format") == "path") == (name in paths)
        assert (schema.get("x-source") == "instruction") == (name == "question")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.id)
def test_annotations_tell_what_a_call_does(tool: Tool) -> None:
    destructive, idempotent = WRITING.get(tool.id, (False, True))
    assert tool.annotations.read_only == (tool.id not in WRITING)
    assert tool.annotations.destructive == destructive
    assert tool.annotations.idempotent == idempotent
    assert tool.annotations.open_world == (tool.id == "web/fetch_page")


def test_no_two_descriptions_are_alike() -> None:
    bags = [frozenset(re.findall(r"\w+", t.description.lower())) for t in TOOLS]
    assert len(set(bags)) == len(bags)


def test_importing_all_toolsets_imports_nothing_heavy() -> None:
    heavy = [
        "duckdb",
        "pint",
        "babel",
        "dateparser",
        "httpx",
        "torch",
        "onnxruntime",
        "numpy",
        "snowballstemmer",
        "regex",
    ]
    code = (
        "import sys; from bottega.tools.house import house_toolsets; house_toolsets();"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
