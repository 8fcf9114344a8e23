"""What all tests share: no download of weights, none of the person's folders, no deadlines on a busy machine."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches, data, state and configuration lie in a temporary folder; subprocesses inherit it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "DATA", "STATE", "CONFIG"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for the whole session."""
    import postgres

    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    # Not among pytest's folders: the server's user has to reach it.
    with tempfile.TemporaryDirectory() as folder, postgres.serving(Path(folder)) as url:
        yield url


@pytest.fixture
def postgres_ledger_url(postgres_url: str) -> str:
    """The URL of a new ledger in PostgreSQL: a schema of its own."""
    import psycopg

    schema = f"ledger_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return f"{postgres_url}?options=-csearch_path%3D{schema}"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new ledger, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_ledger_url")
    return url
