"""The command line as a person or a script meets it: streams, exit codes, one line for every error."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripted import ScriptedBottega

import bottega.workshop as workshop
from bottega import Plan
from bottega.cli.group import COMMANDS, run
from bottega.core.errors import ConfigError
from bottega.graphs.events import read_event
from bottega.settings import Settings

BOTTEGA = str(Path(sys.executable).with_name("bottega"))


@dataclass
class Done:
    code: int
    out: str
    err: str

    def one_line_error(self) -> str:
        """The error, which has to be one line, with at most a hint below, and nothing on stdout."""
        lines = self.err.splitlines()
        assert self.out == ""
        assert "Traceback" not in self.err
        assert lines[0].startswith("error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), self.err
        return lines[0]


Cli = Callable[..., Done]

SCRIPTED = Path(__file__).with_name("scripted.py")
"""The same as a program, for what needs a process of its own."""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command line in a folder of its own, without a terminal."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BOTTEGA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-of-the-person"))

    def call(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(arguments)
        seen = capsys.readouterr()
        return Done(code, seen.out, seen.err)

    return call


def test_help_lists_every_command_with_one_line(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in done.out
        assert line.split()[0] in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(cli: Cli, name: str) -> None:
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: bottega {name}")


def test_the_version_is_one_line() -> None:
    for arguments in (["--version"], ["--debug", "--version"]):
        done = subprocess.run([BOTTEGA, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout == "bottega 0.1.0\n"


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bottega", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "bottega 0.1.0\n"


def test_without_a_terminal_the_console_gives_way_to_help_on_stderr(cli: Cli) -> None:
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: bottega")


def test_the_console_command_needs_a_terminal(cli: Cli) -> None:
    done = cli("console")
    assert done.code == 2
    assert "terminal" in done.one_line_error()


def test_a_misspelt_command_is_one_line_that_names_the_nearest(cli: Cli) -> None:
    done = cli("plna", "x")
    assert done.code == 2
    assert "'plna'" in done.one_line_error()
    assert "bottega plan" in done.err


def test_an_unknown_option_is_one_line(cli: Cli) -> None:
    done = cli("run", "--colour", "x")
    assert done.code == 2
    assert "--colour" in done.one_line_error()


@pytest.mark.parametrize("command", ["run", "plan", "route"])
@pytest.mark.parametrize("request_", ["", "   \n"])
def test_an_empty_request_is_refused(cli: Cli, command: str, request_: str) -> None:
    done = cli(command, request_)
    assert done.code == 2
    assert "empty" in done.one_line_error()


def test_nothing_on_stdin_is_an_empty_request_too(cli: Cli) -> None:
    assert "empty" in cli("run").one_line_error()
    assert "empty" in cli("run", "-").one_line_error()


def test_a_request_of_100_kb_is_refused(cli: Cli) -> None:
    for done in (cli("run", "word " * 20_000), cli("run", stdin=b"word " * 20_000)):
        assert done.code == 2
        assert "64 kB" in done.one_line_error()


@pytest.mark.parametrize("junk", [b"a\0b", b"\xff\xfe\xfd", bytes(range(256)), b"\x7fELF\x02\x01"])
def test_binary_junk_is_refused(cli: Cli, junk: bytes) -> None:
    done = cli("run", stdin=junk)
    assert done.code == 2
    assert "not text" in done.one_line_error()


def test_bytes_that_are_no_text_are_refused_as_an_argument_too(tmp_path: Path) -> None:
    done = subprocess.run([BOTTEGA.encode(), b"run", b"count \xff\xfe"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert b"not text" in done.stderr


@pytest.mark.parametrize("command", [["run", "x"], ["plan", "x"], ["route", "x"], ["tools", "list"]])
def test_a_missing_folder_is_one_line(cli: Cli, command: list[str]) -> None:
    done = cli(*command, "--workspace", "no-such-folder")
    assert done.code == 2
    assert "no-such-folder" in done.one_line_error()


def test_a_broken_settings_file_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".bottega").mkdir()
    (tmp_path / ".bottega" / "config.toml").write_text("web = ")
    done = cli("run", "x")
    assert done.code == 2
    assert "config.toml" in done.one_line_error()


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([BOTTEGA, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: no space left on device\n"


def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    process = subprocess.Popen([BOTTEGA, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


def test_an_unexpected_error_is_one_line_unless_asked_for_more(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("the attic")

    monkeypatch.setattr(Settings, "load", broken)
    done = cli("run", "x")
    assert done.code == 1
    assert "LookupError: the attic" in done.one_line_error()
    assert "--debug" in done.err
    with pytest.raises(LookupError):
        cli("--debug", "run", "x")
    monkeypatch.setenv("BOTTEGA_DEBUG", "1")
    with pytest.raises(LookupError):
        cli("run", "x")


def test_a_secret_in_an_error_is_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConfigError("the server said: Authorization: Bearer abcdefghijklmnop")

    monkeypatch.setattr(Settings, "load", broken)
    assert "abcdefgh" not in cli("run", "x").err


def test_doctor_reports_as_json_and_finds_the_weights(cli: Cli) -> None:
    report = json.loads(cli("doctor", "--json").out)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert report["version"] == "0.1.0"
    assert found["backbone"]["state"] == "ok"
    assert "SHA-256" in found["backbone"]["text"]


def test_doctor_names_a_broken_mcp_json_and_ends_with_1(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {')
    done = cli("doctor")
    assert done.code == 1
    assert ".mcp.json" in done.out


def test_doctor_names_a_server_whose_command_is_missing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {"ghost": {"command": "no-such-command-here"}}}')
    done = cli("doctor")
    assert done.code == 1
    assert "no-such-command-here" in done.out


def test_doctor_shows_no_secret(cli: Cli, tmp_path: Path) -> None:
    entry = {"command": sys.executable, "env": {"TOKEN": "very-secret-value"}}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"mine": entry}}))
    assert "very-secret-value" not in cli("doctor").out


def test_flags_go_before_the_environment_and_that_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "person"))
    own = tmp_path / "person" / "bottega"
    own.mkdir(parents=True)
    (own / "config.toml").write_text('web = true\nmcp_config = "servers.json"\n')
    (tmp_path / ".bottega").mkdir()
    (tmp_path / ".bottega" / "config.toml").write_text('mcp_config = "more.json"\n')
    load = Settings.load
    assert load(tmp_path, {}, {}).web
    assert load(tmp_path, {}, {}).mcp_config == tmp_path / "more.json"
    assert load(tmp_path / "elsewhere", {}, {}).mcp_config == own / "servers.json"
    assert not load(tmp_path, {}, {"BOTTEGA_WEB": "0"}).web
    assert load(tmp_path, {"web": True}, {"BOTTEGA_WEB": "0"}).origins["web"] == "flag"
    assert load(tmp_path, {"mcp_config": "x.json"}, {"BOTTEGA_MCP_CONFIG": "y.json"}).mcp_config == Path("x.json")


@pytest.mark.parametrize("line", ["yes = true", "web = true"])
def test_a_folder_cannot_grant_itself_permissions(tmp_path: Path, line: str) -> None:
    (tmp_path / ".bottega").mkdir()
    (tmp_path / ".bottega" / "config.toml").write_text(line)
    with pytest.raises(ConfigError, match="cannot grant itself"):
        Settings.load(tmp_path, {}, {})


@pytest.mark.parametrize("line", ["colour = 1", "web = 3", "= 4"])
def test_a_setting_that_is_not_one_names_the_file(tmp_path: Path, line: str) -> None:
    (tmp_path / ".bottega").mkdir()
    (tmp_path / ".bottega" / "config.toml").write_text(line)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        Settings.load(tmp_path, {}, {})


def test_a_variable_that_is_neither_yes_nor_no_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="BOTTEGA_YES"):
        Settings.load(tmp_path, {}, {"BOTTEGA_YES": "perhaps"})


@pytest.fixture
def scripted(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs the command line with scripted plans, in a folder with a text of three lamps."""
    (tmp_path / "text.txt").write_text("lamp lamp\nlamp\n")
    monkeypatch.setattr(workshop, "Bottega", ScriptedBottega)
    return cli


