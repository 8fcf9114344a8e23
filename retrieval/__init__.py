"""How things are found: the tool index, lexical and dense scores, their fusion."""

from .index import ToolHit, ToolIndex, ToolSpec

__all__ = ["ToolHit", "ToolIndex", "ToolSpec"]
