"""The toolset reading, with a reader that answers as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from house_tools import data_of, refusal, use

from bottega.models.house.reader import Answer, ReaderModel


class Told:
    """Finds `text` in the first passage that has it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.passages: list[str] = []

    def read(self, question: str, passages: Sequence[str]) -> Answer | None:
        self.passages = list(passages)
        for i, passage in enumerate(passages):
            start = passage.find(self.text)
            if start >= 0:
                return Answer(self.text, i, start, start + len(self.text), 0.87654)
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes.md").write_text(
        "# Meeting\n\nThe centre opens on 14 March 2027.\n\n## Money\n\nThe budget is 5 euros.\n"
    )
    (tmp_path / "page.html").write_text("<title>x</title><script>bad()</script><p>The door is <b>green</b>.</p>")
    (tmp_path / "table.csv").write_text("a,b\n14 March 2027,2\n")
    return tmp_path


def reader(monkeypatch: pytest.MonkeyPatch, text: str) -> Told:
    told = Told(text)
    monkeypatch.setattr(ReaderModel, "open", lambda: told)
    return told


def test_the_answer_comes_with_its_passage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reader(monkeypatch, "14 March 2027")
    result = use(folder, "reading/answer_from_document", path="notes.md", question="When does it open?")
    assert result.data == {
        "answer": "14 March 2027",
        "passage": "The centre opens on 14 March 2027.",
        "path": "notes.md",
        "confidence": 0.877,
    }
    assert result.text == "14 March 2027\n\nnotes.md: The centre opens on 14 March 2027."
    assert told.passages == ["Meeting: The centre opens on 14 March 2027.", "Money: The budget is 5 euros."]


def test_without_a_path_the_documents_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reader(monkeypatch, "green")
    data = data_of(folder, "reading/answer_from_document", question="What colour is the door?")
    assert (data["answer"], data["path"]) == ("green", "page.html")
    assert not any("bad" in p or "a,b" in p for p in told.passages)


def test_a_document_that_does_not_say_it_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader(monkeypatch, "nowhere to be found")
    assert (
        refusal(folder, "reading/answer_from_document", path="notes.md", question="Who?")
        == "notes.md does not say that"
    )
    assert "no document" in refusal(folder, "reading/answer_from_document", question="Who?")


def test_of_a_long_document_the_likely_passages_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = reader(monkeypatch, "quince")
    paragraphs = [f"Paragraph {i} is about apples. " * 15 for i in range(200)]
    paragraphs[150] = "The orchard has one old quince tree. " * 10
    (folder / "long.md").write_text("\n\n".join(paragraphs))
    data = data_of(folder, "reading/answer_from_document", path="long.md", question="Which old tree has the orchard?")
    assert data["answer"] == "quince"
    assert len(told.passages) <= 40


def test_an_empty_workspace_question_or_document_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.md").write_text("")
    assert "no text documents" in refusal(tmp_path / "empty", "reading/answer_from_document", question="Who?")
    assert "says nothing" in refusal(folder, "reading/answer_from_document", path="empty.md", question="Who?")
    assert "no question" in refusal(folder, "reading/answer_from_document", path="notes.md", question=" ")
    assert "no file" in refusal(folder, "reading/answer_from_document", path="none.md", question="Who?")
