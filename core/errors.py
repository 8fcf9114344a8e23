"""Every error Bottega raises on purpose. Each says what is wrong and what to do next; the CLI prints it as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .usage import Usage


class BottegaError(Exception):
    """The root of all errors of Bottega.

    `hint` says what to do next; `exit_code` is what the command line ends with. `usage` is what was spent in vain; None
    where nobody knows.
    """

    exit_code = 1
    usage: Usage | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(BottegaError):
    """The caller's words are off: an empty request, an unknown option value, a missing folder."""

    exit_code = 2


class ConfigError(BottegaError):
    """A configuration file cannot be used: broken JSON, a missing variable, a wrong type."""

    exit_code = 2


class MissingExtra(BottegaError):
    """A feature needs an optional dependency that is not installed."""

    exit_code = 2

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}", hint=f"pip install 'bottega[{extra}]'")


class ModelError(BottegaError):
    """A model cannot be found, opened or checked: weights missing, another checksum, an adapter that is cut short."""


class ToolIndexError(BottegaError):
    """An index of tools cannot be opened or written: none there, damaged, of another version, a full disk."""


class ToolError(BottegaError):
    """A tool could not do what it was asked to: a file that is not there, an argument out of range."""


class ServerError(BottegaError):
    """A server cannot be reached, stays mute or died. Names the server; harms nothing else."""

    exit_code = 75


class NotSent(ServerError):
    """A server that was not there, so that what was asked of it is certainly not done."""


class PermissionNeeded(BottegaError):
    """A side effect or a network access that no policy allows and nobody could approve."""

    exit_code = 3


class BudgetExceeded(BottegaError):
    """The run has spent what it was given."""

    exit_code = 4


class LedgerError(BottegaError):
    """The ledger cannot be opened, read or written: a full disk, no database server, one of a newer version."""

    exit_code = 75


class RunBusy(BottegaError):
    """Another process works on this run, or has taken it over."""

    exit_code = 75


FATAL = (LedgerError, RunBusy)
"""What a run cannot go on after: no step makes a result of it."""


class Halt(Exception):
    """A step cannot go on now. No failure, and not to be caught on the way: the run knows what to do.

    `status` is what becomes of the step: `waiting`, `uncertain`, `exhausted`.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class PlanError(BottegaError):
    """A plan that cannot run: a cycle, an unknown reference, an unknown specialist."""
