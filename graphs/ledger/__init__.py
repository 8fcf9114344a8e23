"""The ledger of runs: what was asked for, planned, done and called, and who works on it. SQLite or PostgreSQL."""

from .lease import spoken
from .ledger import ENDED, Ledger, check_answer
from .payloads import digest_of
from .records import (
    AskedQuestion,
    Call,
    CallState,
    RunRecord,
    RunSummary,
    StepRecord,
)
from .writer import RunWriter

__all__ = [
    "ENDED",
    "AskedQuestion",
    "Call",
    "CallState",
    "Ledger",
    "RunRecord",
    "RunSummary",
    "RunWriter",
    "StepRecord",
    "check_answer",
    "digest_of",
    "spoken",
]
