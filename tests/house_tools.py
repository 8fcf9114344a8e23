"""How the tests of the house tools call them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bottega.tools import ToolContext, ToolResult, Workspace
from bottega.tools.house import house_toolset


def use(folder: Path, tool: str, /, **arguments: Any) -> ToolResult:
    """Calls `toolset/tool` in a workspace folder."""
    toolset, _, name = tool.partition("/")
    return asyncio.run(house_toolset(toolset)[name](ToolContext(Workspace.at(folder)), **arguments))


def data_of(folder: Path, tool: str, /, **arguments: Any) -> Any:
    """The data of a call that must succeed."""
    result = use(folder, tool, **arguments)
    assert not result.is_error, result.text
    return result.data


def refusal(folder: Path, tool: str, /, **arguments: Any) -> str:
    """What a call says that must fail."""
    result = use(folder, tool, **arguments)
    assert result.is_error, result.text
    assert "Traceback" not in result.text
    return result.text
