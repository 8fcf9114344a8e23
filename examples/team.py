"""Specialists with a language model: a guide who plans tours, and the scout to whom she gives what has to be looked up.

python examples/team.py [MODEL]

Without MODEL (such as gpt-5-mini, or any that an OpenAI-compatible server has) a script plays the model, so that the
example runs with no key and no network.
"""

import asyncio
import sys

from pydantic import BaseModel

from bottega import Bottega, Plan, Specialist, Step, ToolError, tool
from bottega.models.chat import ChatReply, ChatRequest
from bottega.testing import ScriptedModel, wants

ROOMS = {"Marta Leone": "east hall", "Piet de Vries": "attic", "Ada Okoye": "glazing room"}


@tool(read_only=True)
def room_of(person: str) -> str:
    """Tell in which room of the workshop a person works."""
    if person not in ROOMS:
        raise ToolError(f"nobody here is called {person!r}", hint=f"there are {', '.join(ROOMS)}")
    return ROOMS[person]


class Tour(BaseModel):
    """What the guide hands on: checked, before anything depends on it."""

    stops: list[str]
    minutes: int


scout = Specialist(
    "scout",
    "Knows who works in which room.",
    prompt="You look things up in the workshop.",
    tools=[room_of],
)
guide = Specialist(
    "guide",
    "Plans tours of the workshop.",
    prompt="You plan tours of a workshop: ten minutes a room, the east hall always first.",
    team=(scout,),
    returns=Tour,
)


def script(request: ChatRequest) -> ChatReply:
    """What a model might say to this: each sees its own task and its own calls, and nothing of the other."""
    found = [message.content for message in request.messages if message.role == "tool"]
    if request.messages[0].content.startswith("You plan tours"):
        if not found:
            return wants("ask_scout", task="In which rooms do Piet de Vries and Marta Leone work?")
        return wants("give_result", stops=["east hall", "attic"], minutes=20)
    if not found:
        calls = (wants("room_of", person=person) for person in ("Piet de Vries", "Marta Leone"))
        return ChatReply(tool_uses=tuple(use for call in calls for use in call.tool_uses), finish="tool_calls")
    return ChatReply(text="Piet de Vries: attic. Marta Leone: east hall.")


async def main(model: str | None) -> int:
    request = "A tour to Piet de Vries and Marta Leone, please."
    plan = Plan(request=request, steps=(Step(id="s1", instruction=request, specialist="guide"),))
    async with Bottega(specialists=[guide], model=model or ScriptedModel(script), servers={}) as bottega:
        async for event in bottega.stream(request, plan=plan):
            if event.type == "step_started":
                print(f"{event.specialist}: {event.instruction}")
            elif event.type == "tool_called":
                print(f"  {event.tool} {event.arguments}")
            elif event.type == "run_finished":
                print(event.result.answer)
                return event.result.exit_code
    return 1


sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None)))
