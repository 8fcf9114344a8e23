"""The real command line on the real engine; only the planner does as it is told: a request names its steps.

Run by tests of the command line and the console: `python scripted.py run "count and write"`.
"""

import asyncio
import functools
import sys

import bottega.workshop as workshop
from bottega import Plan, Step, Workspace, tool
from bottega.agents.plan import Reference
from bottega.agents.planning import PlanningContext
from bottega.cli import main
from bottega.testing import ScriptedPlanner


@tool(read_only=True)
def count(word: str, workspace: Workspace) -> int:
    """Count a word."""
    return (workspace.root / "text.txt").read_text().count(word)


@tool
def write(number: int, workspace: Workspace) -> str:
    """Write a number."""
    (workspace.root / "number.txt").write_text(str(number))
    return f"wrote {number}"


@tool(read_only=True)
def fail() -> str:
    """Fail."""
    raise ValueError("the lamp is out")


@tool(read_only=True)
async def wait() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return ""


@tool
async def post(word: str) -> str:
    """Post something, and wait for ever whether it arrives."""
    await asyncio.Event().wait()
    return ""


@tool(read_only=True)
async def hang() -> str:
    """Wait for ever, and do not stop when asked to."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@tool(read_only=True)
def colour() -> str:
    """Give text that would drive a terminal."""
    return "a \x1b[31mred\x1b[0m \x07 bell"


COUNT = Step(id="s1", instruction="count lamps", tool="count", arguments={"word": "lamp"})
STEPS = {
    "count": [COUNT],
    "count and write": [
        COUNT,
        Step(id="s2", instruction="write it", tool="write", arguments={"number": Reference(from_="s1")}),
    ],
    "write both": [
        Step(id="s1", instruction="write one", tool="write", arguments={"number": 1}),
        Step(id="s2", instruction="write two", tool="write", arguments={"number": 2}, after=("s1",)),
    ],
    "post": [Step(id="s1", instruction="post it", tool="post", arguments={"word": "lamp"})],
    "fail": [Step(id="s1", instruction="fail", tool="fail")],
    "count and fail": [COUNT, Step(id="s2", instruction="fail", tool="fail")],
    "cannot": [Step(id="s1", instruction="fly", problem="nobody here can fly")],
    "count and wait": [COUNT, Step(id="s2", instruction="wait", tool="wait", after=("s1",))],
    "hang": [Step(id="s1", instruction="hang", tool="hang")],
    "colour": [Step(id="s1", instruction="colour", tool="colour")],
}


class Planner(ScriptedPlanner):
    async def plan(self, request: str, context: PlanningContext) -> Plan:
        return Plan(request=request, steps=tuple(STEPS[request]))


ScriptedBottega = functools.partial(
    workshop.Bottega, planner=Planner([]), tools=[count, write, fail, wait, post, hang, colour]
)

if __name__ == "__main__":
    workshop.Bottega = ScriptedBottega
    sys.exit(main())
