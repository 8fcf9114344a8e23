"""The socket that an HTTP server listens at."""

from __future__ import annotations

import errno
import socket
import sys

from ..core.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Listens at an address; port 0 takes any that is free. Raises `UsageError` where the address cannot be had."""
    try:
        # Named as TCP, or asyncio leaves Nagle's algorithm on, and each answer in two parts waits 40 ms for an ACK.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if sys.platform != "win32":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = "another program has it; choose another port" if taken else "choose another host or port"
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror or error}", hint=hint) from None
    return listener
