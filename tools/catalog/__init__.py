"""All tools of all configured servers, known also while the servers are not running."""

from .catalog import Catalog, CatalogStatus, HeldBack, State, ToolStatus
from .known import Change
from .naming import named
from .source import Check, Definition, Heard, Source, open_source

__all__ = [
    "Catalog",
    "CatalogStatus",
    "Change",
    "Check",
    "Definition",
    "Heard",
    "HeldBack",
    "Source",
    "State",
    "ToolStatus",
    "named",
    "open_source",
]
