"""A toolset of your own, and a policy for it: looking is free, booking is asked about, clearing out is forbidden.

python examples/own_tools.py
"""

import sys

from bottega import Answer, Bottega, Plan, Question, Rule, Step, Toolset, tool

BOOKED: dict[str, str] = {"small kiln": "Marta"}


@tool(read_only=True)
def who_has(kiln: str) -> str:
    """Tell who has booked a kiln.

    Args:
        kiln: name of the kiln
    """
    return BOOKED.get(kiln, "nobody")


@tool(destructive=False)
def book(kiln: str, person: str) -> str:
    """Book a kiln for a person.

    Args:
        kiln: name of the kiln
        person: who wants it
    """
    BOOKED[kiln] = person
    return f"{kiln} is {person}'s"


@tool
def clear() -> str:
    """Remove all bookings."""
    BOOKED.clear()
    return "all kilns are free"


async def approve(question: Question) -> Answer:
    """Anybody may have the large kiln; for the small one somebody else has to step back."""
    if question.arguments and question.arguments["kiln"] == "large kiln":
        return Answer(decision="once")
    return Answer(decision="deny", text="it is taken")


PLAN = Plan(
    request="Look after the kilns",
    steps=(
        Step(id="s1", instruction="who has the small kiln", tool="kilns/who_has", arguments={"kiln": "small kiln"}),
        Step(id="s2", instruction="book", tool="kilns/book", arguments={"kiln": "large kiln", "person": "Piet"}),
        Step(id="s3", instruction="book", tool="kilns/book", arguments={"kiln": "small kiln", "person": "Piet"}),
        Step(id="s4", instruction="clear all", tool="kilns/clear"),
    ),
)

kilns = Toolset.of("kilns", "The kilns of the workshop.", [who_has, book, clear])
rules = [Rule("kilns/clear", "deny")]
with Bottega(tools=kilns, servers={}, approve=approve, rules=rules, ledger=":memory:") as bottega:
    result = bottega.run(PLAN.request, PLAN)
    print(result.answer)
    sys.exit(result.exit_code)
