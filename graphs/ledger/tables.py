"""The tables of the ledger, and the migrations that bring an older database up to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from ...core.errors import LedgerError

metadata = MetaData()

versions = Table("bottega_version", metadata, Column("version", Integer, nullable=False))

runs = Table(
    "bottega_runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("request", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("state", Text, nullable=False),  # JSON: the stations passed, see graphs/nodes.py
    Column("route", Text),  # JSON
    Column("result", Text),  # JSON
    Column("budget", Text, nullable=False),  # JSON
    Column("seconds", Float, nullable=False),  # worked on it until the lease was last given up
    Column("created", Float, nullable=False),  # seconds since the epoch, as all times here
    Column("updated", Float, nullable=False),
    Column("owner", String(200)),
    Column("lease_until", Float, nullable=False),
    Column("fence", Integer, nullable=False),  # goes up with every new owner; writes of older ones are refused
    Column("cancel", Text, nullable=False),  # JSON: ids of steps to be cancelled, "*" for all
    Index("bottega_runs_created", "created"),
)

plans = Table(
    "bottega_plans",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("goal", Text, primary_key=True),  # the step whose plan it is; empty for the run's own
    Column("revision", Integer, primary_key=True),
    Column("plan", Text, nullable=False),
)

steps = Table(
    "bottega_steps",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("digest", String(64), primary_key=True),  # of what the step is and what goes into it
    Column("attempt", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", Text, nullable=False),
    Column("at", Float, nullable=False),
)

calls = Table(
    "bottega_calls",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("step", Text, nullable=False),
    Column("kind", String(8), nullable=False),  # tool, model
    Column("name", Text, nullable=False),
    Column("state", String(10), nullable=False),  # intended, done, uncertain
    Column("outcome", Text),
    Column("usage", Text),
    Column("at", Float, nullable=False),
)

questions = Table(
    "bottega_questions",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("step", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text),
    Column("asked", Float, nullable=False),
    Column("answered", Float),
)

artifacts = Table(
    "bottega_artifacts",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

edges = Table(
    "bottega_edges",
    metadata,
    Column("source", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("weight", Float, nullable=False),
)

OF_A_RUN: Sequence[Table] = (plans, steps, calls, questions, artifacts)
"""The tables whose rows go when their run goes."""


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS: Sequence[Callable[[Connection], None]] = (_first,)
"""The n-th brings a database from version n to n + 1. Never change one that was released; add another."""


def migrate(connection: Connection) -> None:
    """Brings the database up to date, all or nothing. Raises `LedgerError` for one of a newer Bottega."""
    if inspect(connection).has_table(versions.name):
        version = connection.execute(select(versions.c.version)).scalar_one()
    else:
        versions.create(connection)
        connection.execute(insert(versions).values(version=0))
        version = 0
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger has version {version}, and this Bottega knows versions up to {len(MIGRATIONS)}",
            hint="use a newer Bottega, or another ledger",
        )
    if version < len(MIGRATIONS):
        for step in MIGRATIONS[version:]:
            step(connection)
        connection.execute(update(versions).values(version=len(MIGRATIONS)))
