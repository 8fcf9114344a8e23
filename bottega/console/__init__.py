"""The console: what `bottega` alone opens."""

from .talk import Console

__all__ = ["Console"]
