"""All tools of all configured servers, known also while the servers are not running."""

from .catalog import Catalog, CatalogStatus, HeldBack, State, ToolStatus
from .exchange import Imported, export_lines, read_definitions
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
    "Imported",
    "Source",
    "State",
    "ToolStatus",
    "export_lines",
    "named",
    "open_source",
    "read_definitions",
]
