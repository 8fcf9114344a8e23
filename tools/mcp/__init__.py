"""Tools of MCP servers: what people have configured, connected, and made into `Tool`s."""

from .config import FILE_NAME, ServerConfig, add_server, read_config, read_servers, remove_server
from .connections import McpServers, ServerStatus

__all__ = [
    "FILE_NAME",
    "McpServers",
    "ServerConfig",
    "ServerStatus",
    "add_server",
    "read_config",
    "read_servers",
    "remove_server",
]
