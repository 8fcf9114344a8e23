"""The toolset search."""

from __future__ import annotations

from pathlib import Path

import pytest
from house_tools import data_of, refusal, use

from bottega.tools.house import search


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "app.log").write_text("1 ERROR disk\n2 info error-free\n3 Warning: heat\n4 ERROR net\n5 a.b\n")
    (tmp_path / "notes.md").write_text("The garden opens.\nAsk Petra about the Garden.\n")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "old.md").write_text("petra was here\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0garden")
    (tmp_path / ".hidden").write_text("garden")
    return tmp_path


def test_lines_are_found_with_their_numbers(logs: Path) -> None:
    result = use(logs, "search/find_lines", path="app.log", text="ERROR")
    assert result.text == "1: 1 ERROR disk\n4: 4 ERROR net"
    assert result.data == {"lines": ["1 ERROR disk", "4 ERROR net"], "numbers": [1, 4], "count": 2}


@pytest.mark.parametrize(
    ("text", "count"),
    [("ERROR", 2), ("error", 3), ("Warning", 1), ("WARNING", 1), ("Error", 3), ("a.b", 1), (".", 1), ("nothing", 0)],
)
def test_capitals_count_where_they_are_written_and_found(logs: Path, text: str, count: int) -> None:
    assert data_of(logs, "search/count_matching_lines", path="app.log", text=text) == {"count": count}


def test_it_is_told_where_capitals_had_to_be_ignored(logs: Path) -> None:
    assert "none with 'WARNING'" in use(logs, "search/count_matching_lines", path="app.log", text="WARNING").text


def test_a_regular_expression_is_one_only_on_request(logs: Path) -> None:
    assert data_of(logs, "search/count_matching_lines", path="app.log", text=r"^\d ERROR", regex=True) == {"count": 2}
    assert data_of(logs, "search/count_matching_lines", path="app.log", text=r"^\d ERROR") == {"count": 0}
    assert "not a regular expression" in refusal(logs, "search/find_lines", path="app.log", text="(", regex=True)
    assert "longer" in refusal(logs, "search/find_lines", path="app.log", text="a" * 2000, regex=True)


def test_a_catastrophic_pattern_is_stopped(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SECONDS", 0.3)
    (logs / "bad.txt").write_text(("a" * 60 + "!\n") * 3)
    assert "took longer" in refusal(logs, "search/find_lines", path="bad.txt", text=r"^(a|a|aa)+$", regex=True)


def test_no_text_is_an_error(logs: Path) -> None:
    assert "no text" in refusal(logs, "search/find_lines", path="app.log", text="")


def test_a_binary_or_missing_file_is_an_error(logs: Path) -> None:
    assert "not a text file" in refusal(logs, "search/find_lines", path="picture.png", text="garden")
    assert "did you mean app.log" in refusal(logs, "search/find_lines", path="apps.log", text="x")


def test_many_lines_are_cut_but_counted(logs: Path) -> None:
    (logs / "many.txt").write_text("x\n" * 1500)
    result = use(logs, "search/find_lines", path="many.txt", text="x")
    assert result.data["count"] == 1500
    assert len(result.data["lines"]) == 1000
    assert result.text.endswith("… and 500 more")


def test_files_that_mention_a_text_are_found_below_too(logs: Path) -> None:
    result = use(logs, "search/find_files_mentioning", text="petra")
    assert result.data == {"files": ["notes.md", "archive/old.md"]}
    assert result.text == "notes.md (1 line)\narchive/old.md (1 line)"
    assert data_of(logs, "search/find_files_mentioning", text="Petra") == {"files": ["notes.md"]}
    assert data_of(logs, "search/find_files_mentioning", text="petra", folder="archive") == {
        "files": ["archive/old.md"]
    }
    assert data_of(logs, "search/find_files_mentioning", text="garden") == {"files": ["notes.md"]}
    assert data_of(logs, "search/find_files_mentioning", text="unheard of") == {"files": []}


def test_links_out_of_the_workspace_are_not_searched(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.txt").write_text("unheard of")
    (logs / "link.txt").symlink_to(outside / "a.txt")
    (logs / "folder").symlink_to(outside)
    assert data_of(logs, "search/find_files_mentioning", text="unheard of") == {"files": []}
