"""Answers from what documents say, found by the reader model."""

from __future__ import annotations

from pathlib import PurePath

from ...core.errors import ToolError
from ..tool import ToolResult, tool
from ..workspace import Workspace
from .parameters import Instruction, PathName
from .prose import Passage, most_alike, passages

_DOCUMENTS = {".md", ".markdown", ".txt", ".text", ".rst", ".adoc", ".org", ".tex", ".html", ".htm"}
_MOST_DOCUMENTS = 200
_MOST_PASSAGES = 24


@tool(read_only=True)
def answer_from_document(workspace: Workspace, question: Instruction, path: PathName | None = None) -> ToolResult:
    """Answer a question (who, what, when, where, why) from what a text document says, with the passage that says it.

    Args:
        question: what is asked
        path: document to read; left out, the documents of the workspace
    """
    from ...models.house.reader import ReaderModel

    if not question.strip():
        raise ToolError("there is no question")
    found = _passages(workspace, path)
    if not found:
        raise ToolError(
            f"{path} says nothing" if path else "the workspace has no text documents", hint="name a document"
        )
    # A long document is read where its words meet the question's; a short one whole.
    if len(found) > _MOST_PASSAGES:
        chosen = most_alike(question, [passage.whole for _, passage in found], _MOST_PASSAGES)
        found = [found[i] for i in chosen] or found[:_MOST_PASSAGES]
    answer = ReaderModel.open().read(question, [passage.whole for _, passage in found])
    if answer is None:
        raise ToolError(f"{path} does not say that" if path else "no document of the workspace says that")
    source, passage = found[answer.passage]
    data = {"answer": answer.text, "passage": passage.text, "path": source, "confidence": round(answer.confidence, 3)}
    return ToolResult(f"{answer.text}\n\n{source}: {passage.text}", data=data)


def _passages(workspace: Workspace, path: str | None) -> list[tuple[str, Passage]]:
    """The passages of a document, or of all of them, each with its path."""
    if path:
        return [(path, passage) for passage in passages(_text(workspace, path))]
    names = [name for name in workspace.files() if PurePath(name).suffix.lower() in _DOCUMENTS][:_MOST_DOCUMENTS]
    return [(name, p) for name in names if workspace.is_text(name) for p in passages(_text(workspace, name))]


def _text(workspace: Workspace, name: str) -> str:
    text = workspace.read_text(name)
    if PurePath(name).suffix.lower() in (".html", ".htm"):
        from .html import html_text

        return html_text(text)[1]
    return text


TOOLS = (answer_from_document,)
