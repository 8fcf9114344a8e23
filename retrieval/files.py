"""The on-disk form of an index: a folder that another process, a kill or a full disk never leaves half changed.

After power loss checksums tell whether it is whole; it can always be built again, so nothing waits for the disk.

manifest.json    which generation counts, its form and the checksum of each file; replaced as a whole
GENERATION/      arrays of numpy, read by memory-mapping; tools.jsonl; never changed once it is there
unfinished.bin   vectors of a build that is not done, in blocks, by text
lock             held while one writes
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import secrets
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ToolIndexError
from .contents import Contents
from .lexical import Postings
from .spec import ToolSpec

FORMAT = 2
_LEXICAL = ("starts", "places", "times", "weights", "lengths", "totals")
_ARRAYS = ("hashes", "keys", "offsets", *_LEXICAL)
_VECTORS = ("matrix", "narrow")
_BLOCK = struct.Struct("<4sIII")  # magic, records, width of a vector, checksum of what follows
_MAGIC = b"btg1"


@dataclass(frozen=True)
class Kept:
    """An index as it was read. `vectors` are arrays by name; none where they are kept elsewhere."""

    name: str
    about: Mapping[str, str]
    contents: Contents
    vectors: Mapping[str, NDArray[np.float32]]


def read(folder: Path) -> Kept:
    """The index that counts in a folder. Raises `ToolIndexError` if there is none, or one that cannot be used."""
    for _ in range(5):  # another process may replace the generation just as it is read
        manifest = _manifest(folder)
        try:
            return _read(folder / manifest["generation"], manifest)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ToolIndexError(f"the tool index {folder} cannot be read: {error.strerror}", hint="mend it") from None
        except (ValueError, KeyError, TypeError, EOFError) as error:
            raise _damaged(folder, str(error)) from None
    raise _damaged(folder, "files are missing")


def current(folder: Path) -> str | None:
    """The name of the generation that counts, or None."""
    try:
        return str(_manifest(folder)["generation"])
    except ToolIndexError:
        return None


def made_by(folder: Path) -> str:
    """The version of the encoding that made the index of a folder, "" where there is none that can be used."""
    try:
        return str(_manifest(folder).get("about", {}).get("retriever", ""))
    except ToolIndexError:
        return ""


def write(
    folder: Path, contents: Contents, vectors: Mapping[str, NDArray[np.float32]], about: Mapping[str, str]
) -> Kept:
    """Makes this the index of a folder that is `locked`, whole or not at all. Raises `ToolIndexError` where it cannot.

    `about` is kept beside it: what the vectors were made by.
    """
    name = f"index-{secrets.token_hex(6)}"
    part = folder / f"{name}.part"
    lines = [tool.to_json().encode("utf-8", "surrogatepass") + b"\n" for tool in contents.tools]
    arrays: dict[str, NDArray[Any]] = {
        "hashes": contents.hashes,
        "keys": contents.keys,
        "offsets": np.cumsum([0, *map(len, lines)], dtype=np.int64),
        **contents.lexical.arrays,
        **vectors,
    }
    try:
        part.mkdir(parents=True)
        for key, array in arrays.items():
            with (part / f"{key}.npy").open("wb") as f:
                np.lib.format.write_array(f, np.ascontiguousarray(array), allow_pickle=False)
        (part / "tools.jsonl").write_bytes(b"".join(lines))
        words = {"ids": list(contents.ids), "terms": list(contents.lexical.terms)}
        (part / "words.json").write_text(json.dumps(words), "utf-8")
        files = {path.name: _checksum(path) for path in sorted(part.iterdir())}
        manifest = {
            "format": FORMAT,
            "generation": name,
            "tools": len(contents),
            "about": dict(about),
            "files": files,
        }
        part.rename(folder / name)
        listed = folder / "manifest.json.part"
        listed.write_text(json.dumps(manifest, indent=1), "utf-8")
        listed.replace(folder / "manifest.json")
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(folder / name, ignore_errors=True)
        raise _unwritable(folder, error) from None
    for other in folder.glob("index-*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)  # readers keep what they have mapped
    return _read(folder / name, manifest)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, which is made if it is not there, against other writers; waits until they are done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("ab")
    except OSError as error:
        raise _unwritable(folder, error) from None
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Unfinished:
    """Vectors of a build that is not done yet. What a kill cuts short is the last block."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "unfinished.bin"
        self._folder = folder

    def read(self) -> dict[bytes, NDArray[np.float32]]:
        """Vectors by the key of their text; what is behind the first damaged block is cut off."""
        found: dict[bytes, NDArray[np.float32]] = {}
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return found
        except OSError as error:
            raise _unwritable(self._folder, error) from None
        at = 0
        while (block := _block(data, at)) is not None:
            keys, vectors, at = block
            found.update(zip(keys, vectors, strict=True))
        if at < len(data):
            with contextlib.suppress(OSError):
                os.truncate(self._path, at)
        return found

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Raises `ToolIndexError` where it cannot be written."""
        body = b"".join(keys) + np.ascontiguousarray(vectors, np.float32).tobytes()
        try:
            with self._path.open("ab") as f:
                f.write(_BLOCK.pack(_MAGIC, len(keys), vectors.shape[1], zlib.crc32(body)) + body)
        except OSError as error:
            raise _unwritable(self._folder, error) from None

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


class _KeptTools(Sequence[ToolSpec]):
    """Tools in a memory-mapped file; one is read when it is asked for."""

    def __init__(self, path: Path, offsets: NDArray[np.int64]) -> None:
        self._offsets = offsets
        self._data: mmap.mmap | bytes = b""
        if len(offsets) > 1:
            with path.open("rb") as f:
                self._data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, at: int) -> ToolSpec: ...
    @overload
    def __getitem__(self, at: slice) -> list[ToolSpec]: ...
    def __getitem__(self, at: int | slice) -> ToolSpec | list[ToolSpec]:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        return ToolSpec.from_json(
            self._data[self._offsets[at] : self._offsets[at + 1]].decode("utf-8", "surrogatepass")
        )


def _manifest(folder: Path) -> dict[str, Any]:
    hint = "build it: bottega tools index"
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except FileNotFoundError:
        raise ToolIndexError(f"there is no tool index in {folder}", hint=hint) from None
    except OSError as error:
        raise ToolIndexError(f"the tool index {folder} cannot be read: {error.strerror}", hint=hint) from None
    except ValueError:
        raise _damaged(folder, "its manifest is no JSON") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ToolIndexError(f"the tool index {folder} is of another version of Bottega", hint="build it again")
    if not isinstance(found.get("generation"), str) or not isinstance(found.get("files"), dict):
        raise _damaged(folder, "its manifest lacks something")
    return found


def _read(place: Path, manifest: Mapping[str, Any]) -> Kept:
    """Raises `ValueError` for damage."""
    for name, checksum in manifest["files"].items():
        if _checksum(place / name) != checksum:
            raise ValueError(f"{name} is not what was written")
    arrays = {name[:-4]: _mapped(place / name) for name in manifest["files"] if name.endswith(".npy")}
    words = json.loads((place / "words.json").read_bytes())
    tools = _KeptTools(place / "tools.jsonl", arrays.pop("offsets"))
    hashes, keys = arrays.pop("hashes"), arrays.pop("keys")
    vectors = {name: arrays.pop(name) for name in ("matrix", "narrow") if name in arrays}
    contents = Contents(tools, words["ids"], hashes, keys, Postings(words["terms"], arrays))
    return Kept(place.name, manifest["about"], contents, vectors)


def _mapped(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # slices of a plain array are cheaper


def _checksum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    with path.open("rb") as f:
        crc = size = 0
        while data := f.read(1 << 20):
            crc, size = zlib.crc32(data, crc), size + len(data)
    return [size, crc]


def _block(data: bytes, at: int) -> tuple[list[bytes], NDArray[np.float32], int] | None:
    """The keys and vectors of the block at a position, and where the next one begins; None if it is not whole."""
    if len(data) < at + _BLOCK.size:
        return None
    magic, count, wide, checksum = _BLOCK.unpack_from(data, at)
    begin, end = at + _BLOCK.size, at + _BLOCK.size + count * (16 + 4 * wide)
    if magic != _MAGIC or len(data) < end or zlib.crc32(data[begin:end]) != checksum:
        return None
    keys = [data[i : i + 16] for i in range(begin, begin + 16 * count, 16)]
    vectors = np.frombuffer(data, np.float32, count * wide, begin + 16 * count).reshape(count, wide)
    return keys, vectors, end


def _damaged(folder: Path, why: str) -> ToolIndexError:
    return ToolIndexError(f"the tool index {folder} is damaged ({why})", hint="build it again: bottega tools index")


def _unwritable(folder: Path, error: OSError) -> ToolIndexError:
    return ToolIndexError(
        f"the tool index {folder} cannot be written: {error.strerror or error}",
        hint="make room or mend its rights, then do it again: what is encoded so far is kept",
    )
