"""The Python of docs/chat-models.md runs as it stands, against a server in place of the one it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bottega.testing import ChatServer

PAGE = (Path(__file__).parents[1] / "docs" / "chat-models.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.+?)```", PAGE, re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_an_example_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ChatServer(lambda body: "Pisa lies on it.") as server:
        exec(compile(block.replace("http://127.0.0.1:8000/v1", server.url), "chat-models.md", "exec"), {})


def test_there_are_examples_of_all_parts() -> None:
    assert len(BLOCKS) == 5
    for name in ("open_chat", "OpenAIChat", "Fallbacks", "RecordingChat", "ReplayChat", "ScriptedModel", "ChatServer"):
        assert any(name in block for block in BLOCKS), name
