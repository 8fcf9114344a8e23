"""Looking into git repositories. Nothing is changed, and nothing that a repository configures is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from .parameters import PathName
from .values import counted

_SECONDS = 20.0
_MOST_CHARACTERS = 200_000
_SAFE = (
    "--no-pager",
    "--no-optional-locks",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "color.ui=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.ignoreSubmodules=all"),
)
_KINDS = {
    "M": "changed",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "type changed",
    "U": "in conflict",
}


@tool(read_only=True)
def git_status(workspace: Workspace, repository: PathName = ".") -> ToolResult:
    """Show the state of a git repository: its branch and which files are changed, staged or new (not committed yet).

    Args:
        repository: folder of the repository
    """
    git = _Git.at(workspace, repository)
    out = git.run("status", "--porcelain=v1", "-z", "--branch", "--ignore-submodules=all", "--untracked-files=normal")
    head, *entries = out.rstrip("\0").split("\0")
    branch = head.removeprefix("## ").removeprefix("No commits yet on ").split("...")[0]
    changes: list[dict[str, str | bool]] = []
    rest = iter(entries)
    for entry in rest:
        staged, changed, name = entry[0], entry[1], entry[3:]
        if "R" in (staged, changed) or "C" in (staged, changed):
            next(rest, None)
        kind = "new" if staged == "?" else _KINDS.get(staged if staged != " " else changed, "changed")
        changes.append({"path": name, "change": kind, "staged": staged not in " ?"})
    lines = [f"{c['change']}: {c['path']}{' (staged)' if c['staged'] else ''}" for c in changes]
    text = "\n".join(
        [f"On branch {branch}, {'nothing changed.' if not lines else counted(len(lines), 'file') + ':'}", *lines]
    )
    return ToolResult(text, data={"branch": branch, "clean": not changes, "changes": changes})


@tool(read_only=True)
def git_log(
    workspace: Workspace, repository: PathName = ".", limit: Annotated[int, Field(ge=1, le=1000)] = 10
) -> ToolResult:
    """Show the last commits (history) of a git repository: date, author and message of each, the newest first.

    Args:
        repository: folder of the repository
        limit: how many commits
    """
    git = _Git.at(workspace, repository)
    if not git.has("HEAD"):
        return ToolResult("There are no commits yet.", data={"commits": []})
    out = git.run(
        "log", f"--max-count={limit}", "-z", "--no-show-signature", "--format=%h%x1f%an%x1f%aI%x1f%s", "HEAD", "--"
    )
    fields = ("commit", "author", "date", "message")
    commits = [dict(zip(fields, line.split("\x1f"), strict=True)) for line in out.split("\0") if line]
    text = "\n".join(f"{c['commit']} {c['date'][:10]} {c['author']}: {c['message']}" for c in commits)
    return ToolResult(text, data={"commits": commits})


@tool(read_only=True)
def git_diff(workspace: Workspace, repository: PathName = ".", revision: str | None = None) -> ToolResult:
    """Show the changes in a git repository that are not committed yet, or since a commit, line by line (a diff).

    Args:
        repository: folder of the repository
        revision: commit, branch or range to compare with, such as HEAD~1 or main; left out, the last commit
    """
    git = _Git.at(workspace, repository)
    against = git.revision(revision) if revision else ["HEAD"] if git.has("HEAD") else ["--cached"]
    out = git.run("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all", *against, "--")
    return ToolResult(_cut(out) or "Nothing is changed.", data={"diff": _cut(out)})


@tool(read_only=True)
def git_show(workspace: Workspace, repository: PathName = ".", revision: str = "HEAD") -> ToolResult:
    """Show one commit of a git repository: its message and what it changed.

    Args:
        repository: folder of the repository
        revision: commit to show, such as HEAD, HEAD~2, a hash, a branch or a tag
    """
    git = _Git.at(workspace, repository)
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature", "--ignore-submodules=all")
    out = git.run("show", *options, "--date=iso", "--end-of-options", *git.revision(revision), "--")
    return ToolResult(_cut(out), data={"text": _cut(out)})


class _Git:
    """A repository inside the workspace, and the only way in which git is called."""

    def __init__(self, workspace: Workspace, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._program = shutil.which("git")
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_CEILING_DIRECTORIES": str(workspace.root.parent),
        }
        self._filters: tuple[str, ...] = ()

    @classmethod
    def at(cls, workspace: Workspace, name: str) -> _Git:
        """The repository that a folder belongs to. `ToolError` where there is none, or part of it lies elsewhere."""
        git = cls(workspace, workspace.folder(name), name)
        # One by one, as each may end in a newline.
        places = [git._run("rev-parse", what) for what in ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")]
        for place in places:
            path = (git._folder / place.removesuffix("\n")).resolve()
            if path != workspace.root and workspace.root not in path.parents:
                raise ToolError(f"the git repository of {name} lies outside the workspace")
        # Filters are programs that a repository has run over its files.
        keys = git._run(
            "config", "--name-only", "-z", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$", ok=(0, 1)
        )
        git._filters = tuple(
            option
            for key in dict.fromkeys(keys.split("\0"))
            if key and "=" not in key
            for option in ("-c", f"{key}={'false' if key.endswith('.required') else ''}")
        )
        if any("=" in key for key in keys.split("\0")):
            raise ToolError(f"the git repository {name} has a filter that cannot be switched off")
        return git

    def run(self, *arguments: str) -> str:
        """What a git command prints. Raises `ToolError` with its words where it fails."""
        return self._run(*arguments)

    def has(self, revision: str) -> bool:
        return bool(self._run("rev-parse", "--verify", "--quiet", "--end-of-options", revision, ok=(0, 1, 128)).strip())

    def revision(self, text: str) -> list[str]:
        """A revision or range as arguments. `ToolError` for one that is not there, or that looks like an option."""
        text = text.strip()
        if not text or text.startswith("-") or any(c.isspace() or ord(c) < 32 for c in text):
            raise ToolError(f"{text!r} is not a revision", hint="name a commit, a branch, a tag, or HEAD~1")
        for part in text.replace("...", "..").split(".."):
            if part and not self.has(part):
                raise ToolError(f"{self._name} has no revision {part!r}")
        return [text]

    def _run(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
        if self._program is None:
            raise ToolError("git is not installed", hint="install it first")
        try:
            done = subprocess.run(
                [self._program, "-C", str(self._folder), *_SAFE, *self._filters, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"git took longer than {_SECONDS:g} seconds in {self._name}") from None
        except OSError as error:
            raise ToolError(f"git cannot be run: {error.strerror or error}") from None
        if done.returncode not in ok:
            message = done.stderr.decode(errors="replace").strip().splitlines()
            if any("not a git repository" in line for line in message):
                raise ToolError(
                    f"{self._name} is not in a git repository of the workspace", hint="name the folder of one"
                )
            raise ToolError(f"git: {message[0].removeprefix('fatal: ') if message else 'failed'}")
        return done.stdout.decode(errors="replace")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "\n… (cut)"


TOOLS = (git_status, git_log, git_diff, git_show)
