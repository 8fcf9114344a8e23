"""`bottega tools index|search`: the index of a folder's tools, and what is found in it and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bottega.cli.group import run

LINES = [
    {
        "id": "library/find_loan",
        "server": "library",
        "name": "find_loan",
        "description": "Find open loans.\x1b[2J",
    },
    {"id": "mail/send", "server": "mail", "name": "send", "description": "Send an e-mail to somebody."},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tools.jsonl"
    path.write_text("".join(json.dumps({**line, "input_schema": {"type": "object"}}) + "\n" for line in LINES))
    return path


def test_the_tools_of_a_file_are_indexed_once_and_found_with_reasons(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--index", str(tmp_path / "own"), "--workspace", str(tmp_path)]
    assert run(["tools", "index", str(file), *place, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["tools"], first["encoded"], first["path"]) == (2, 2, str(tmp_path / "own"))
    assert run(["tools", "index", str(file), *place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoded"] == 0
    assert run(["tools", "search", "send", "a", "letter", *place, "--why", "--json", "-n", "1"]) == 0
    (hit,) = json.loads(capsys.readouterr().out)
    assert (hit["id"], hit["server"], hit["name"]) == ("mail/send", "mail", "send")
    assert "send" in hit["why"]["words"]["name"]
    assert hit["why"]["score"] == pytest.approx(hit["score"], abs=1e-3)
    assert run(["tools", "search", "an open loan", *place, "--why"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("library/find_loan")
    assert "loan" in shown.split("name", 1)[1]
    assert "\x1b" not in shown


def test_the_folders_own_index_has_the_house_tools_and_stays_out_of_git(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tools", "search", "convert a time between zones", "--workspace", str(tmp_path), "-n", "2"]) == 0
    assert capsys.readouterr().out.startswith("time/convert_time")
    assert (tmp_path / ".bottega" / "index" / ".gitignore").read_text() == "*\n"
    assert run(["tools", "index", "--workspace", str(tmp_path)]) == 0
    assert " 0 texts encoded" in capsys.readouterr().out


def test_what_is_wrong_is_one_line(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tools", "index", str(file)]) == 2
    assert run(["tools", "search", "x", "--index", str(tmp_path / "none")]) == 1
    assert run(["tools", "index", str(file), "--index", str(file)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert all(part in error for part in ("--index DIR", "there is no tool index", "cannot be written"))


def test_a_small_index_is_searched_by_what_made_it(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "small")
    assert run(["tools", "index", str(file), "--index", place, "--small", "--workspace", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(["tools", "search", "who has borrowed the book", "--index", place, "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("library/find_loan")


def test_it_is_said_when_no_tool_is_for_it(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "index")
    assert run(["tools", "index", str(file), "--index", place, "--workspace", str(tmp_path)]) == 0
    for query, said in (("my knees hurt in the rain", True), ("look up the open loan of a library member", False)):
        capsys.readouterr()
        assert run(["tools", "search", query, "--index", place, "--workspace", str(tmp_path)]) == 0
        assert ("no tool seems to be for this" in capsys.readouterr().err) == said
