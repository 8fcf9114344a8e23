"""A PostgreSQL server of one's own on loopback, from the system's package."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres" if os.geteuid() == 0 else None
"""Who runs the server: it does not run as root."""


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server with its data in `folder`, as a database URL. It is stopped at the end."""
    bin_ = programs()
    assert bin_ is not None
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    if USER is not None:
        account = pwd.getpwnam(USER)
        os.chown(data, account.pw_uid, account.pw_gid)
        folder.chmod(0o711)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run(str(bin_ / "initdb"), "-D", str(data), "-A", "trust", "-U", "bottega", "--no-sync")
    # No test pulls the plug, so nothing has to be on the disk for real.
    settings = f"listen_addresses=127.0.0.1 unix_socket_directories={data} fsync=off full_page_writes=off"
    options = " ".join([f"-p {port}", *(f"-c {setting}" for setting in settings.split())])
    _run(str(bin_ / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        yield f"postgresql://bottega@127.0.0.1:{port}/postgres"
    finally:
        _run(str(bin_ / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")


def restart(url: str) -> None:
    """Stops the server of that URL and starts it again; whoever is connected is thrown out."""
    import psycopg

    bin_ = programs()
    assert bin_ is not None
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    _run(str(bin_ / "pg_ctl"), "-D", row[0], "-w", "-m", "fast", "-l", f"{row[0]}/log", "restart")


def _run(*command: str) -> None:
    done = subprocess.run(command, user=USER, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
