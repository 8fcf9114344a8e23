"""How things are found: the tool index, lexical and dense scores, their fusion."""

from .index import ToolHit, ToolIndex, ToolSpec
from .lexical import terms

__all__ = ["ToolHit", "ToolIndex", "ToolSpec", "terms"]