def test_the_answer_alone_is_on_stdout_and_the_progress_on_stderr(scripted: Cli) -> None:
    done = scripted("run", "count")
    assert done.code == 0
    assert done.out.startswith("3")
    assert "count lamps" in done.err
    assert "\x1b" not in done.out + done.err


def test_quiet_says_nothing_but_the_answer(scripted: Cli) -> None:
    done = scripted("run", "--quiet", "count")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3")


def test_json_is_exactly_one_object(scripted: Cli) -> None:
    done = scripted("run", "--json", "count")
    result = json.loads(done.out)
    assert set(result) == {"run_id", "status", "answer", "route", "plan", "steps", "questions", "usage"}
    assert (result["status"], result["steps"][0]["value"]) == ("succeeded", 3)


def test_a_stream_is_one_event_a_line_and_ends_with_the_result(scripted: Cli) -> None:
    done = scripted("run", "--output", "stream-json", "count")
    events = [read_event(line) for line in done.out.splitlines()]
    assert events[0].type == "run_started"
    assert events[-1].type == "run_finished"
    assert {"planned", "step_started", "tool_called", "step_finished"} <= {event.type for event in events}


def test_a_side_effect_that_nobody_can_approve_is_not_done(scripted: Cli, tmp_path: Path) -> None:
    done = scripted("run", "--json", "count and write")
    assert done.code in (3, 5)
    assert json.loads(done.out)["status"] in ("stopped", "partial")
    assert "--yes" in done.out + done.err
    assert not (tmp_path / "number.txt").exists()


