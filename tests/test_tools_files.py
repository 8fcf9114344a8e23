"""The toolset files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from house_tools import data_of, refusal, use

from bottega.core.errors import ToolError
from bottega.tools import Workspace


@pytest.fixture
def office(tmp_path: Path) -> Path:
    folder = tmp_path / "office"
    (folder / "archive").mkdir(parents=True)
    (folder / "todo.txt").write_text("buy paint\ncall the printer\nfix the door\n")
    (folder / "sales.csv").write_text("a,b\n1,2\n")
    (folder / "archive" / "2025.txt").write_text("old")
    (folder / ".hidden").write_text("x")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_a_folder_is_listed_by_paths_that_other_tools_take(office: Path) -> None:
    assert data_of(office, "files/list_files") == {"files": ["archive/", "sales.csv", "todo.txt"]}
    assert data_of(office, "files/list_files", folder="archive") == {"files": ["archive/2025.txt"]}
    assert data_of(office, "files/list_files", folder="./archive/") == {"files": ["archive/2025.txt"]}


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("*.csv", ["sales.csv"]),
        ("*.CSV", ["sales.csv"]),
        ("csv", ["sales.csv"]),
        ("**/*.txt", ["todo.txt", "archive/2025.txt"]),
        ("archive/*", ["archive/2025.txt"]),
        ("*.pdf", []),
        ("../*", []),
    ],
)
def test_a_pattern_chooses_files(office: Path, pattern: str, files: list[str]) -> None:
    assert data_of(office, "files/list_files", pattern=pattern) == {"files": files}


def test_an_empty_or_missing_folder_is_told(office: Path) -> None:
    (office / "new").mkdir()
    assert use(office, "files/list_files", folder="new").text == "new is empty."
    assert "did you mean archive?" in refusal(office, "files/list_files", folder="archiv")
    assert "a file, not a folder" in refusal(office, "files/list_files", folder="todo.txt")
    assert "outside" in refusal(office, "files/list_files", folder="..")


def test_a_file_is_shown_as_it_is(office: Path) -> None:
    assert use(office, "files/read_file", path="todo.txt").text == "buy paint\ncall the printer\nfix the door\n"


def test_a_file_is_written_with_its_folders(office: Path) -> None:
    result = use(office, "files/write_file", path="new/greeting.txt", content="good morning")
    assert result.text == "Wrote new/greeting.txt (12 characters)."
    assert result.data == {"path": "new/greeting.txt"}
    assert result.files == ("new/greeting.txt",)
    assert (office / "new" / "greeting.txt").read_text() == "good morning"
    use(office, "files/write_file", path="new/greeting.txt", content=42)
    assert (office / "new" / "greeting.txt").read_text() == "42"


def test_a_folder_is_not_written_over(office: Path) -> None:
    assert "is a folder" in refusal(office, "files/write_file", path="archive", content="x")
    assert "outside" in refusal(office, "files/write_file", path="../secret.txt", content="x")


def test_a_line_is_added(office: Path) -> None:
    result = use(office, "files/append_to_file", path="todo.txt", content="order new lamps")
    assert result.text == "Added 1 line to todo.txt."
    assert result.files == ("todo.txt",)
    assert (office / "todo.txt").read_text().endswith("fix the door\norder new lamps\n")


@pytest.mark.parametrize("destination", ["archive", "archive/", "archive/todo.txt", "./archive/../archive"])
def test_a_file_is_copied_to_a_name_or_into_a_folder(office: Path, destination: str) -> None:
    result = use(office, "files/copy_file", source="todo.txt", destination=destination)
    assert result.text == "Copied todo.txt to archive/todo.txt."
    assert result.files == ("archive/todo.txt",)
    assert (office / "archive" / "todo.txt").read_text() == (office / "todo.txt").read_text()


def test_a_copy_into_a_new_folder_makes_it(office: Path) -> None:
    use(office, "files/copy_file", source="todo.txt", destination="fresh/")
    assert (office / "fresh" / "todo.txt").is_file()


def test_a_copy_replaces_nothing_but_can_be_made_twice(office: Path) -> None:
    use(office, "files/copy_file", source="todo.txt", destination="copy.txt")
    assert not use(office, "files/copy_file", source="todo.txt", destination="copy.txt").is_error
    assert "already there" in refusal(office, "files/copy_file", source="todo.txt", destination="sales.csv")
    assert "same file" in refusal(office, "files/copy_file", source="todo.txt", destination="./todo.txt")
    assert (office / "sales.csv").read_text() == "a,b\n1,2\n"


def test_a_copy_that_fails_leaves_nothing(office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Any, target: Path, **_: Any) -> None:
        Path(target).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    assert "No space left" in refusal(office, "files/copy_file", source="todo.txt", destination="copy.txt")
    assert sorted(p.name for p in office.iterdir()) == [".hidden", "archive", "sales.csv", "todo.txt"]


def test_files_are_not_copied_across_the_border(office: Path) -> None:
    assert "outside" in refusal(office, "files/copy_file", source="../secret.txt", destination="a.txt")
    assert "outside" in refusal(office, "files/copy_file", source="todo.txt", destination="../a.txt")


def test_files_and_folders_are_moved_and_renamed(office: Path) -> None:
    assert data_of(office, "files/move_file", source="todo.txt", destination="archive") == {"path": "archive/todo.txt"}
    assert data_of(office, "files/move_file", source="archive", destination="old") == {"path": "old"}
    assert sorted(p.name for p in (office / "old").iterdir()) == ["2025.txt", "todo.txt"]


def test_a_move_replaces_nothing(office: Path) -> None:
    assert "already there" in refusal(office, "files/move_file", source="todo.txt", destination="sales.csv")
    assert "already has that name" in refusal(office, "files/move_file", source="todo.txt", destination="todo.txt")
    assert "into itself" in refusal(office, "files/move_file", source="archive", destination="archive/deeper/x")
    assert "no file nothing.txt" in refusal(office, "files/move_file", source="nothing.txt", destination="x")
    assert "not changed" in refusal(office, "files/move_file", source=".", destination="archive")


def test_a_folder_is_made_once_and_then_already_there(office: Path) -> None:
    assert use(office, "files/make_folder", path="a/b").text == "Made the folder a/b."
    assert use(office, "files/make_folder", path="a/b").text == "The folder a/b is already there."
    assert "a file of that name" in refusal(office, "files/make_folder", path="todo.txt")
    assert "outside" in refusal(office, "files/make_folder", path="../b")


def test_only_files_and_empty_folders_are_deleted(office: Path) -> None:
    assert "not empty" in refusal(office, "files/delete_file", path="archive")
    assert use(office, "files/delete_file", path="archive/2025.txt").text == "Deleted archive/2025.txt."
    assert use(office, "files/delete_file", path="archive").text == "Deleted archive."
    assert (office / "todo.txt").exists()
    assert not (office / "archive").exists()
    for path in (".", "..", "../secret.txt", "nothing"):
        refusal(office, "files/delete_file", path=path)


def test_deleting_a_link_leaves_what_it_points_to(office: Path) -> None:
    (office / "out").symlink_to("../secret.txt")
    (office / "in").symlink_to("archive")
    use(office, "files/delete_file", path="out")
    use(office, "files/delete_file", path="in")
    assert (office.parent / "secret.txt").read_text() == "secret"
    assert (office / "archive" / "2025.txt").exists()
    assert not (office / "out").is_symlink()


def test_a_file_behind_a_linked_folder_outside_is_not_deleted(office: Path) -> None:
    (office / "up").symlink_to("..")
    assert "outside" in refusal(office, "files/delete_file", path="up/secret.txt")
    assert (office.parent / "secret.txt").exists()


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\r\nb", 2), (b"\n\n", 2)])
def test_lines_are_counted_as_an_editor_does(office: Path, content: bytes, lines: int) -> None:
    (office / "x.txt").write_bytes(content)
    assert data_of(office, "files/count_lines", path="x.txt") == {"lines": lines}


def test_size_and_time_are_told(office: Path) -> None:
    os.utime(office / "todo.txt", (0, 1_000_000_000))
    info = data_of(office, "files/file_info", path="todo.txt")
    assert info["size"] == 40
    assert info["kind"] == "file"
    assert info["modified"].startswith("2001-09-0")
    assert data_of(office, "files/file_info", path="archive")["size"] == 3


def test_git_and_the_records_of_runs_are_not_touched(office: Path) -> None:
    (office / ".git").mkdir()
    (office / ".git" / "config").write_text("x")
    for call in (
        ("files/move_file", {"source": ".git", "destination": "x"}),
        ("files/move_file", {"source": "todo.txt", "destination": ".git"}),
        ("files/copy_file", {"source": "todo.txt", "destination": ".git/hooks/pre-commit"}),
        ("files/delete_file", {"path": ".git/config"}),
        ("files/make_folder", {"path": ".bottega/x"}),
    ):
        assert "tools do not change" in refusal(office, call[0], **call[1])


def test_unicode_names_go_all_the_way(office: Path) -> None:
    name = "Übersicht für 日本 🙂.txt"
    use(office, "files/write_file", path=name, content="ja")
    assert name in data_of(office, "files/list_files")["files"]
    assert data_of(office, "files/count_lines", path=name) == {"lines": 1}


def test_a_disk_error_while_listing_is_an_error_result(office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", broken)
    assert "Permission denied" in refusal(office, "files/list_files")


def test_the_workspace_refuses_before_the_tool_does(office: Path) -> None:
    with pytest.raises(ToolError):
        Workspace.at(office).writable("archive")
