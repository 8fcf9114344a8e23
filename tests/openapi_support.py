"""What the tests of OpenAPI share: one API as the catalog has it, and documents about single operations."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from bottega.core.errors import BottegaError
from bottega.tools import Tool, ToolContext, ToolResult, Workspace
from bottega.tools.catalog import Catalog
from bottega.tools.mcp import read_servers


def document(*operations: tuple[str, str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A document with these operations: method, path, operation."""
    paths: dict[str, Any] = {}
    for method, path, operation in operations:
        paths.setdefault(path, {})[method] = {"responses": {}, **operation}
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **more}


class Api:
    """The tools of an API that a document describes, in an event loop each call."""

    def __init__(self, folder: Path, described: dict[str, Any] | str, **entry: Any) -> None:
        self.folder = folder
        self.entry = {"openapi": "api.json", **entry}
        text = described if isinstance(described, str) else json.dumps(described)
        if not str(self.entry["openapi"]).startswith("http"):
            (folder / self.entry["openapi"]).write_text(text)

    def listed(self) -> tuple[dict[str, Tool], list[str]]:
        """The tools by name, and what is wrong."""

        async def look() -> tuple[dict[str, Tool], list[str]]:
            async with self.catalog() as catalog:
                await catalog.refresh(every=True)
                return {tool.name: tool for tool in catalog.tools()}, [text for _, text in catalog.problems()]

        return asyncio.run(look())

    @property
    def tools(self) -> dict[str, Tool]:
        tools, problems = self.listed()
        assert not problems
        return tools

    def call(self, name: str, key: str = "", /, **arguments: Any) -> ToolResult:
        """What a tool gives. What is raised on the way to it is raised."""

        async def use() -> ToolResult:
            async with self.catalog() as catalog:
                await catalog.refresh(every=True)
                tool = catalog.resolve(f"api/{name}")
                return await tool(ToolContext(Workspace.at(self.folder), key=key), **arguments)

        return asyncio.run(use())

    def refused(self, name: str, /, **arguments: Any) -> BottegaError:
        """The error that a call raises."""
        try:
            result = self.call(name, **arguments)
        except BottegaError as error:
            return error
        raise AssertionError(result)

    def catalog(self) -> Catalog:
        configs = read_servers({"api": self.entry}, workspace=self.folder)
        return Catalog.open(configs, self.folder)
