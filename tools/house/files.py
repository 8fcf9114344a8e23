"""Files and folders of the workspace. Nothing here follows a path out of it, and nothing is half written."""

from __future__ import annotations

import contextlib
import datetime as dt
import filecmp
import os
import secrets
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace, is_shown
from .parameters import PathName
from .values import counted

_MOST_ENTRIES = 2000


@tool(read_only=True)
def list_files(workspace: Workspace, folder: PathName = ".", pattern: str | None = None) -> ToolResult:
    """List the names of the files and folders in a folder.

    Args:
        folder: folder to look into
        pattern: only names like this, such as *.csv; ** looks into the folders below as well
    """
    place = workspace.folder(folder)
    try:
        if pattern and ("/" in pattern or "**" in pattern):
            found = [Path(name) for name in workspace.files(folder, limit=_MOST_ENTRIES * 10)]
            names = [
                f.as_posix() for f in found if _matches((workspace.root / f).relative_to(place).as_posix(), pattern)
            ]
        else:
            entries = sorted((e for e in os.scandir(place) if is_shown(e.name)), key=lambda e: e.name)
            names = [
                workspace.relative(Path(e.path)) + ("/" if e.is_dir() else "")
                for e in entries
                if not pattern or _matches(e.name, pattern)
            ]
    except OSError as error:
        raise ToolError(f"{folder} cannot be listed: {error.strerror or error}") from None
    if not names:
        what = f"Nothing in {folder} matches {pattern}." if pattern else f"{folder} is empty."
        return ToolResult(what, data={"files": []})
    more = f"\n… and {len(names) - _MOST_ENTRIES} more" if len(names) > _MOST_ENTRIES else ""
    names = names[:_MOST_ENTRIES]
    return ToolResult("\n".join(names) + more, data={"files": names})


@tool(read_only=True)
def read_file(workspace: Workspace, path: PathName) -> str:
    """Show what is in a text file: its whole content.

    Args:
        path: file to read
    """
    return workspace.read_text(path)


@tool(destructive=True, idempotent=True)
def write_file(workspace: Workspace, path: PathName, content: str) -> ToolResult:
    """Create a text file with this content, or replace the whole content of an existing file.

    Args:
        path: file to write
        content: what the file should say
    """
    written = workspace.relative(workspace.write_text(path, content))
    return ToolResult(
        f"Wrote {written} ({counted(len(content), 'character')}).", data={"path": written}, files=(written,)
    )


@tool(destructive=False)
def append_to_file(workspace: Workspace, path: PathName, content: str) -> ToolResult:
    """Add a line of text at the end of a file and keep what it already says.

    Args:
        path: file to add to
        content: the line to add
    """
    written = workspace.relative(workspace.append_line(path, content))
    return ToolResult(
        f"Added {counted(content.count(chr(10)) + 1, 'line')} to {written}.", data={"path": written}, files=(written,)
    )


@tool(destructive=False, idempotent=True)
def copy_file(workspace: Workspace, source: PathName, destination: PathName) -> ToolResult:
    """Copy a file to another name or into a folder; the original stays, and no other file is replaced.

    Args:
        source: file to copy
        destination: name of the copy, or the folder to put it into
    """
    original = workspace.file(source)
    target = _target(workspace, original, destination)
    shown = workspace.relative(target)
    done = ToolResult(f"Copied {source} to {shown}.", data={"path": shown}, files=(shown,))
    if target == original:
        raise ToolError(f"{source} and {destination} are the same file")
    if target.exists():
        if target.is_file() and filecmp.cmp(original, target, shallow=False):
            return done
        raise ToolError(
            f"{shown} is already there and says something else", hint="choose another name, or delete it first"
        )
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(original, temporary)
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ToolError(f"{source} cannot be copied to {shown}: {error.strerror or error}") from None
    return done


@tool(destructive=True)
def move_file(workspace: Workspace, source: PathName, destination: PathName) -> ToolResult:
    """Move a file or folder to another place or give it a new name (rename); the old name is gone afterwards.

    Args:
        source: file or folder to move
        destination: its new name, or the folder to move it into
    """
    original = _present(workspace, source)
    workspace.check_may_change(original)
    target = _target(workspace, original, destination)
    shown = workspace.relative(target)
    if target == original:
        raise ToolError(f"{source} already has that name")
    if original in target.parents:
        raise ToolError(f"{source} cannot be moved into itself")
    # On a disk that ignores case, a new spelling of the same name is no other file.
    if target.exists() and not target.samefile(original):
        raise ToolError(f"{shown} is already there", hint="choose another name, or delete it first")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(original, target)
    except OSError as error:
        raise ToolError(f"{source} cannot be moved to {shown}: {error.strerror or error}") from None
    return ToolResult(f"Moved {source} to {shown}.", data={"path": shown}, files=(shown,))


