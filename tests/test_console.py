"""The console in a terminal of its own: what a person types, and what is then to be seen."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from bottega.console.keyboard import Words, without_marks

SCRIPTED = Path(__file__).with_name("scripted.py")
PROMPT = "›"
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|\r")


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *arguments], environment)
        self.raw = ""
        self._seen = 0
        self.code: int | None = None

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def wait_for(self, text: str, timeout: float = 30) -> str:
        """Reads until `text` is shown, after what earlier calls have waited for; gives what was shown until then."""
        end = time.monotonic() + timeout
        while (at := (shown := ESCAPES.sub("", self.raw)).find(text, self._seen)) < 0:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown, but:\n{shown[self._seen :]}")
        before, self._seen = self._seen, at + len(text)
        return shown[before : self._seen]

    def wait_for_end(self, timeout: float = 30) -> int:
        """Reads to the end; gives the exit code."""
        end = time.monotonic() + timeout
        while self._read(end - time.monotonic()):
            pass
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def close(self) -> None:
        if self.code is None:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._file)

    def _read(self, timeout: float) -> bool:
        if timeout <= 0 or not select.select([self._file], [], [], timeout)[0]:
            return False
        try:
            part = os.read(self._file, 65536)
        except OSError:  # the program has ended
            return False
        if b"\x1b[6n" in part:  # the program asks where the cursor is
            self.type("\x1b[1;1R")
        self.raw += part.decode(errors="replace")
        return bool(part)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens the scripted command line in a terminal, in a folder with a text of three lamps."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "text.txt").write_text("lamp lamp\nlamp\n")
    opened: list[Terminal] = []

    def open_(*arguments: str, **environment: str) -> Terminal:
        known = {name: value for name, value in os.environ.items() if not name.startswith("BOTTEGA_")}
        known |= {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path)}
        found = Terminal([str(SCRIPTED), *arguments], folder, known | environment)
        opened.append(found)
        return found

    yield open_
    for each in opened:
        each.close()


def test_a_request_shows_its_plan_its_steps_and_its_answer(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("count\r")
    shown = console.wait_for("✓ s1")
    assert "plan" in shown
    assert "count lamps" in shown
    assert "\n3" in console.wait_for(PROMPT)
    console.type("\x04")
    assert console.wait_for_end() == 0


def test_help_lists_the_commands(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("/help\r")
    shown = console.wait_for("Ctrl-D leaves")
    assert "/tools" in shown
    assert "Alt-Enter" in shown


def test_a_command_that_is_none_is_said_and_not_run(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("/dance\r")
    console.wait_for("there is no /dance")


def test_quit_leaves(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("/quit\r")
    assert console.wait_for_end() == 0


def test_ctrl_c_clears_the_line_and_never_leaves(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("half a thought\x03")
    console.type("\x03")
    console.wait_for("Ctrl-D or /quit leaves")
    console.type("count\r")
    console.wait_for("✓ s1")


def test_ctrl_c_stops_a_run_and_says_what_is_kept(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("count and wait\r")
    console.wait_for("✓ s1")
    console.type("\x03")
    console.wait_for("done before: s1")
    console.wait_for(PROMPT)
    console.type("count\r")
    console.wait_for("✓ s1")


def test_a_run_that_was_stopped_is_listed_and_can_be_resumed(terminal: Open, tmp_path: Path) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("count and write\r")
    console.wait_for("[y once")
    console.type("\x03")
    console.wait_for("✗ s2")
    console.wait_for(PROMPT)
    console.type("/runs\r")
    assert "stopped" in console.wait_for("  count and write")
    console.wait_for(PROMPT)
    console.type("/resume\r")
    console.wait_for("[y once")
    console.type("y\r")
    console.wait_for("✓ s2")
    assert (tmp_path / "folder" / "number.txt").read_text() == "3"


def test_a_second_ctrl_c_does_not_wait_for_a_tool_that_will_not_stop(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("hang\r")
    console.wait_for("s1 hang")
    console.type("\x03")
    console.wait_for("again does not wait")
    console.type("\x03")
    console.wait_for("abandoned")
    console.wait_for(PROMPT)
    console.type("count\r")
    console.wait_for("✓ s1")
    console.wait_for(PROMPT)
    console.type("\x04")
    assert console.wait_for_end() == 0


@pytest.mark.parametrize(("answer", "done"), [("y", True), ("n", False), ("", False)])
def test_a_side_effect_is_asked_about_first(terminal: Open, tmp_path: Path, answer: str, done: bool) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("count and write\r")
    assert "number=3" in console.wait_for("[y once")
    console.type(f"{answer}\r")
    console.wait_for("✓ s2" if done else "✗ s2")
    assert (tmp_path / "folder" / "number.txt").exists() is done


def test_yes_asks_nothing(terminal: Open, tmp_path: Path) -> None:
    console = terminal("console", "--yes")
    console.wait_for(PROMPT)
    console.type("count and write\r")
    assert "[y once" not in console.wait_for("✓ s2")


def test_what_was_typed_is_there_again_in_the_next_console(terminal: Open) -> None:
    first = terminal()
    first.wait_for(PROMPT)
    first.type("count\r")
    first.wait_for("✓ s1")
    first.wait_for(PROMPT)
    first.type("\x04")
    first.wait_for_end()
    second = terminal()
    second.wait_for(PROMPT)
    second.type("\x1b[A")
    second.wait_for("count")


def test_alt_enter_starts_a_new_line(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("/plan\x1b\rcount\r")
    console.wait_for("count lamps")


def test_a_request_that_cannot_be_one_is_one_line_and_the_console_stays(terminal: Open) -> None:
    console = terminal()
    console.wait_for(PROMPT)
    console.type("/plan cuont\r")
    assert "Traceback" not in console.wait_for("error: ")
    console.wait_for(PROMPT)


def test_a_run_on_a_terminal_asks_too(terminal: Open, tmp_path: Path) -> None:
    run = terminal("run", "count and write")
    run.wait_for("[y once")
    run.type("y\n")
    assert run.wait_for_end() == 0
    assert (tmp_path / "folder" / "number.txt").read_text() == "3"


def test_colours_are_for_terminals_that_want_them(terminal: Open) -> None:
    for environment, coloured in [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]:
        run = terminal("run", "count", **environment)
        assert run.wait_for_end() == 0
        assert bool(re.search(r"\x1b\[[\d;]*3\d", run.raw)) is coloured, environment


def completions(text: str) -> list[str]:
    words = Words({"/tools": "", "/plan": ""}, lambda: ["kiln.log", "a plan.md", "notes/plan.txt"])
    return [found.text for found in words.get_completions(Document(text), CompleteEvent())]


def test_commands_are_completed_at_the_start_of_the_line_only() -> None:
    assert completions("/t") == ["/tools"]
    assert completions("/") == ["/tools", "/plan"]
    assert completions("count /t") == []


def test_files_are_completed_after_an_at_sign() -> None:
    assert completions("count the lines of @kil") == ["@kiln.log"]
    assert completions("@plan") == ['@"a plan.md"', "@notes/plan.txt"]
    assert completions("mail me at home@") == []


def test_marked_files_become_names(tmp_path: Path) -> None:
    (tmp_path / "kiln.log").touch()
    (tmp_path / "a plan.md").touch()
    assert without_marks('@kiln.log and @"a plan.md"', tmp_path) == "kiln.log and a plan.md"
    assert without_marks("mail @marta", tmp_path) == "mail @marta"
