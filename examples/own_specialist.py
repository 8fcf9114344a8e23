"""A specialist of your own: one tool, one description, five examples. The router learns whom it is for.

python examples/own_specialist.py [REQUEST]
"""

import asyncio
import sys

from bottega import Bottega, Specialist, ToolError, tool

ROOMS = {"Marta Leone": "east hall", "Piet de Vries": "attic", "Ada Okoye": "glazing room"}


@tool(read_only=True)
def room_of(person: str) -> dict[str, str]:
    """Tell in which room of the workshop a person works.

    Args:
        person: full name of the person
    """
    if person not in ROOMS:
        raise ToolError(f"nobody here is called {person!r}", hint=f"there are {', '.join(ROOMS)}")
    return {"person": person, "room": ROOMS[person]}


porter = Specialist(
    name="porter",
    description="Knows who works in which room of the workshop.",
    tools=[room_of],
    examples=(
        "Where does Marta Leone work?",
        "Which room is Piet de Vries in?",
        "I am looking for Ada Okoye, where is she?",
        "In what room do I find Marta Leone?",
        "Tell me the room of Piet de Vries.",
    ),
)


async def main(request: str) -> int:
    async with Bottega(specialists=[porter]) as bottega:
        route = await bottega.route(request)
        print(f"goes to {route.specialist or route.kind} ({route.confidence:.2f})")
        result = await bottega.arun(request)
        print(result.answer)
        return result.exit_code


sys.exit(asyncio.run(main(" ".join(sys.argv[1:]) or "In which room can I find Ada Okoye?")))
