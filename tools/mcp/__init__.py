"""MCP servers: what people have configured, and the connections to it. Their tools are in the catalog."""

from .config import FILE_NAME, ServerConfig, add_server, read_config, read_servers, remove_server

__all__ = [
    "FILE_NAME",
    "ServerConfig",
    "add_server",
    "read_config",
    "read_servers",
    "remove_server",
]
