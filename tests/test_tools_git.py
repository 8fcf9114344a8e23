"""The toolset git: looks, changes nothing, runs nothing that a repository configures."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from house_tools import data_of, refusal, use

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgSign=false")
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_DATE": "2026-05-01T10:00:00Z",
    "GIT_COMMITTER_DATE": "2026-05-01T10:00:00Z",
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *WHO, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A workspace folder `shelf` with a repository `repo` of two commits in it."""
    repo = tmp_path / "shelf" / "repo"
    repo.mkdir(parents=True)
    git(repo, "init", "-q", "-b", "main")
    (repo / "price.py").write_text("VAT = 0.21\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "Add the tax rate")
    (repo / "price.py").write_text("VAT = 0.2\n")
    git(repo, "commit", "-q", "-a", "-m", "Correct the tax rate: ä | b")
    return tmp_path / "shelf"


def test_the_log_has_date_author_and_message(shelf: Path) -> None:
    result = use(shelf, "git/git_log", repository="repo")
    commits = result.data["commits"]
    assert [c["message"] for c in commits] == ["Correct the tax rate: ä | b", "Add the tax rate"]
    assert commits[0]["author"] == "Ada"
    assert commits[0]["date"].startswith("2026-05-01T10:00:00")
    assert result.text.splitlines()[1].endswith("2026-05-01 Ada: Add the tax rate")
    assert len(data_of(shelf, "git/git_log", repository="repo", limit=1)["commits"]) == 1


def test_the_status_tells_what_is_changed_staged_and_new(shelf: Path) -> None:
    repo = shelf / "repo"
    assert use(shelf, "git/git_status", repository="repo").text == "On branch main, nothing changed."
    (repo / "price.py").write_text("VAT = 0\n")
    (repo / "ü new\n.txt").write_text("x")
    (repo / "staged.txt").write_text("x")
    git(repo, "add", "staged.txt")
    status = data_of(shelf, "git/git_status", repository="repo")
    assert status["branch"] == "main"
    assert not status["clean"]
    assert {(c["path"], c["change"], c["staged"]) for c in status["changes"]} == {
        ("price.py", "changed", False),
        ("staged.txt", "added", True),
        ("ü new\n.txt", "new", False),
    }


def test_a_rename_is_one_change(shelf: Path) -> None:
    git(shelf / "repo", "mv", "price.py", "rate.py")
    assert data_of(shelf, "git/git_status", repository="repo")["changes"] == [
        {"path": "rate.py", "change": "renamed", "staged": True}
    ]


def test_changes_are_shown_since_the_last_commit_or_another(shelf: Path) -> None:
    assert use(shelf, "git/git_diff", repository="repo").text == "Nothing is changed."
    assert "-VAT = 0.21\n+VAT = 0.2" in use(shelf, "git/git_diff", repository="repo", revision="HEAD~1").text
    assert "+VAT = 0.2" in use(shelf, "git/git_diff", repository="repo", revision="HEAD~1..HEAD").text
    (shelf / "repo" / "price.py").write_text("VAT = 0\n")
    assert "+VAT = 0" in data_of(shelf, "git/git_diff", repository="repo")["diff"]


def test_a_commit_is_shown(shelf: Path) -> None:
    text = use(shelf, "git/git_show", repository="repo", revision="HEAD~1").text
    assert "Add the tax rate" in text
    assert "+VAT = 0.21" in text


def test_a_repository_without_commits_is_fine(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.txt").write_text("x")
    assert data_of(tmp_path, "git/git_log") == {"commits": []}
    assert data_of(tmp_path, "git/git_status")["branch"] == "main"
    assert use(tmp_path, "git/git_diff").text == "Nothing is changed."
    refusal(tmp_path, "git/git_show")


@pytest.mark.parametrize(
    "revision", ["--output=stolen.txt", "-O/etc/passwd", "nothing", "HEAD nothing", "HEAD~99", "", "a\nb"]
)
def test_a_revision_that_is_none_is_refused(shelf: Path, revision: str) -> None:
    refusal(shelf, "git/git_show", repository="repo", revision=revision)
    if revision:
        refusal(shelf, "git/git_diff", repository="repo", revision=revision)
    assert sorted(p.name for p in (shelf / "repo").iterdir()) == [".git", "price.py"]


def test_only_repositories_inside_the_workspace_are_read(shelf: Path) -> None:
    (shelf / "repo" / "sub").mkdir()
    assert "not in a git repository" in refusal(shelf, "git/git_log")
    assert len(data_of(shelf, "git/git_log", repository="repo/sub")["commits"]) == 2
    # The workspace is a folder of a larger repository.
    assert refusal(shelf / "repo" / "sub", "git/git_log")
    # A file .git that leads to a repository elsewhere.
    inner = shelf / "inner"
    inner.mkdir()
    outside = shelf.parent / "outside"
    outside.mkdir()
    git(outside, "init", "-q")
    (inner / ".git").write_text(f"gitdir: {outside}/.git\n")
    assert "outside" in refusal(shelf, "git/git_status", repository="inner")
    assert "outside" in refusal(shelf, "git/git_status", repository="../outside")


def test_a_work_tree_elsewhere_is_refused(shelf: Path) -> None:
    git(shelf / "repo", "config", "core.worktree", "/")
    assert "outside" in refusal(shelf, "git/git_status", repository="repo")


def test_nothing_that_a_repository_configures_is_run(shelf: Path) -> None:
    repo = shelf / "repo"
    trap = shelf.parent / "sprung"
    script = repo / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "pager.log",
        "pager.diff",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "gpg.program",
        "core.editor",
        "core.sshCommand",
    ):
        git(repo, "config", key, str(script))
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "filter.evil.required", "true")
    (repo / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (repo / ".git" / "hooks" / "post-index-change").write_text(script.read_text())
    (repo / ".git" / "hooks" / "post-index-change").chmod(0o755)
    (repo / "price.py").write_text("VAT = 0\n")
    trap.unlink(missing_ok=True)
    for tool, arguments in (
        ("git_status", {}),
        ("git_log", {}),
        ("git_diff", {}),
        ("git_diff", {"revision": "HEAD~1"}),
        ("git_show", {}),
    ):
        result = use(shelf, f"git/{tool}", repository="repo", **arguments)
        assert not result.is_error, result.text
        assert not trap.exists(), tool


def test_a_broken_repository_is_one_clear_line(shelf: Path) -> None:
    (shelf / "repo" / ".git" / "HEAD").write_text("rubbish")
    said = refusal(shelf, "git/git_log", repository="repo")
    assert "\n" not in said


def test_without_git_the_tool_says_so(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "git is not installed" in refusal(shelf, "git/git_log", repository="repo")
