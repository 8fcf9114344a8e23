"""Tools of HTTP APIs: each operation of an OpenAPI document is one, described and called as the document says."""

from .document import Document, read_document
from .operations import Api, Operation, read_api
from .server import OpenApiServer

__all__ = ["Api", "Document", "OpenApiServer", "Operation", "read_api", "read_document"]
