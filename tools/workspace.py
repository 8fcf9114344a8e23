"""The folder a run works in. Every path a tool touches goes through here, and none leaves it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError

MAX_TEXT_BYTES = 50_000_000
"""A text file larger than this is not read whole."""


@dataclass(frozen=True)
class Workspace:
    """A folder, and safe ways to reach into it."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> Workspace:
        root = Path(folder).expanduser().resolve()
        if not root.is_dir():
            from ..core.errors import UsageError

            raise UsageError(f"the workspace folder {str(folder)!r} does not exist", hint="make it first, or name another folder")
        return cls(root)

    def path(self, name: str) -> Path:
        """The real path of `name`, which must lie inside the workspace once links are followed.

        Raises `ToolError` for a path that leaves it, or that is not a path at all.
        """
        if not name or "\0" in name:
            raise ToolError(f"{name!r} is not a path")
        found = (self.root / Path(name).expanduser()).resolve()
        if found != self.root and self.root not in found.parents:
            raise ToolError(f"{name!r} lies outside the workspace", hint=f"paths stay inside {self.root}")
        return found

    def relative(self, path: Path) -> str:
        """`path` as shown to a person: relative to the workspace, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def file(self, name: str) -> Path:
        """The path of a file that must be there."""
        found = self.path(name)
        if found.is_dir():
            raise ToolError(f"{name} is a folder, not a file")
        if not found.is_file():
            raise ToolError(f"there is no file {name}", hint=self._nearest(name))
        return found

    def folder(self, name: str) -> Path:
        """The path of a folder that must be there."""
        found = self.path(name)
        if not found.is_dir():
            raise ToolError(f"there is no folder {name}")
        return found

    def read_text(self, name: str) -> str:
        """The text of a file, as UTF-8 with a fallback to Latin-1. Raises `ToolError` for binary or very large files."""
        path = self.file(name)
        try:
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise ToolError(f"{name} is larger than {MAX_TEXT_BYTES // 1_000_000} MB")
            raw = path.read_bytes()
        except OSError as error:
            raise ToolError(f"{name} cannot be read: {error.strerror or error}") from None
        if b"\0" in raw[:8192]:
            raise ToolError(f"{name} is not a text file")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def write_text(self, name: str, text: str) -> Path:
        """Writes a file whole or not at all: to a temporary file beside it, then renamed over it."""
        path = self.path(name)
        if path == self.root or path.is_dir():
            raise ToolError(f"{name} is a folder, not a file")
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as f:
                f.write(text)
            mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
            os.chmod(temporary, mode & 0o777)
            os.replace(temporary, path)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise ToolError(f"{name} cannot be written: {error.strerror or error}") from None
        return path

    def files(self, limit: int = 2000) -> list[str]:
        """Relative paths of the files in the workspace, hidden ones left out, in order of name; at most `limit`."""
        found: list[str] = []
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(n for n in names if not n.startswith(".") and n not in {"node_modules", "__pycache__"})
            for name in sorted(files):
                if not name.startswith("."):
                    found.append(self.relative(Path(folder) / name))
                    if len(found) >= limit:
                        return found
        return found

    def _nearest(self, name: str) -> str | None:
        import difflib

        near = difflib.get_close_matches(name, self.files(), n=1, cutoff=0.6)
        return f"did you mean {near[0]}?" if near else None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
