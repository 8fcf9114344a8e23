"""The gateway: one MCP server in front of any number of others."""

from .audit import AuditLog
from .client import Call, Client
from .gateway import Gateway, Limits
from .names import wire_names

__all__ = ["AuditLog", "Call", "Client", "Gateway", "Limits", "wire_names"]