@tool(destructive=False, idempotent=True)
def make_folder(workspace: Workspace, path: PathName) -> ToolResult:
    """Make a new empty folder (directory).

    Args:
        path: folder to make
    """
    place = workspace.path(path)
    if place.is_dir():
        return ToolResult(f"The folder {path} is already there.", data={"path": workspace.relative(place)})
    workspace.check_may_change(place)
    try:
        place.mkdir(parents=True)
    except FileExistsError:
        raise ToolError(f"{path} cannot be made: there is a file of that name") from None
    except OSError as error:
        raise ToolError(f"{path} cannot be made: {error.strerror or error}") from None
    made = workspace.relative(place)
    return ToolResult(f"Made the folder {made}.", data={"path": made}, files=(made,))


@tool(destructive=True)
def delete_file(workspace: Workspace, path: PathName) -> ToolResult:
    """Delete (remove) a file, or a folder that is empty.

    Args:
        path: file or empty folder to delete
    """
    entry = _present(workspace, path)
    workspace.check_may_change(entry)
    shown = workspace.relative(entry)
    try:
        if entry.is_dir() and not entry.is_symlink():
            if any(entry.iterdir()):
                raise ToolError(f"the folder {shown} is not empty", hint="delete what is in it first")
            entry.rmdir()
        else:
            entry.unlink()
    except OSError as error:
        raise ToolError(f"{shown} cannot be deleted: {error.strerror or error}") from None
    return ToolResult(f"Deleted {shown}.", data={"path": shown})


@tool(read_only=True)
def count_lines(workspace: Workspace, path: PathName) -> ToolResult:
    """How many lines a text file has in all.

    Args:
        path: file whose lines are counted
    """
    number = sum(1 for _ in workspace.lines(path))
    return ToolResult(f"{path} has {counted(number, 'line')}.", data={"lines": number})


@tool(read_only=True)
def file_info(workspace: Workspace, path: PathName) -> ToolResult:
    """The size of a file or folder in bytes, and when it was last changed.

    Args:
        path: file or folder to look at
    """
    place = workspace.path(path)
    if not place.is_dir():
        place = workspace.file(path)
    try:
        stat = place.stat()
        size = stat.st_size
        kind = "file"
        if place.is_dir():
            kind = "folder"
            files = [workspace.root / name for name in workspace.files(path, limit=100_000)]
            size = sum(f.stat().st_size for f in files if f.exists())
    except OSError as error:
        raise ToolError(f"{path} cannot be looked at: {error.strerror or error}") from None
    changed = dt.datetime.fromtimestamp(stat.st_mtime).astimezone().isoformat(sep=" ", timespec="seconds")
    return ToolResult(
        f"{path} has {counted(size, 'byte')} and was last changed {changed}.",
        data={"size": size, "modified": changed, "kind": kind},
    )


def _matches(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern; one without wildcards fits where the name contains it."""
    name, pattern = name.casefold(), pattern.casefold().removeprefix("./")
    if not any(c in pattern for c in "*?["):
        return pattern in name
    return fnmatchcase(name, pattern) or fnmatchcase(name, pattern.replace("**/", ""))


def _present(workspace: Workspace, name: str) -> Path:
    """The file, folder or link of that name."""
    entry = workspace.entry(name)
    return entry if entry.is_symlink() or entry.is_dir() else workspace.file(name)


def _target(workspace: Workspace, original: Path, destination: str) -> Path:
    """Where something goes: to that name, or under its own into that folder."""
    target = workspace.path(destination)
    if target.is_dir() and target != original:
        target = workspace.path(f"{workspace.relative(target)}/{original.name}")
    elif destination.endswith("/"):
        target = target / original.name
    workspace.check_may_change(target)
    return target


TOOLS = (
    list_files,
    read_file,
    write_file,
    append_to_file,
    copy_file,
    move_file,
    make_folder,
    delete_file,
    count_lines,
    file_info,
)