def test_yes_approves_side_effects(scripted: Cli, tmp_path: Path) -> None:
    done = scripted("run", "--yes", "count and write")
    assert done.code == 0
    assert (tmp_path / "number.txt").read_text() == "3"


def test_the_environment_can_say_yes(scripted: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTTEGA_YES", "1")
    assert scripted("run", "count and write").code == 0


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [("fail", "failed", 1), ("cannot", "cannot", 1), ("count and fail", "partial", 5)],
)
def test_every_end_has_its_exit_code(scripted: Cli, request_: str, status: str, code: int) -> None:
    done = scripted("run", "--json", request_)
    assert (json.loads(done.out)["status"], done.code) == (status, code)
    assert "Traceback" not in done.err


def test_a_dry_run_prints_the_plan_and_does_nothing(scripted: Cli, tmp_path: Path) -> None:
    done = scripted("run", "--dry-run", "--yes", "count and write")
    assert done.code == 0
    assert "count lamps" in done.out
    assert "← s1" in done.out
    assert not (tmp_path / "number.txt").exists()


def test_a_plan_can_be_read_back_from_its_json(scripted: Cli) -> None:
    plan = Plan.model_validate_json(scripted("plan", "--json", "count and write").out)
    assert plan["s2"].needs == ("s1",)


def test_a_plan_with_a_step_that_nobody_can_do_ends_with_1(scripted: Cli) -> None:
    done = scripted("plan", "cannot")
    assert done.code == 1
    assert "nobody here can fly" in done.out


def test_tools_are_listed_and_shown(scripted: Cli) -> None:
    listed = json.loads(scripted("tools", "list", "--json").out)
    assert {"count", "write"} <= {tool["name"] for tool in listed}
    shown = scripted("tools", "show", "count").out
    assert "Count a word." in shown
    assert "word" in shown
    assert "only reads" in shown


def test_an_unknown_tool_is_one_line_that_names_the_nearest(scripted: Cli) -> None:
    done = scripted("tools", "show", "cuont")
    assert done.code == 2
    assert "'cuont'" in done.one_line_error()
    assert "count" in done.err


def test_a_tool_cannot_drive_the_terminal(scripted: Cli) -> None:
    done = scripted("run", "colour")
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err
    assert "red" in done.out


def test_a_broken_mcp_json_is_one_line(scripted: Cli, tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {"a": }')
    done = scripted("run", "count")
    assert done.code == 2
    assert ".mcp.json" in done.one_line_error()


def test_a_missing_mcp_config_is_one_line(scripted: Cli) -> None:
    done = scripted("run", "count", "--mcp-config", "nowhere.json")
    assert done.code == 2
    assert "nowhere.json" in done.one_line_error()


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_keeps_what_it_has(scripted: Cli, tmp_path: Path, signal_: signal.Signals) -> None:
    command = [sys.executable, str(SCRIPTED), "run", "--output", "stream-json", "count and wait"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        events = []
        for line in process.stdout:
            events.append(read_event(line))
            if events[-1].type == "tool_called" and events[-1].tool == "wait":
                process.send_signal(signal_)
    assert process.returncode == 130
    last = events[-1]
    assert last.type == "run_finished"
    assert last.result.status == "cancelled"
    assert [result.step for result in last.result.results if result.status == "succeeded"] == ["s1"]


def test_colour_can_be_forced_into_a_pipe(scripted: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = scripted("run", "count")
    assert "\x1b[" in done.err
    assert "\x1b[" not in done.out
