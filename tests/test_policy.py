"""What may be called without asking."""

from __future__ import annotations

import pytest

from bottega.tools import Tool, ToolAnnotations, ToolContext, ToolResult
from bottega.tools.policy import Decision, Policy, Rule


async def nothing(arguments: dict[str, object], context: ToolContext) -> ToolResult:
    return ToolResult("")


def a_tool(id: str, **annotations: bool) -> Tool:
    server, _, name = id.rpartition("/")
    return Tool(name, "", {}, nothing, ToolAnnotations(**annotations), server)


READS = a_tool("files/read_file", read_only=True, open_world=False)
WRITES = a_tool("files/write_file", destructive=False, open_world=False)
FETCHES = a_tool("web/fetch_page", read_only=True, open_world=True)
FOREIGN_READS = a_tool("clinic/doctor_room", read_only=True)
FOREIGN = a_tool("clinic/cancel")
REMOTE = frozenset({FOREIGN.id, FOREIGN_READS.id})


@pytest.mark.parametrize(
    ("tool", "decision"),
    [(READS, "allow"), (WRITES, "ask"), (FETCHES, "deny"), (FOREIGN_READS, "allow"), (FOREIGN, "ask")],
    ids=lambda x: getattr(x, "id", x),
)
def test_annotations_decide_where_no_rule_does(tool: Tool, decision: Decision) -> None:
    assert Policy(remote=REMOTE).judge(tool).decision == decision


def test_the_web_is_reached_only_with_permission() -> None:
    assert "--web" in (Policy().judge(FETCHES).hint or "")
    assert Policy(web=True).judge(FETCHES).decision == "allow"


def test_a_tool_of_a_server_that_nobody_configured_needs_the_web_permission_too() -> None:
    assert Policy().judge(FOREIGN_READS).decision == "deny"


def test_the_first_rule_that_matches_goes_before_the_annotations() -> None:
    policy = Policy(rules=(Rule("files/write*", "allow"), Rule("files/*", "deny")))
    assert policy.judge(WRITES).decision == "allow"
    assert policy.judge(READS).decision == "deny"
    assert "files/*" in policy.judge(READS).reason


def test_the_reason_tells_changing_from_destroying() -> None:
    assert "changes" in Policy().judge(WRITES).reason
    assert "destroy" in Policy(remote=REMOTE).judge(FOREIGN).reason
