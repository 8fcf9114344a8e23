"""`Workspace`: nothing leaves it, nothing is half written, and what is no text is not read as text."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bottega.core.errors import ToolError, UsageError
from bottega.tools import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "inside-out").mkdir()
    return Workspace.at(folder)


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        Workspace.at(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "a/../../secret.txt",
        "/etc/passwd",
        "~/x",
        "~",
        "..",
        "../inside-out/x",
        "./../secret.txt",
        "a/b/../../..",
    ],
)
def test_a_path_outside_the_workspace_is_refused(workspace: Workspace, name: str) -> None:
    for reach in (workspace.path, workspace.file, workspace.read_text, workspace.entry, workspace.folder):
        with pytest.raises(ToolError, match="outside"):
            reach(name)
    with pytest.raises(ToolError, match="outside"):
        workspace.write_text(name, "x")
    with pytest.raises(ToolError, match="outside"):
        workspace.append_line(name, "x")


def test_an_absolute_path_inside_is_taken(workspace: Workspace) -> None:
    workspace.write_text("a.txt", "here")
    assert workspace.read_text(str(workspace.root / "a.txt")) == "here"


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 256, "a/" + "é" * 200, "\ud800"])
def test_what_is_no_path_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(ToolError, match="not a path"):
        workspace.path(name)


def test_links_out_of_the_workspace_are_refused(workspace: Workspace) -> None:
    (workspace.root / "file").symlink_to("../secret.txt")
    (workspace.root / "folder").symlink_to(workspace.root.parent)
    (workspace.root / "chain").symlink_to("folder/secret.txt")
    (workspace.root / "dangling").symlink_to("../new.txt")
    for name in ("file", "folder/secret.txt", "chain", "dangling"):
        with pytest.raises(ToolError, match="outside"):
            workspace.read_text(name)
        with pytest.raises(ToolError, match="outside"):
            workspace.write_text(name, "x")
    assert (workspace.root.parent / "secret.txt").read_text() == "secret"
    assert not (workspace.root.parent / "new.txt").exists()


def test_a_link_inside_is_followed_and_kept_when_written_through(workspace: Workspace) -> None:
    workspace.write_text("real.txt", "old")
    (workspace.root / "link").symlink_to("real.txt")
    workspace.write_text("link", "new")
    assert (workspace.root / "link").is_symlink()
    assert workspace.read_text("real.txt") == "new"


def test_a_loop_of_links_is_an_error_and_no_crash(workspace: Workspace) -> None:
    (workspace.root / "a").symlink_to("b")
    (workspace.root / "b").symlink_to("a")
    with pytest.raises(ToolError):
        workspace.read_text("a")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.lists(st.sampled_from(["..", ".", "a", "~", "/", "inside", "", "link"]), max_size=6).map("/".join))
def test_no_path_ever_leaves(workspace: Workspace, name: str) -> None:
    link = workspace.root / "link"
    if not link.is_symlink():
        link.symlink_to(workspace.root.parent)
    try:
        found = workspace.path(name)
    except ToolError:
        return
    assert found == workspace.root or workspace.root in found.parents


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_what_is_written_is_read_back(workspace: Workspace, text: str) -> None:
    workspace.write_text("ünïcode 日本 🙂.txt", text)
    assert workspace.read_text("ünïcode 日本 🙂.txt") == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("ångström".encode("utf-8-sig"), "ångström"),
        ("ångström".encode("utf-16"), "ångström"),
        ("ångström".encode("cp1252"), "ångström"),
        (b"", ""),
    ],
)
def test_other_encodings_are_read(workspace: Workspace, raw: bytes, text: str) -> None:
    (workspace.root / "a.txt").write_bytes(raw)
    assert workspace.read_text("a.txt") == text
    assert list(workspace.lines("a.txt")) == text.splitlines()


def test_a_binary_file_is_no_text(workspace: Workspace) -> None:
    (workspace.root / "a.bin").write_bytes(b"PK\x03\x04\0\0")
    assert not workspace.is_text("a.bin")
    with pytest.raises(ToolError, match="not a text file"):
        workspace.read_text("a.bin")
    with pytest.raises(ToolError, match="not a text file"):
        list(workspace.lines("a.bin"))
    with pytest.raises(ToolError, match="not a text file"):
        workspace.append_line("a.bin", "x")


def test_a_huge_file_is_not_read_whole_but_line_by_line(workspace: Workspace) -> None:
    path = workspace.root / "huge.log"
    with path.open("wb") as f:
        for _ in range(1200):
            f.write(b"x" * 9999 + b"\n")
    with pytest.raises(ToolError, match="too large"):
        workspace.read_text("huge.log")
    assert sum(1 for _ in workspace.lines("huge.log")) == 1200


def test_a_file_that_is_one_endless_line_is_an_error(workspace: Workspace) -> None:
    (workspace.root / "line.txt").write_bytes(b"a" * 11_000_000)
    with pytest.raises(ToolError, match="line longer"):
        list(workspace.lines("line.txt"))


def test_a_special_file_is_not_read(workspace: Workspace) -> None:
    os.mkfifo(workspace.root / "pipe")
    with pytest.raises(ToolError, match="no file"):
        workspace.read_text("pipe")


def test_a_missing_file_names_the_nearest(workspace: Workspace) -> None:
    workspace.write_text("archive/report.md", "x")
    workspace.write_text("sales.csv", "x")
    with pytest.raises(ToolError, match=r"did you mean archive/report\.md"):
        workspace.read_text("report.md")
    with pytest.raises(ToolError, match=r"did you mean sales\.csv"):
        workspace.read_text("sale.csv")
    with pytest.raises(ToolError) as raised:
        workspace.read_text("missing.csv")
    assert "did you mean" not in str(raised.value)
    with pytest.raises(ToolError, match="a folder"):
        workspace.read_text("archive")


def test_a_write_that_fails_leaves_what_was_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.write_text("a.txt", "old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ToolError, match="No space left"):
        workspace.write_text("a.txt", "new")
    assert workspace.read_text("a.txt") == "old"
    assert [p.name for p in workspace.root.iterdir()] == ["a.txt"]


def test_a_path_through_a_file_is_an_error(workspace: Workspace) -> None:
    workspace.write_text("a.txt", "x")
    for name in ("a.txt/b.txt", "a.txt/b/c.txt"):
        with pytest.raises(ToolError, match="cannot be written"):
            workspace.write_text(name, "x")
        with pytest.raises(ToolError):
            workspace.read_text(name)


def test_lone_surrogates_are_not_written(workspace: Workspace) -> None:
    with pytest.raises(ToolError, match="surrogates"):
        workspace.write_text("a.txt", "\ud800")
    assert list(workspace.root.iterdir()) == []


def test_the_mode_of_a_file_is_kept_and_a_new_one_follows_the_umask(workspace: Workspace) -> None:
    script = workspace.root / "run.sh"
    script.write_text("old")
    script.chmod(0o750)
    workspace.write_text("run.sh", "new")
    assert script.stat().st_mode & 0o777 == 0o750
    before = os.umask(0o027)
    try:
        workspace.write_text("new.txt", "x")
    finally:
        os.umask(before)
    assert (workspace.root / "new.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "name", [".git/hooks/pre-commit", "sub/.git/config", ".bottega/runs.db", ".mcp.json", "sub/.mcp.json"]
)
def test_what_programs_keep_is_not_written(workspace: Workspace, name: str) -> None:
    with pytest.raises(ToolError, match="kept by programs"):
        workspace.write_text(name, "x")
    with pytest.raises(ToolError, match="kept by programs"):
        workspace.append_line(name, "x")
    assert list(workspace.root.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"new\n"),
        (b"", b"new\n"),
        (b"old", b"old\nnew\n"),
        (b"old\n", b"old\nnew\n"),
        (b"old\r\n", b"old\r\nnew\r\n"),
    ],
)
def test_a_line_is_appended_on_a_line_of_its_own(workspace: Workspace, before: bytes | None, after: bytes) -> None:
    path = workspace.root / "a.txt"
    if before is not None:
        path.write_bytes(before)
    workspace.append_line("a.txt", "new")
    assert path.read_bytes() == after


def test_files_are_listed_sorted_without_hidden_ones(workspace: Workspace) -> None:
    for name in ("b.txt", "a/c.txt", "a/.d/e.txt", "node_modules/x.js"):
        workspace.write_text(name, "x")
    (workspace.root / ".hidden").write_text("x")
    (workspace.root / "bad\nname").write_text("x")
    (workspace.root / os.fsdecode(b"\xff")).write_text("x")
    assert workspace.files() == ["b.txt", "a/c.txt"]
    assert workspace.files("a") == ["a/c.txt"]
    assert workspace.files(limit=1) == ["b.txt"]
