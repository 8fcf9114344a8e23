from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.core.errors import ConfigError
from bottega.tools.mcp import ServerConfig, add_server, read_config, remove_server


def read(folder: Path, servers: dict[str, Any], **environment: str) -> list[ServerConfig]:
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    return read_config(folder, environment=environment)


def test_a_folder_without_a_file_has_no_servers(tmp_path: Path) -> None:
    assert read_config(tmp_path) == []


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json cannot be read: No such file"):
        read_config(tmp_path / "none.json")


def test_both_roots_comments_and_trailing_commas_are_read(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text(
        """// my servers
        {"mcpServers": {"a": {"command": "x", "args": ["http://host//path", "/* no comment */",], /* one */ "more": 1}},
         "servers": {"b": {"type": "http", "url": "https://host/mcp", "headers": {"X": "y"}},},}"""
    )
    a, b = sorted(read_config(tmp_path), key=lambda config: config.name)
    assert (a.command, a.args, a.extra) == ("x", ("http://host//path", "/* no comment */"), {"more": 1})
    assert (b.transport, b.url, b.headers) == ("http", "https://host/mcp", {"X": "y"})


def test_variables_are_filled_in_everywhere(tmp_path: Path) -> None:
    servers = {
        "a": {
            "command": "${BIN}/run",
            "args": ["${env:X}", "${NONE:-d e}", "${workspaceFolder}/f"],
            "env": {"K": "v${X}"},
        },
        "b": {"url": "https://${HOST:-localhost}/mcp", "headers": {"Authorization": "Bearer ${X}"}},
    }
    a, b = read(tmp_path, servers, BIN="/bin", X="1")
    assert (a.command, a.args, a.env) == ("/bin/run", ("1", "d e", f"{tmp_path}/f"), {"K": "v1"})
    assert (b.url, b.headers) == ("https://localhost/mcp", {"Authorization": "Bearer 1"})


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"command": "x", "env": {"KEY": "${TOKEN}"}}, "env.KEY: the variable TOKEN is not set"),
        ({"command": "x", "args": ["a", "${TOKEN}"]}, "args[1]: the variable TOKEN is not set"),
        ({"url": "${TOKEN}"}, "url: the variable TOKEN is not set"),
        ({"command": "x", "args": ["${input:key}"]}, "args[0]: ${input:key} asks a person, write ${VARIABLE} instead"),
        ({"command": ["x"]}, "command: has to be text, not a list"),
        ({"command": "x", "args": "y"}, "args: has to be a list, not text ('y')"),
        (
            {"command": "x", "startup_timeout_sec": 0},
            "startup_timeout_sec: has to be a number of seconds above 0, not 0",
        ),
        ({"command": "x", "enabled": "no"}, "enabled: has to be true or false, not text ('no')"),
        ({"type": "sse", "url": "http://x"}, "type: 'sse' is not supported, use 'stdio' or 'http'"),
        ({"command": "x", "url": "http://x"}, "has both a command and a url: say which with type 'stdio' or 'http'"),
        ({}, "has neither a command nor a url"),
        ("python x.py", "has to be an object, not text ('python x.py')"),
    ],
)
def test_a_server_that_cannot_be_used_says_why_and_harms_no_other(tmp_path: Path, entry: Any, problem: str) -> None:
    bad, good = read(tmp_path, {"bad": entry, "good": {"command": "x"}})
    assert bad.problem == problem
    assert good.problem is None


def test_timeouts_and_switches_are_read(tmp_path: Path) -> None:
    servers = {
        "a": {"command": "x", "startup_timeout_sec": 3, "tool_timeout_sec": 4.5},
        "b": {"command": "x", "enabled": False},
        "c": {"command": "x", "disabled": True},
        "d": {"command": "x"},
    }
    a, b, c, d = read(tmp_path, servers)
    assert (a.startup_timeout, a.tool_timeout) == (3, 4.5)
    assert (b.enabled, c.enabled) == (False, False)
    assert (d.startup_timeout, d.tool_timeout, d.enabled) == (15, 60, True)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"mcpServers": {\n  "a": {"command" "x"}}}', ":2:19: broken JSON: expecting ':' delimiter"),
        ("", ":1:1: broken JSON: expecting value"),
        ('{"mcpServers": ', ":1:16: broken JSON: expecting value"),
        ("[1]", ":1:1: not a JSON object"),
        ('{"mcpServers": [1]}', ": mcpServers has to be an object, not a list"),
        ('{"servrs": {}}', " names no servers"),
        ("[" * 100_000, ":1:1: broken JSON: nested too deeply"),
    ],
)
def test_a_broken_file_is_one_error_that_says_where(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path)
    assert caught.value.message.startswith(f"{file}{where}")
    assert "\n" not in str(caught.value)


def test_binary_junk_is_one_error(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="is not a text file"):
        read_config(tmp_path)


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    a, b = read(
        tmp_path,
        {
            "a": {"command": "x", "env": {"K": "s3cret"}},
            "b": {"url": "https://me:s3cret@h/p?s3cret", "headers": {"K": "s3cret"}},
        },
    )
    assert "s3cret" not in repr(a) + repr(b) + a.address + b.address


def test_adding_and_removing_keeps_everything_else(tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text('{"servers": {"old": {"command": "x", "mine": [1]}}, "inputs": []}')
    file.chmod(0o644)
    assert not add_server(file, "new", {"command": "y"})
    assert add_server(file, "new", {"command": "z"})
    expected = {"servers": {"old": {"command": "x", "mine": [1]}, "new": {"command": "z"}}, "inputs": []}
    assert json.loads(file.read_text()) == expected
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    remove_server(file, "old")
    assert list(json.loads(file.read_text())["servers"]) == ["new"]
    with pytest.raises(ConfigError, match="has no server 'old'"):
        remove_server(file, "old")


def test_a_new_file_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    add_server(tmp_path / ".mcp.json", "a", {"command": "x"})
    assert stat.S_IMODE((tmp_path / ".mcp.json").stat().st_mode) == 0o600
    assert [config.name for config in read_config(tmp_path)] == ["a"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(json_values)
def test_keys_that_mean_nothing_are_kept_as_they_are(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (config,) = read(Path(folder), {"a": {"command": "x", "mine": value}})
    assert config.extra == {"mine": value}
