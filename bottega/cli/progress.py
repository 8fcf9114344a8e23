"""Shows a run as it goes. Finished lines are written once and stay; on a terminal one status line is below them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from .output import argument, plan_rows
from .text import one_line

if TYPE_CHECKING:
    from ..agents.plan import StepResult
    from ..graphs.events import Event

MARKS = {"succeeded": "✓", "skipped": "-", "waiting": "?", "uncertain": "?"}
STYLES = {"succeeded": "green", "failed": "red", "cannot": "red", "skipped": "dim", "cancelled": "dim"}
LEVELS = {"info": "dim", "warning": "yellow", "error": "red"}


class Progress:
    """Takes the events of runs, one after the other."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._console() if wants_rich(self._stream) else None
        self._status: Any = None
        self._running: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Writes what a person should see of `event`."""
        match event.type:
            case "notice":
                mark = "" if event.level == "info" else f"{event.level}: "
                self.line(f"{mark}{one_line(event.text)}", LEVELS[event.level])
            case "planned":
                again = f" (revision {event.plan.revision})" if event.plan.revision > 1 else ""
                of = f" of {event.goal}" if event.goal else ""
                self.line(f"plan{of}{again}", "bold")
                for row in plan_rows(event.plan, indent=2):
                    self.line(f"  {row}", "dim" if row.detail else "")
            case "step_started":
                self._running[event.step] = one_line(event.instruction, 60)
            case "tool_called":
                arguments = " ".join(f"{k}={argument(v)}" for k, v in event.arguments.items())
                self._running[event.step] = one_line(f"{event.tool} {arguments}", 60)
            case "step_finished":
                self._running.pop(event.result.step, None)
                self._finished(event.result)
            case "question_asked":
                self.pause()
                return
            case "run_finished":
                self._running.clear()
        self._show_running()

    def line(self, text: str, style: str = "") -> None:
        """One line that stays."""
        with contextlib.suppress(OSError):  # a run goes on where nobody can be told of it: a log on a full disk
            if self._terminal is not None:
                from rich.text import Text

                self._terminal.print(Text(text, style=style))
            else:
                print(text, file=self._stream, flush=True)

    def pause(self) -> None:
        """Takes the status line away, so that something can be asked or written."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _finished(self, result: StepResult) -> None:
        told = result.text if result.status == "succeeded" else result.error or result.text
        used = ", ".join(dict.fromkeys(call.tool for call in result.calls))
        text = f"{MARKS.get(result.status, '✗')} {result.step:<3} {f'{used} → ' if used else ''}{one_line(told, 160)}"
        self.line(text, STYLES.get(result.status, "yellow"))

    def _show_running(self) -> None:
        if self._terminal is None or not self._terminal.is_terminal:
            return
        if not self._running:
            self.pause()
            return
        text = " · ".join(f"{step} {what}" for step, what in self._running.items())
        if self._status is None:
            self._status = self._terminal.status("", spinner="dots")
            self._status.start()
        from rich.text import Text

        self._status.update(Text(one_line(text, max(20, self._terminal.width - 4)), style="dim"))

    def _console(self) -> Any:
        from rich.console import Console

        return Console(file=self._stream, highlight=False, markup=False, soft_wrap=True)


def wants_rich(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that can do more than lines, or is to be treated as one."""
    if os.environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
