"""What can be used: tools, toolsets, the workspace they work in, the catalog, MCP connections, policy."""

from .tool import Tool, ToolAnnotations, ToolContext, ToolResult, tool
from .toolset import Toolset
from .workspace import Workspace

__all__ = ["Tool", "ToolAnnotations", "ToolContext", "ToolResult", "Toolset", "Workspace", "tool"]
