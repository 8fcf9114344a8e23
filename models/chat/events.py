"""Server-sent events: the data of each event, from bytes that come in any portions."""

from __future__ import annotations


class Events:
    """Collects bytes, and gives the data of the events that are complete. Comments and other fields are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, portion: bytes) -> list[bytes]:
        """The data of the events that `portion` completes."""
        lines = (self._rest + portion).split(b"\n")
        self._rest = lines.pop()
        return self._read(lines)

    def end(self) -> list[bytes]:
        """The data of an event that the end of the stream completes."""
        lines, self._rest = [self._rest, b""], b""
        return self._read(lines)

    def _read(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif self._data and not line.rstrip(b"\r"):
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return found
