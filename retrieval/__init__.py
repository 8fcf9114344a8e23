"""How things are found: the tool index with its lexical and dense scores, and what was done for like requests."""

from .demonstrations import Demonstration, Demonstrations
from .index import ToolIndex
from .lexical import terms
from .spec import Described, ToolHit, ToolSpec

__all__ = ["Demonstration", "Demonstrations", "Described", "ToolHit", "ToolIndex", "ToolSpec", "terms"]
