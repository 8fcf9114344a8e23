"""How things are found: the tool index with its lexical and dense scores, and what was done for like requests."""

from .demonstrations import Demonstration, Demonstrations
from .index import ToolHit, ToolIndex, ToolSpec
from .lexical import terms

__all__ = ["Demonstration", "Demonstrations", "ToolHit", "ToolIndex", "ToolSpec", "terms"]
