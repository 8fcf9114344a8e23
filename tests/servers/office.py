"""Tools as a person would write them, in a file of their own."""

from bottega.tools import ToolResult, Workspace, tool

ROOMS = {"Ada": "12", "Grace": "7"}
print("this is not for the wire")


@tool(read_only=True)
def room_of(person: str) -> str:
    """Tell in which room a person works.

    Args:
        person: first name of the person
    """
    print("nor is this")
    return ROOMS[person]


@tool(read_only=True)
def staff() -> dict[str, str]:
    """List everybody with their room."""
    return ROOMS


@tool(read_only=True)
def head_count() -> int:
    """Count the people."""
    return len(ROOMS)


@tool(destructive=False)
def note(workspace: Workspace, text: str) -> ToolResult:
    """Write a note into note.txt."""
    workspace.write_text("note.txt", text)
    return ToolResult("noted", files=("note.txt",))
