"""The folder a run works in. Every path a tool touches goes through here, and none leaves it."""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError, UsageError

MAX_TEXT_BYTES = 10_000_000
"""A text file larger than this is not read whole; its lines can still be gone through."""

MAX_LINE_BYTES = 10_000_000
"""A longer line is no line of text."""

KEPT_BY_PROGRAMS = {".git", ".bottega", ".mcp.json"}
"""Names that no tool writes: they decide what programs run, or hold the records of runs."""

_PASSED_BY = {"node_modules", "__pycache__"}


@dataclass(frozen=True)
class Workspace:
    """A folder, and safe ways to reach into it. Names are relative to it, with forward slashes."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> Workspace:
        """The workspace at a folder that exists; `UsageError` for one that does not."""
        try:
            root = Path(folder).expanduser().resolve()
            there, found = root.exists(), root.is_dir()
        except (OSError, RuntimeError) as error:  # a loop of links, a person nobody knows, a folder that was removed
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"the workspace folder {str(folder)!r} cannot be reached: {reason}") from None
        if not found:
            problem = "is a file, not a folder" if there else "does not exist"
            raise UsageError(
                f"the workspace folder {str(folder)!r} {problem}", hint="make it first, or name another folder"
            )
        return cls(root)

    def path(self, name: str) -> Path:
        """The real path of `name`, which must lie inside the workspace once links are followed.

        Raises `ToolError` for a path that leaves it, or that is not a path at all.
        """
        return self._inside(self._joined(name), name)

    def entry(self, name: str) -> Path:
        """The path of `name` itself: where its last part is a link, the link and not what it points to."""
        joined = self._joined(name)
        if joined == self.root or joined.name == "..":
            return self._inside(joined, name)
        found = self._inside(joined.parent, name) / joined.name
        return found if found.is_symlink() else self._inside(found, name)

    def writable(self, name: str) -> Path:
        """The real path of a place that may be written: not a folder, and nothing that programs keep for themselves."""
        path = self.path(name)
        if path == self.root or _is_dir(path):
            raise ToolError(f"{name} is a folder, not a file")
        self.check_may_change(path)
        return path

    def check_may_change(self, path: Path) -> None:
        """Raises `ToolError` for the workspace itself and for what programs keep (`.git`, `.bottega`, `.mcp.json`)."""
        if path == self.root:
            raise ToolError("the workspace folder itself is not changed", hint="name a file or folder inside it")
        kept = KEPT_BY_PROGRAMS.intersection(path.relative_to(self.root).parts)
        if kept:
            raise ToolError(
                f"tools do not change {self.relative(path)}",
                hint=f"{kept.pop()} is kept by programs; change it by hand",
            )

    def relative(self, path: Path) -> str:
        """`path` as shown to a person: relative to the workspace, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def file(self, name: str) -> Path:
        """The path of a file that must be there."""
        found = self.path(name)
        if _is_dir(found):
            raise ToolError(f"{name} is a folder, not a file", hint=self._contents(found))
        try:
            there = found.is_file()
        except OSError as error:
            raise ToolError(f"{name} cannot be reached: {error.strerror or error}") from None
        if not there:
            raise ToolError(f"there is no file {name}", hint=self._nearest(name))
        return found

    def folder(self, name: str) -> Path:
        """The path of a folder that must be there."""
        found = self.path(name)
        if not _is_dir(found):
            problem = f"{name} is a file, not a folder" if found.exists() else f"there is no folder {name}"
            folders = sorted({f.rsplit("/", 1)[0] for f in self.files() if "/" in f})
            near = difflib.get_close_matches(name.rstrip("/"), folders, n=1, cutoff=0.6)
            raise ToolError(problem, hint=f"did you mean {near[0]}?" if near else None)
        return found

    def read_text(self, name: str) -> str:
        """The text of a file: UTF-8, UTF-16 with its mark, else Western. `ToolError` for binary or huge files."""
        path = self.file(name)
        try:
            size = path.stat().st_size
            if size > MAX_TEXT_BYTES:
                raise ToolError(
                    f"{name} is too large to be read whole ({size // 1_000_000} MB)",
                    hint=f"up to {MAX_TEXT_BYTES // 1_000_000} MB; search in it or count its lines instead",
                )
            raw = path.read_bytes()
        except OSError as error:
            raise ToolError(f"{name} cannot be read: {error.strerror or error}") from None
        return _decode(raw, _encoding(raw[:8192], name))

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a text file of any size, without their ends. Raises `ToolError` for binary files."""
        path = self.file(name)
        try:
            with path.open("rb") as f:
                encoding = _encoding(f.read(8192), name)
            if encoding == "utf-16":
                with path.open(encoding=encoding, errors="replace") as text:
                    yield from (line.rstrip("\n") for line in text)
                return
            with path.open("rb") as f:
                while raw := f.readline(MAX_LINE_BYTES + 1):
                    if len(raw) > MAX_LINE_BYTES:
                        raise ToolError(f"{name} has a line longer than {MAX_LINE_BYTES // 1_000_000} MB")
                    yield _decode(raw, encoding).rstrip("\r\n")
        except OSError as error:
            raise ToolError(f"{name} cannot be read: {error.strerror or error}") from None

    def is_text(self, name: str) -> bool:
        """Whether a file can be read and looks like text."""
        try:
            with self.file(name).open("rb") as f:
                _encoding(f.read(8192), name)
        except (ToolError, OSError):
            return False
        return True

    def write_text(self, name: str, text: str) -> Path:
        """Writes a file whole or not at all: to a temporary file beside it, then renamed over it. Makes its folders."""
        return self._write(name, _encode(text))

    def append_line(self, name: str, text: str) -> Path:
        """Adds a line to a file, on a line of its own; makes the file if it is not there. Whole or not at all."""
        path = self.writable(name)
        if not path.exists():
            return self.write_text(name, text.rstrip("\n") + "\n")
        try:
            with path.open("r+b", buffering=0) as f:  # a buffer would write what is left of a line that was taken back
                encoding = _encoding(f.read(8192), name)
                if encoding == "utf-16":
                    raise ToolError(
                        f"{name} is UTF-16 text, to which nothing can be added", hint="save it as UTF-8 first"
                    )
                end = f.seek(0, os.SEEK_END)
                f.seek(max(0, end - 2))
                tail = f.read()
                newline = b"\r\n" if tail == b"\r\n" else b"\n"
                lead = newline if tail and not tail.endswith(b"\n") else b""
                line = _encode(text.rstrip("\n")).replace(b"\n", newline) + newline
                left = memoryview(lead + line)
                try:
                    f.seek(0, os.SEEK_END)
                    while left:
                        left = left[f.write(left) :]
                except OSError:
                    with contextlib.suppress(OSError):
                        f.truncate(end)
                    raise
        except OSError as error:
            raise ToolError(f"{name} cannot be written: {error.strerror or error}") from None
        return path

    def files(self, folder: str = ".", limit: int = 2000) -> list[str]:
        """Workspace paths of the files in and below a folder, sorted, hidden ones left out; at most `limit`."""
        found: list[str] = []
        for place, names, files in os.walk(self.path(folder)):
            names[:] = sorted(n for n in names if is_shown(n) and n not in _PASSED_BY)
            for name in sorted(files):
                if is_shown(name):
                    found.append(self.relative(Path(place) / name))
                    if len(found) >= limit:
                        return found
        return found

    def _joined(self, name: str) -> Path:
        try:
            if not name.strip() or b"\0" in os.fsencode(name) or max(map(len, name.encode().split(b"/"))) > 255:
                raise ToolError(f"{_shortened(name)} is not a path")
        except UnicodeError:
            raise ToolError(f"{_shortened(name)} is not a path") from None
        return self.root / (Path(name).expanduser() if name == "~" or name.startswith("~/") else name)

    def _inside(self, path: Path, name: str) -> Path:
        try:
            found = path.resolve()
        except (OSError, RuntimeError) as error:
            raise ToolError(f"{name} cannot be reached: {error}") from None
        if found != self.root and self.root not in found.parents:
            raise ToolError(f"{_shortened(name)} lies outside the workspace", hint=f"paths stay inside {self.root}")
        return found

    def _write(self, name: str, content: bytes) -> Path:
        path = self.writable(name)
        temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise ToolError(f"{name} cannot be written: {error.strerror or error}") from None
        return path

    def _nearest(self, name: str) -> str | None:
        files = self.files()
        same = [f for f in files if f.rsplit("/", 1)[-1].casefold() == name.rsplit("/", 1)[-1].casefold()]
        # The ending is left out: every .csv is a little like every other.
        stems = {Path(f).stem.casefold(): f for f in reversed(files)}
        near = same[:1] or [
            stems[s] for s in difflib.get_close_matches(Path(name).stem.casefold(), stems, n=1, cutoff=0.7)
        ]
        return f"did you mean {near[0]}?" if near else None

    def _contents(self, folder: Path) -> str | None:
        files = self.files(self.relative(folder), limit=4)
        return f"it has {', '.join(files[:3])}{' and more' if len(files) > 3 else ''}" if files else None


def is_shown(name: str) -> bool:
    """Whether a file of this name is shown: neither hidden nor impossible to print."""
    return not name.startswith(".") and not any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in name)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _encoding(head: bytes, name: str) -> str:
    """How a text that starts with `head` is written. Raises `ToolError` where it is no text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        raise ToolError(f"{name} is not a text file")
    return "utf-8"


def _decode(raw: bytes, encoding: str) -> str:
    if encoding == "utf-16":
        return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ToolError("the text has characters that cannot be written (lone surrogates)") from None


def _shortened(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
