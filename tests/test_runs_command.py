"""`bottega runs` as a person or a script meets it, and runs that are stopped, asked about and gone on with."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedBottega

import bottega.workshop as workshop
from bottega.cli.group import run

SCRIPTED = Path(__file__).with_name("scripted.py")
CLOCK = str(Path(sys.executable).with_name("mcp-server-time"))


@dataclass
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def one_line_error(self) -> str:
        """The error, which has to be one line, with at most a hint below, and nothing on stdout."""
        lines = self.err.splitlines()
        assert self.out == ""
        assert "Traceback" not in self.err
        assert lines[0].startswith("error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), self.err
        return self.err


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command line with scripted plans in a folder with three lamps, without a terminal."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "text.txt").write_text("lamp lamp\nlamp\n")
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("BOTTEGA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(workshop, "Bottega", ScriptedBottega)

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        code = run(arguments)
        seen = capsys.readouterr()
        return Done(code, seen.out, seen.err)

    return call


def waiting(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("runs", "questions", "--json").json()
    return found


# Listing and showing


def test_a_folder_without_runs_says_so(cli: Cli) -> None:
    for arguments in (["runs"], ["runs", "list"], ["runs", "questions"]):
        done = cli(*arguments)
        assert (done.code, done.out) == (0, "")
        assert "no run" in done.err
    assert cli("runs", "--json").code == 2
    assert cli("runs", "list", "--json").json() == []
    assert waiting(cli) == []


def test_runs_are_listed_newest_first(cli: Cli) -> None:
    cli("run", "count")
    cli("run", "fail")
    cli("run", "--yes", "count and write")
    listed = cli("runs", "list", "--json").json()
    assert [(run["request"], run["status"]) for run in listed] == [
        ("count and write", "succeeded"),
        ("fail", "failed"),
        ("count", "succeeded"),
    ]
    assert all(run["run_id"].startswith("run-") and run["owner"] is None for run in listed)
    assert abs(listed[0]["created"] - time.time()) < 60
    lines = cli("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == [run["run_id"] for run in listed]
    assert "count and write" in lines[0]
    assert len(cli("runs", "list", "--limit", "1").out.splitlines()) == 1


def test_a_run_is_shown_by_its_id_an_end_of_it_or_as_the_last(cli: Cli) -> None:
    cli("run", "--yes", "count and write")
    shown = cli("runs", "show", "--json").json()
    assert (shown["request"], shown["status"]) == ("count and write", "succeeded")
    assert [(s["step"], s["status"], s["value"]) for s in shown["steps"]] == [
        ("s1", "succeeded", 3),
        ("s2", "succeeded", "wrote 3"),
    ]
    assert [s["id"] for s in shown["plan"]["steps"]] == ["s1", "s2"]
    assert shown["usage"]["tool_calls"] == 2
    for name in ("last", shown["run_id"], shown["run_id"][-4:]):
        done = cli("runs", "show", name)
        assert done.code == 0
        assert done.out.startswith(f"{shown['run_id']} · succeeded · ")
        for told in ("count lamps", "wrote 3", "2 tool calls"):
            assert told in done.out


def test_a_run_is_shown_without_what_drives_a_terminal(cli: Cli) -> None:
    cli("run", "colour")
    done = cli("runs", "show")
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert "red" in done.out


@pytest.mark.parametrize("command", ["show", "resume", "cancel"])
def test_a_run_that_is_not_there_or_is_not_the_only_one_is_one_line(cli: Cli, command: str) -> None:
    assert "no run 'run-x'" in cli("runs", command, "run-x").one_line_error()
    assert "no run 'last'" in cli("runs", command).one_line_error()
    cli("run", "count")
    cli("run", "count")
    done = cli("runs", command, "run-")
    assert done.code == 2
    assert "several" in done.one_line_error()


def test_a_command_that_is_not_there_is_one_line(cli: Cli) -> None:
    assert cli("runs", "wash").code == 2


# Approvals without a terminal


def test_without_a_terminal_a_side_effect_is_not_done_and_the_flags_are_named(cli: Cli) -> None:
    done = cli("run", "count and write")
    assert done.code == 3
    assert "--yes" in done.out
    assert "--later" in done.out
    assert not Path("number.txt").exists()
    assert cli("runs", "list", "--json").json()[0]["status"] == "stopped"
    done = cli("runs", "resume", "--yes", "--json")
    assert (done.code, done.json()["status"]) == (0, "succeeded")
    assert Path("number.txt").read_text() == "3"
    assert done.err.count("count lamps") <= 1


def test_a_run_waits_for_its_answer_and_goes_on_with_it(cli: Cli) -> None:
    done = cli("run", "--later", "count and write")
    assert done.code == 3
    (question,) = waiting(cli)
    assert f"bottega runs answer {question['id']} y|n" in done.out
    assert f"to go on: bottega runs resume {question['run']}" in done.err
    assert (question["kind"], question["step"], question["arguments"]) == ("approval", "s2", {"number": 3})
    told = cli("runs", "questions").out
    for part in (question["id"], question["run"], "write number=3", "may destroy"):
        assert part in told
    assert cli("runs", "list", "--json").json()[0]["questions"] == 1
    assert "waits for an answer" in cli("runs", "show").out
    again = cli("runs", "resume", "--later")  # nobody has answered yet
    assert (again.code, len(waiting(cli))) == (3, 1)
    answered = cli("runs", "answer", question["id"], "y")
    assert (answered.code, answered.out) == (0, "")
    assert f"to go on: bottega runs resume {question['run']}" in answered.err
    done = cli("runs", "resume", "--later")
    assert done.code == 0
    assert Path("number.txt").read_text() == "3"
    assert waiting(cli) == []


@pytest.mark.parametrize(
    ("words", "code", "written"),
    [
        (["y"], 0, "3"),
        (["YES"], 0, "3"),
        (["once"], 0, "3"),
        (["a"], 0, "3"),
        (["e", '{"number":', "7}"], 0, "7"),
        (["edit", '{"number": "9"}'], 3, None),
        (["n"], 3, None),
        (["no", "not", "today"], 3, None),
    ],
)
def test_an_approval_is_answered_in_few_words(cli: Cli, words: list[str], code: int, written: str | None) -> None:
    cli("run", "--later", "count and write")
    assert cli("runs", "answer", waiting(cli)[0]["id"], *words).code == 0
    done = cli("runs", "resume", "--later")
    assert done.code == code
    assert (Path("number.txt").read_text() if Path("number.txt").exists() else None) == written
    if words[-1] == "today":
        assert "not today" in done.out


@pytest.mark.parametrize(
    "words", [["perhaps"], ["e"], ["e", "{"], ["e", "[1]"], ["e", "7"], ["done"], ["again"], ["y" * 5_000]]
)
def test_words_that_answer_nothing_are_one_line(cli: Cli, words: list[str]) -> None:
    cli("run", "--later", "count and write")
    done = cli("runs", "answer", waiting(cli)[0]["id"], *words)
    assert done.code == 2
    assert len(done.one_line_error()) < 2_000
    assert len(waiting(cli)) == 1


def test_a_question_that_is_not_there_or_was_answered_is_one_line(cli: Cli) -> None:
    assert cli("runs", "answer", "ask-1").code == 2
    assert "no question 'ask-1'" in cli("runs", "answer", "ask-1", "y").one_line_error()
    cli("run", "--later", "count and write")
    id = waiting(cli)[0]["id"]
    cli("runs", "answer", id, "y")
    assert cli("runs", "answer", id, "n").code == 2


def test_several_questions_of_several_runs_are_answered_in_any_order(cli: Cli) -> None:
    cli("run", "--later", "write both")
    cli("run", "--later", "count and write")
    first, second, third = waiting(cli)
    assert first["run"] == second["run"] != third["run"]
    assert "1 more waits" in cli("runs", "answer", second["id"], "y").err
    assert "to go on" in cli("runs", "answer", third["id"], "n").err
    assert "to go on" in cli("runs", "answer", first["id"], "y").err
    assert cli("runs", "resume", third["run"], "--later").code == 3
    assert cli("runs", "resume", first["run"], "--later").code == 0
    assert Path("number.txt").read_text() == "2"


def test_an_answer_for_good_is_kept_as_a_rule_for_this_folder(cli: Cli, tmp_path: Path) -> None:
    cli("run", "--later", "count and write")
    cli("runs", "answer", waiting(cli)[0]["id"], "p")
    assert cli("runs", "resume", "--later").code == 0
    assert 'tool = "write"' in (tmp_path / "config" / "bottega" / "policy.toml").read_text()
    assert cli("run", "write both").code == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "text.txt").write_text("lamp")
    assert cli("run", "--workspace", str(other), "count and write").code == 3


def test_a_plan_is_approved_edited_or_refused_from_elsewhere(cli: Cli) -> None:
    for words, code in ((["n", "too much"], 3), (["y"], 0)):
        assert cli("run", "--later", "--approve-plan", "count").code == 3
        (question,) = waiting(cli)
        assert question["kind"] == "plan"
        assert "count lamps" in cli("runs", "questions").out
        cli("runs", "answer", question["id"], *words)
        assert cli("runs", "resume", "--later", "--approve-plan").code == code
    assert cli("run", "--later", "--approve-plan", "count").code == 3
    (question,) = waiting(cli)
    plan = question["plan"]
    for bad in ("{}", "[]", json.dumps({**plan, "steps": plan["steps"] * 2})):
        assert "cannot be" in cli("runs", "answer", question["id"], "e", bad).one_line_error()
    plan["steps"][0]["arguments"]["word"] = "amp\nlamp"
    cli("runs", "answer", question["id"], "e", json.dumps(plan))
    done = cli("runs", "resume", "--later", "--approve-plan", "--json")
    assert (done.code, done.json()["steps"][0]["value"]) == (0, 1)


# Ends and limits


def test_a_budget_ends_a_run_and_a_larger_one_goes_on(cli: Cli) -> None:
    done = cli("run", "--yes", "--budget", "calls=1", "count and write")
    assert done.code == 4
    assert "1 of 1 calls used" in done.out
    assert "to go on: bottega runs resume" in done.err
    assert cli("runs", "resume", "--yes", "--budget", "calls=2").code == 0
    assert Path("number.txt").read_text() == "3"


@pytest.mark.parametrize("limits", ["calls", "calls=", "calls=many", "calls=-1", "hours=2", "calls=1,,", "calls=1=2"])
def test_a_budget_that_cannot_be_is_one_line(cli: Cli, limits: str) -> None:
    done = cli("run", "--budget", limits, "count")
    assert done.code == 2
    assert "budget" in done.one_line_error()


def test_a_run_that_has_succeeded_is_not_gone_on_with(cli: Cli) -> None:
    cli("run", "count")
    done = cli("runs", "resume")
    assert done.code == 2
    assert "has succeeded already" in done.one_line_error()


def test_a_failed_run_may_be_gone_on_with(cli: Cli) -> None:
    cli("run", "--json", "count and fail")
    done = cli("runs", "resume", "--json")
    assert done.code == 5
    assert [s["status"] for s in done.json()["steps"]] == ["succeeded", "failed"]
    attempts = {s["step"]: s["attempt"] for s in cli("runs", "show", "--json").json()["steps"]}
    assert attempts == {"s1": 1, "s2": 2}


def test_a_waiting_run_is_cancelled_once(cli: Cli) -> None:
    cli("run", "--later", "count and write")
    done = cli("runs", "cancel")
    assert done.code == 0
    assert "being cancelled" in done.err
    assert cli("runs", "list", "--json").json()[0]["status"] == "cancelled"
    done = cli("runs", "cancel")
    assert done.code == 1
    assert "nothing to cancel" in done.err


def test_old_runs_are_pruned_and_those_that_may_go_on_are_kept(cli: Cli) -> None:
    for _ in range(3):
        cli("run", "count")
    cli("run", "--later", "count and write")
    ids = [run["run_id"] for run in cli("runs", "list", "--json").json()]
    assert cli("runs", "prune").out == ""
    done = cli("runs", "prune", "--older-than", "0s", "--keep", "2", "--dry-run")
    assert (done.out.split(), done.code) == (ids[2:], 0)
    assert "2 runs would be removed" in done.err
    assert cli("runs", "prune", "--older-than", "0s", "--keep", "2").out.split() == ids[2:]
    done = cli("runs", "prune", "--older-than", "0s")
    assert done.out.split() == [ids[1]]
    assert "1 run was removed" in done.err
    assert [run["run_id"] for run in cli("runs", "list", "--json").json()] == [ids[0]]
    assert len(waiting(cli)) == 1


@pytest.mark.parametrize("age", ["", "7", "x", "-1d", "1y", "nand"])
def test_an_age_that_is_none_is_one_line(cli: Cli, age: str) -> None:
    done = cli("runs", "prune", "--older-than", age)
    assert done.code == 2
    assert "no age" in done.one_line_error()


# Where runs are kept


def test_runs_are_kept_where_one_says(cli: Cli, tmp_path: Path) -> None:
    cli("run", "--ledger", str(tmp_path / "elsewhere" / "my.db"), "count")
    assert (tmp_path / "elsewhere" / "my.db").exists()
    assert not Path(".bottega").exists()
    assert len(cli("runs", "list", "--json", "--ledger", str(tmp_path / "elsewhere" / "my.db")).json()) == 1
    cli("run", "--ledger", ":memory:", "count")
    assert not Path(".bottega").exists()
    assert cli("runs", "list", "--json").json() == []


def test_a_ledger_that_cannot_be_used_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear aunt, " * 1_000)
    cli("run", "--ledger", str(tmp_path / "newer.db"), "count")
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute("UPDATE bottega_version SET version = 99")
    connection.close()
    for name, says in (("letter.db", "not a database"), ("newer.db", "version 99"), ("letter.db/x.db", "")):
        for command in (["run", "count"], ["runs", "list"], ["runs", "resume"]):
            done = cli(*command, "--ledger", str(tmp_path / name))
            assert done.code == 75
            assert says in done.one_line_error()


def test_a_run_whose_folder_takes_no_ledger_is_done_and_says_that_it_is_not_kept(cli: Cli) -> None:
    Path(".bottega").write_text("in the way")
    done = cli("run", "count")
    assert done.code == 0
    assert done.out.startswith("3")
    assert "not kept" in done.err


# Processes that are stopped and killed


class Person:
    """`bottega` in a process of its own, at a terminal, and the person who sits there."""

    def __init__(self, *arguments: str) -> None:
        self._terminal, inside = pty.openpty()

        def begin() -> None:
            os.setsid()
            fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTED), *arguments],
            stdin=inside,
            stderr=inside,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=begin,
        )
        os.close(inside)
        self.seen = ""

    def sees(self, text: str, within: float = 30.0) -> None:
        """Waits until a text is on the screen."""
        until = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if not self._read(0.1) and self.process.poll() is not None:
                raise AssertionError(self.seen)

    def types(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def ends(self, within: float = 30.0) -> tuple[int, str]:
        """Waits for the end; gives the exit code and what was printed on stdout."""
        out, _ = self.process.communicate(timeout=within)
        while self._read(0.0):
            pass
        os.close(self._terminal)
        return self.process.returncode, out

    def _read(self, within: float) -> bool:
        if not select.select([self._terminal], [], [], within)[0]:
            return False
        try:
            part = os.read(self._terminal, 65_536)
        except OSError:  # the other side is closed
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)


@pytest.fixture
def person(cli: Cli) -> Iterator[Callable[..., Person]]:
    started: list[Person] = []

    def person(*arguments: str) -> Person:
        started.append(Person(*arguments))
        return started[-1]

    yield person
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.mark.parametrize("at", ["a call", "a question"])
def test_ctrl_c_ends_a_run_within_a_second_and_says_how_it_goes_on(
    cli: Cli, person: Callable[..., Person], at: str
) -> None:
    one = person("run", "count and wait" if at == "a call" else "count and write")
    one.sees("→ 3" if at == "a call" else "[y ")
    start = time.monotonic()
    one.types("\x03")
    code, out = one.ends(within=10)
    assert time.monotonic() - start < 2.0  # a second, and what the end of a process takes on a busy machine
    assert code == 130
    assert "done before: s1" in out
    (run,) = cli("runs", "list", "--json").json()
    assert (run["status"], run["owner"]) == ("cancelled", None)
    assert f"to go on: bottega runs resume {run['run_id']}" in one.seen
    if at == "a question":
        done = cli("runs", "resume", "--yes", "--json")
        assert done.code == 0
        assert Path("number.txt").read_text() == "3"
        assert [s["attempt"] for s in cli("runs", "show", "--json").json()["steps"]] == [1, 1]


def test_a_person_at_the_terminal_approves_edits_and_refuses(cli: Cli, person: Callable[..., Person]) -> None:
    one = person("run", "write both")
    one.sees("[y ")
    one.types('e\n{"number": 8}\n')
    one.sees("number=2")
    one.types("n enough\n")
    code, out = one.ends()
    assert code == 3
    assert "enough" in out
    assert Path("number.txt").read_text() == "8"


def test_a_cancelled_run_leaves_no_process(cli: Cli, person: Callable[..., Person]) -> None:
    Path(".mcp.json").write_text(json.dumps({"mcpServers": {"clock": {"command": CLOCK}}}))
    one = person("run", "count and wait")
    one.sees("→ 3")
    children = _children(one.process.pid)
    assert any("mcp-server-time" in command for command in children.values())
    one.types("\x03")
    assert one.ends(within=10)[0] == 130
    left = {pid for pid in children if _command(pid) == children[pid]}
    assert left == set()


def _children(pid: int) -> dict[int, str]:
    """The processes below one, with their commands."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child: _command(child) for child in below - {pid}}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def started(cli: Cli) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `bottega run --output stream-json` in a process of its own and waits until a tool is called."""
    processes: list[subprocess.Popen[str]] = []

    def started(tool: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPTED), "run", "--output", "stream-json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] == "tool_called" and event["tool"] == tool:
                return process
        raise AssertionError(f"{tool} was not called")

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def test_a_run_is_cancelled_from_another_terminal(cli: Cli, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("wait", "count and wait")
    busy = cli("runs", "resume")
    assert busy.code == 75
    assert f"process {process.pid} " in busy.one_line_error()
    assert cli("runs", "list", "--json").json()[0]["status"] == "running"
    start = time.monotonic()
    assert cli("runs", "cancel").code == 0
    assert process.wait(timeout=10) == 130
    assert time.monotonic() - start < 3.0
    shown = cli("runs", "show", "--json").json()
    assert (shown["status"], [s["step"] for s in shown["steps"]]) == ("cancelled", ["s1"])


def test_one_step_is_cancelled_from_another_terminal(cli: Cli, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("wait", "count and wait")
    assert cli("runs", "cancel", "--step", "s2").code == 0
    assert process.wait(timeout=10) == 5
    shown = cli("runs", "show", "--json").json()
    assert [(s["step"], s["status"]) for s in shown["steps"]] == [("s1", "succeeded"), ("s2", "cancelled")]


@pytest.mark.parametrize(
    ("words", "status", "value"),
    [
        (["done", "it", "is", "there"], "succeeded", "it is there"),
        (["done"], "succeeded", "Done."),
        (["n"], "refused", None),
    ],
)
def test_a_call_that_a_kill_met_is_asked_about(
    cli: Cli, started: Callable[..., subprocess.Popen[str]], words: list[str], status: str, value: str | None
) -> None:
    process = started("post", "--yes", "post")
    process.kill()
    process.wait()
    assert cli("runs", "list", "--json").json()[0]["status"] == "broken off"
    assert "broken off" in cli("runs").out
    assert "may have been done or not" in cli("runs", "show").out
    done = cli("runs", "resume", "--yes")
    assert done.code == 3
    (question,) = waiting(cli)
    assert question["kind"] == "uncertain"
    assert f"bottega runs answer {question['id']} done|again|n" in done.out
    for wrong in (["y"], ["a"], ["p"], ["e", "{}"]):
        assert cli("runs", "answer", question["id"], *wrong).code == 2
    cli("runs", "answer", question["id"], *words)
    result = cli("runs", "resume", "--yes", "--json").json()
    assert [(s["status"], s["value"]) for s in result["steps"]] == [(status, value)]


def test_a_broken_off_run_is_cancelled_at_once(cli: Cli, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("wait", "count and wait")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert cli("runs", "cancel").code == 0
    assert cli("runs", "list", "--json").json()[0]["status"] == "cancelled"
