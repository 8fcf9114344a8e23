"""How things are found: the tool index with its lexical and dense scores, and what was done for like requests."""

from .demonstrations import Demonstration, Demonstrations
from .encoding import QuickRetriever
from .index import Explanation, ToolIndex
from .lexical import terms
from .requests import search_request
from .spec import Described, ToolHit, ToolSpec
from .usage import CoUse, Showing, Usage

__all__ = [
    "CoUse",
    "Demonstration",
    "Demonstrations",
    "Described",
    "Explanation",
    "QuickRetriever",
    "Showing",
    "ToolHit",
    "ToolIndex",
    "ToolSpec",
    "Usage",
    "search_request",
    "terms",
]
