"""Servers that nobody here wrote, over their real transports: from PyPI and from npm."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from mcp_support import call, with_tools

from bottega.tools import Tool
from bottega.tools.mcp import ServerConfig

Problems = list[tuple[str, str]]
FILESYSTEM = "@modelcontextprotocol/server-filesystem"


@pytest.fixture(scope="module")
def filesystem_server() -> Path:
    """The npm server's script; installed once into the user's cache folder."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = platformdirs.user_cache_path("bottega") / "test-servers"
    script = folder / "node_modules" / FILESYSTEM / "dist" / "index.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", FILESYSTEM]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired:
            pytest.skip("the npm registry does not answer")
        if done.returncode:
            pytest.skip(f"npm cannot install {FILESYSTEM}: {(done.stderr or done.stdout).strip()[-200:]}")
    return script


def python_server(name: str, module: str, *arguments: str) -> ServerConfig:
    return ServerConfig(name, sys.executable, ("-m", module, *arguments), startup_timeout=60)


def test_the_time_server_of_pypi_is_used(tmp_path: Path) -> None:
    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert problems == []
        assert set(tools) == {"time/get_current_time", "time/convert_time"}
        convert = tools["time/convert_time"]
        arguments = {"source_timezone": "Europe/Rome", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        result = await call(convert, tmp_path, **arguments)
        assert result.data["target"]["timezone"] == "Asia/Tokyo"
        wrong = await call(convert, tmp_path, **arguments | {"source_timezone": "Mars/Olympus"})
        assert wrong.is_error

    asyncio.run(with_tools([python_server("time", "mcp_server_time")], tmp_path, use))


def test_the_git_server_of_pypi_is_used(tmp_path: Path) -> None:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    (tmp_path / "f").write_text("x")
    for words in (["init", "-q", "-b", "main"], ["add", "f"], ["commit", "-q", "-m", "The very first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env=os.environ | who)

    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        log = await call(tools["git/git_log"], tmp_path, repo_path=str(tmp_path))
        assert "The very first" in log.text
        assert tools["git/git_log"].annotations.read_only
        assert tools["git/git_reset"].annotations.destructive

    asyncio.run(with_tools([python_server("git", "mcp_server_git")], tmp_path, use))


def test_the_filesystem_server_of_npm_is_used(tmp_path: Path, filesystem_server: Path) -> None:
    config = ServerConfig("fs", "node", (str(filesystem_server), str(tmp_path)), startup_timeout=60)

    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert len(tools) >= 10
        written = await call(tools["fs/write_file"], tmp_path, path=str(tmp_path / "a.txt"), content="Buongiorno")
        assert not written.is_error
        assert (tmp_path / "a.txt").read_text() == "Buongiorno"
        assert "a.txt" in (await call(tools["fs/list_directory"], tmp_path, path=str(tmp_path))).text
        outside = await call(tools["fs/read_text_file"], tmp_path, path="/etc/hostname")
        assert outside.is_error

    asyncio.run(with_tools([config], tmp_path, use))


def test_a_modern_server_that_starts_slowly_is_waited_for(tmp_path: Path) -> None:
    script = "import time; time.sleep(1.2); from mcp_server_time import main; main()"
    config = ServerConfig("slow", sys.executable, ("-c", script), startup_timeout=60)

    async def use(tools: dict[str, Tool], problems: Problems) -> None:
        assert problems == []
        result = await call(tools["slow/get_current_time"], tmp_path, timezone="UTC")
        assert result.data["timezone"] == "UTC"

    asyncio.run(with_tools([config], tmp_path, use))
