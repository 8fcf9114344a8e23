"""Who works on a run: names of owners, and whether one of them is known to be gone."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path

SECONDS = 10.0
"""How long a run stays with a process that is not heard of any more."""


def new_owner() -> str:
    """A name for this process and no other: the machine it runs on, its process id, and something random."""
    return f"{_machine()} {os.getpid()} {secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether the process of that name ran on this machine and is there no more. False where nobody can know."""
    machine, _, rest = owner.rpartition(" ")[0].rpartition(" ")
    if machine != _machine() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def spoken(owner: str) -> str:
    """An owner as a person is told of it."""
    machine, _, process = owner.rpartition(" ")[0].rpartition(" ")
    return f"process {process} on {machine.partition('/')[0]}"


def _machine() -> str:
    """This machine since it was started; containers that share its name are told apart."""
    marks = [socket.gethostname()]
    with contextlib.suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        marks.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(marks)
