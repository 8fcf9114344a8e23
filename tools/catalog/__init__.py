"""All tools of all configured servers, known also while the servers are not running."""

from .source import Check, Definition, Heard, Source, open_source

__all__ = ["Check", "Definition", "Heard", "Source", "open_source"]
