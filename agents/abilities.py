"""The abilities of a language model in a step: to use a tool, ask a colleague, ask the person, read on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..core.errors import Halt, PermissionNeeded
from ..tools import Tool
from .calling import recorded, sources_of
from .material import Shelf, digest
from .offers import Ability, Offers, Outcome, offered
from .plan import Step
from .readable import clean

if TYPE_CHECKING:
    from .specialist import Caller, Delegator, Questioner, Specialist

Json = Any

ASK_PERSON, READ_MORE = "ask_person", "read_more"
"""Names that are the same in every dialogue."""


def using(tool: Tool, step: Step, call: Caller, offers: Offers) -> Ability:
    """The tool, under its own name where that is free."""
    changes = not tool.annotations.read_only

    async def do(arguments: dict[str, Json]) -> Outcome:
        try:
            result = await call(step, tool, arguments)
        except PermissionNeeded as error:
            return Outcome(_not_permitted(error), own_words=True, refused=str(error), changes=changes)
        given = result.text if result.text.strip() or result.data is None else json.dumps(result.data)
        return Outcome(
            f"This failed: {given}" if result.is_error else given,
            call=recorded(tool, arguments, result),
            files=result.files,
            sources=tuple(sources_of(tool, arguments)),
            changes=changes,
        )

    name = offers.name_of(tool.name, f"{tool.server}_{tool.name}")
    return Ability(offered(name, tool.description, tool.input_schema), do, alone=changes, tool=tool.id)


def asking(colleague: Specialist, step: Step, delegate: Delegator, offers: Offers) -> Ability:
    """A colleague who takes a task and is told nothing else."""

    async def do(arguments: dict[str, Json]) -> Outcome:
        result = await delegate(step, colleague, arguments["task"])
        if result.status in ("waiting", "uncertain"):
            raise Halt(result.status, result.error or f"{colleague.name} cannot go on")
        refused = (result.error or "it was not permitted") if result.status == "refused" else None
        return Outcome(digest(result), files=result.files, sources=result.sources, refused=refused)

    task = {"type": "string", "description": "What to do, with all that has to be known for it."}
    offer = offered(
        offers.name_of(f"ask_{colleague.name}"),
        f"Give a task to the specialist {colleague.name}, who sees only what you write. {colleague.description}",
        {"properties": {"task": task}, "required": ["task"], "additionalProperties": False},
    )
    return Ability(offer, do)


def asking_person(step: Step, ask: Questioner) -> Ability:
    """A question to the person whose request this is."""

    async def do(arguments: dict[str, Json]) -> Outcome:
        try:
            return Outcome(f"The person answers: {clean(await ask(step, arguments['question']))}", own_words=True)
        except PermissionNeeded as error:
            return Outcome(_not_permitted(error), own_words=True, refused=str(error))

    question = {"type": "string", "description": "One question that can be understood without having seen your work."}
    offer = offered(
        ASK_PERSON,
        "Ask the person whose request this is. Only for what nothing else can tell and you cannot go on without.",
        {"properties": {"question": question}, "required": ["question"], "additionalProperties": False},
    )
    return Ability(offer, do)


def reading(shelf: Shelf, limit: int) -> Ability:
    """The rest of a text that was too long to be shown at once, `limit` characters at a time."""

    async def do(arguments: dict[str, Json]) -> Outcome:
        return Outcome(shelf.read(arguments["text"], arguments["start"], limit), own_words=True)

    offer = offered(
        READ_MORE,
        "Read on in a text of which you were shown a part.",
        {
            "properties": {
                "text": {"type": "string", "description": "Its name, as the note below the part says it."},
                "start": {"type": "integer", "description": "The character to go on from."},
            },
            "required": ["text", "start"],
            "additionalProperties": False,
        },
    )
    return Ability(offer, do)


def _not_permitted(error: PermissionNeeded) -> str:
    return f"Not permitted: {error}. Go another way; give up where the task cannot be done without it."
