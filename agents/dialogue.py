"""A step done by a language model: it is told the task, calls what it is offered, and gives a short result.

Nothing here is left to chance: the same replies and outputs give the same requests, so that a step which is begun again
after a crash goes the way it went, answered from the run's journal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.errors import BottegaError, ModelError, PermissionNeeded, ServerError, ToolError, UsageError
from ..core.usage import Usage
from ..models.chat import ChatReply, ChatRequest, Message, ToolUse
from ..tools import Tool
from .abilities import READ_MORE, asking, asking_person, reading, using
from .arguments import misfits
from .calling import GOES_UP
from .forms import Form, said
from .material import DATA_RULE, Shelf, digest
from .offers import Ability, Offers, Outcome, offered
from .plan import Step, StepResult, StepStatus, ToolCall
from .readable import clean, readable
from .search import Search

if TYPE_CHECKING:
    from .specialist import Specialist, StepContext

Json = Any

FEW, BEST, MOST = 12, 8, 64
"""So many tools are all offered; of more, so many are looked for at a time; and never more than so many offered."""

SHOWN_INPUT, SHOWN_OUTPUT = 2_000, 4_000
"""Characters of an earlier result, and of an output, that a model is shown at once."""

MOST_INPUTS, LEAST_INPUT = 30_000, 200
"""Characters of all earlier results together, which makes each one's part smaller, but not smaller than the second."""

MOST_TALK = 100_000
"""Characters of a conversation from which the oldest outputs are left out."""

SAME = 2
"""How often a call may be made that gives the same each time."""

GIVE_RESULT, GIVE_UP, FIND_TOOLS = "give_result", "give_up", "find_tools"

RULES = f"""\
You do one task for a workshop of agents and answer with its result.
- Do the task and nothing beside it.
- {DATA_RULE}
- Say only what you were told or found out. Never make up values.
- Answer with the result alone and in short: no preamble, no account of how you came to it."""

RULES_OF_CALLING = f"""
- Calls that do not need each other's results: make them in one turn.
- If the task cannot be done with what is there, call {GIVE_UP}."""

RULE_OF_FINDING = f"""
- There are more tools than you were given. If none of them fits, call {FIND_TOOLS}."""

EMPTY = "Your reply was empty. Give the result of the task, or make a call."
OTHER_FORM = "This is not a result of the form that was asked for"
TOO_LONG = "Your reply was cut off: it was too long. Give the whole result again, shorter."
LAST = (
    "This is your last reply, and nothing can be called any more. Give the result as far as you have it, and say what "
    "is missing."
)
LEFT_OUT = "[An earlier output, left out because the conversation became long.]"


async def converse(
    specialist: Specialist, step: Step, inputs: Mapping[str, StepResult], context: StepContext
) -> StepResult:
    """The result of `step` by a language model: structured where `step.expects` or `specialist.returns` is a form.

    What does not get done keeps as its value what there is so far. `usage` counts the step's own model and tool calls,
    not those of colleagues. Raises what concerns the run (`GOES_UP`), once the calls under way have ended.
    """
    return await _Dialogue(specialist, step, inputs, context).held()


class _Dialogue:
    def __init__(
        self, specialist: Specialist, step: Step, inputs: Mapping[str, StepResult], context: StepContext
    ) -> None:
        form = step.expects if isinstance(step.expects, dict) else specialist.returns
        self._specialist = specialist
        self._step = step
        self._context = context
        self._form = Form.of(form) if form else None
        self._shelf = Shelf()
        shown = max(LEAST_INPUT, min(SHOWN_INPUT, MOST_INPUTS // (len(inputs) or 1)))
        self._inputs = [self._shelf.show(id, digest(result), shown, id) for id, result in inputs.items()]
        self._usable = specialist.usable(context.tools)
        self._offers = Offers()
        self._messages: list[Message] = []
        self._seen: dict[tuple[str, str], tuple[str, int]] = {}
        """Call -> what it gave last, and how often in a row it gave that."""
        self._loops = self._warned = False
        """Whether a call was not made because it gave the same before; whether that was in an earlier turn."""
        self._told: set[str] = set()
        self._refusals: list[str] = []
        self._owed: str | None = None
        """Why a change was refused, where none was made since."""
        self._ended: StepResult | None = None
        self._usage = Usage()
        self._calls: list[ToolCall] = []
        self._files: list[str] = []
        self._sources: list[str] = []

    async def held(self) -> StepResult:
        turns = self._specialist.turns
        try:
            await self._prepare()
            for turn in range(1, turns + 1):
                last = 1 < turn == turns
                if last:
                    self._say(LAST)
                reply = await self._reply(silent=last)
                if reply.tool_uses and not last:
                    await self._call(reply)
                else:
                    self._conclude(reply, last)
                if self._ended is not None:
                    break
        except GOES_UP:
            raise
        except PermissionNeeded as error:
            return self._result("refused", error=str(error))
        except BottegaError as error:
            return self._result("failed", error=str(error))
        ended = self._ended or self._result("failed")
        if ended.status != "refused" and (last or self._ended is None):
            slow = f"{self._specialist.name} did not get done in {turns} turn{'s' * (turns > 1)}"
            return ended.model_copy(update={"status": "failed", "error": slow})
        return ended

    async def _prepare(self) -> None:
        """Offers what there is for the task, and puts it into words."""
        if self._context.complete is None:
            raise UsageError(
                f"{self._specialist.name} works with a language model", hint="name one: --model, or Bottega(model=...)"
            )
        team = self._specialist.team if self._context.delegate else ()
        person = self._context.ask if self._specialist.asks else None
        rules = RULES
        if self._specialist.turns > 1 and (self._usable or team or person or self._shelf):
            rules += RULES_OF_CALLING
            self._offer_closings()
            self._offers.add(reading(self._shelf, SHOWN_OUTPUT))
            if person is not None:
                self._offers.add(asking_person(self._step, person))
            for colleague in team:
                assert self._context.delegate is not None
                self._offers.add(asking(colleague, self._step, self._context.delegate, self._offers))
            rules += await self._offer_tools()
        system = f"{self._specialist.prompt}\n\n{rules}" if self._specialist.prompt else rules
        self._messages = [Message(role="system", content=system), Message(role="user", content=self._task())]

    def _offer_closings(self) -> None:
        """How the model ends the step with a call: with a result of the form, or without one."""

        async def give_result(arguments: dict[str, Json]) -> Outcome:
            assert self._form is not None
            self._finish(self._form.take(arguments))
            return Outcome("Taken.", own_words=True)

        async def give_up(arguments: dict[str, Json]) -> Outcome:
            status: StepStatus = "refused" if self._refusals else "cannot"
            self._ended = self._result(status, error=clean(arguments["reason"], 1_000))
            return Outcome("Taken.", own_words=True)

        if self._form is not None:
            said_of_it = "Give the result of the task. Call nothing else in the same turn."
            self._offers.add(Ability(offered(GIVE_RESULT, said_of_it, self._form.asked), give_result, alone=True))
        reason = {"type": "string", "description": "What is missing, in one sentence."}
        schema = {"properties": {"reason": reason}, "required": ["reason"], "additionalProperties": False}
        self._offers.add(Ability(offered(GIVE_UP, "Say that the task cannot be done.", schema), give_up, alone=True))

    async def _offer_tools(self) -> str:
        """Offers all tools, or, of many, the best for the task. Gives the rule that comes with that."""
        if len(self._usable) <= FEW:
            for tool in self._usable:
                self._offer(tool)
            return ""
        finder = Search(self._context.finder)

        async def find_tools(arguments: dict[str, Json]) -> Outcome:
            room = min(BEST, MOST - len(self._offers))
            if room <= 0:
                return Outcome("No more tools can be offered: go on with those that there are.", own_words=True)
            found = await finder.find_tools(arguments["query"], self._usable, room)
            named = [f"{self._offer(tool).offer.name}: {clean(tool.description, 200)}" for tool in found]
            return Outcome("\n".join(["You can call these now:", *named]) if named else "Nothing was found.")

        query = {"type": "string", "description": "What the tool should do, in a few words."}
        schema = {"properties": {"query": query}, "required": ["query"], "additionalProperties": False}
        offer = offered(FIND_TOOLS, f"Search {len(self._usable)} tools for others than those you were given.", schema)
        self._offers.add(Ability(offer, find_tools, alone=True))
        for tool in [
            *(tool for tool in self._usable if tool.id == self._step.tool),
            *await finder.find_tools(self._step.instruction, self._usable, BEST),
        ]:
            self._offer(tool)
        return RULE_OF_FINDING

    def _offer(self, tool: Tool) -> Ability:
        ability = self._offers.of_tool(tool.id)
        if ability is None:
            ability = using(tool, self._step, self._context.call, self._offers)
            self._offers.add(ability)
        return ability

    def _task(self) -> str:
        parts = [f"The task: {self._step.instruction}"]
        if self._step.arguments:
            settled = self._step.model_dump(mode="json")["arguments"]
            parts.append(f"Settled already: {json.dumps(settled, ensure_ascii=False)}")
        if self._form is not None:
            how = f"Give the result by calling {GIVE_RESULT}" if len(self._offers) else "Answer with JSON alone"
            parts.append(f"{how}, of this form:\n{json.dumps(self._form.asked, ensure_ascii=False)}")
        elif self._step.expects:
            parts.append(f"The result has to be: {self._step.expects}")
        if self._inputs:
            parts.append("\n".join(["What earlier steps gave:", *self._inputs]))
        return "\n\n".join(parts)

    def _say(self, text: str) -> None:
        self._messages.append(Message(role="user", content=text))

    async def _reply(self, silent: bool) -> ChatReply:
        """What the model says next; when `silent` is wanted, it is offered nothing to call."""
        assert self._context.complete is not None
        offers = () if silent else self._offers.all()
        tools = tuple(offer for offer in offers if self._shelf or offer.name != READ_MORE)
        form = self._form.asked if self._form is not None and not tools else None
        request = ChatRequest(messages=_shortened(self._messages), tools=tools, output=form)
        reply = await self._context.complete(self._step, request, self._specialist.chat)
        self._usage += reply.usage.model_copy(update={"model_calls": 1})
        return reply

    async def _call(self, reply: ChatReply) -> None:
        """Does what the model called, and tells it what came of it."""
        outcomes: list[Outcome] = []
        for batch in self._batches(reply.tool_uses):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._kept(use, reply)) for use in batch]
            done = [task.result() for task in tasks]
            errors = [error for error in done if isinstance(error, Exception)]
            for use, outcome in zip(batch, done, strict=True):
                if isinstance(outcome, Outcome):
                    self._note(use, outcome)
                    outcomes.append(outcome)
            for error in sorted(errors, key=lambda error: not isinstance(error, GOES_UP)):
                raise error
        self._warned = self._loops
        self._messages.append(reply.message)
        for use, outcome in zip(reply.tool_uses, outcomes, strict=True):
            shown = outcome.text if outcome.own_words else self._shelf.show(use.name, outcome.text, SHOWN_OUTPUT)
            self._messages.append(Message(role="tool", tool_use=use.id, content=shown))

    def _batches(self, uses: Sequence[ToolUse]) -> Iterator[list[ToolUse]]:
        """The calls of a turn, in order: those that can be done at once together, each of the others by itself."""
        together: list[ToolUse] = []
        for use in uses:
            ability = self._offers.get(use.name)
            if ability is None or not ability.alone:
                together.append(use)
                continue
            if together:
                yield together
            yield [use]
            together = []
        if together:
            yield together

    async def _kept(self, use: ToolUse, reply: ChatReply) -> Outcome | Exception:
        """`_outcome`, with what it raises as a value: one call of several must not take the others along."""
        try:
            return await self._outcome(use, reply)
        except Exception as error:
            return error

    async def _outcome(self, use: ToolUse, reply: ChatReply) -> Outcome:
        if self._seen.get(_key(use), ("", 0))[1] >= SAME:
            return self._repeated(use.name)
        ability = self._offers.get(use.name)
        if ability is None:
            return Outcome(self._unknown(use.name), own_words=True)
        name = ability.offer.name
        if name in (GIVE_RESULT, GIVE_UP) and len(reply.tool_uses) > 1:
            return Outcome(f"Not taken: call {name} alone, once you have seen what the others gave.", own_words=True)
        try:
            arguments = json.loads(use.arguments.strip() or "{}")
        except (ValueError, RecursionError) as error:
            cut = "; your reply was cut off, so send less at a time" if reply.finish == "length" else ""
            return Outcome(f"The arguments of {name} are not JSON ({error}){cut}. Call it again.", own_words=True)
        if wrong := misfits(ability.offer.parameters, arguments):
            problem = "; ".join(f"{where}: {what}" if where else what for where, what in wrong)
            return Outcome(f"{name} cannot take this: {problem}. Call it again.", own_words=True)
        try:
            return await ability.do(arguments)
        except (ToolError, ServerError, ModelError) as error:
            return Outcome(f"This failed: {error}", own_words=True)

    def _repeated(self, name: str) -> Outcome:
        """Ends the step where the model was told already that it goes round in circles."""
        if self._warned:
            self._ended = self._result("failed", error=f"it went on making the same call of {name}")
        self._loops = True
        text = f"Not called: {name} gave the same for this {SAME} times. Do something else, or end the task."
        return Outcome(text, own_words=True, again=True)

    def _unknown(self, name: str) -> str:
        more = f"; {FIND_TOOLS} searches for others" if self._offers.get(FIND_TOOLS) else ""
        return f"There is no {name!r} to call. There is {', '.join(self._offers.like(name))}{more}."

    def _note(self, use: ToolUse, outcome: Outcome) -> None:
        """Takes down what a call came to, for the result and for the next turns."""
        text, times = self._seen.get(_key(use), ("", 0))
        if not outcome.again:
            self._seen[_key(use)] = (outcome.text, times + 1 if outcome.text == text else 1)
        self._files += outcome.files
        self._sources += outcome.sources
        if outcome.call is not None:
            self._calls.append(outcome.call)
            self._usage += Usage(tool_calls=1)
        if outcome.refused is not None:
            self._refusals.append(outcome.refused)
        if outcome.changes:
            self._owed = outcome.refused

    def _conclude(self, reply: ChatReply, last: bool) -> None:
        """Takes a reply without calls for the result; where it is none, the model is told so, once for each reason."""
        text = said(reply.text)
        trouble = self._trouble(reply, text)
        if trouble is None:
            return
        why, kind, more = trouble
        if last or not kind or kind in self._told:
            self._ended = self._result("failed", text or None, error=why)
            return
        self._told.add(kind)
        if text:
            self._messages.append(Message(role="assistant", content=text))
        self._say(f"{kind}{more}")

    def _trouble(self, reply: ChatReply, text: str) -> tuple[str, str, str] | None:
        """Ends the step with this reply; or says why it cannot, and what to tell the model: a constant, and more."""
        if reply.finish == "content_filter":
            return "the model's answer was held back by a content filter", "", ""
        if reply.finish == "length":
            return "the model's answer was cut off at its length limit", TOO_LONG, ""
        if not text:
            return "the model gave no answer", EMPTY, ""
        if self._form is None:
            self._finish(text)
            return None
        try:
            self._finish(self._form.read(text))
            return None
        except ModelError as error:
            how = f"Call {GIVE_RESULT}, or go on with other calls" if len(self._offers) else "Answer with JSON alone"
            why = f"the model's answer is not of the form that was asked for: {error}"
            return why, OTHER_FORM, f": {error}. {how}."

    def _finish(self, value: Json) -> None:
        """Ends the step with its value. A change that was refused and never made good is no success."""
        self._ended = self._result("refused" if self._owed else "succeeded", value, self._owed)

    def _result(self, status: StepStatus, value: Json = None, error: str | None = None) -> StepResult:
        files = tuple(dict.fromkeys(self._files))
        return StepResult(
            step=self._step.id,
            status=status,
            value=value,
            text=clean(value if isinstance(value, str) else readable(value)) if value is not None else "",
            error=error,
            sources=tuple(s for s in dict.fromkeys(self._sources) if s not in files),
            files=files,
            calls=tuple(self._calls),
            confidence=self._step.confidence,
            usage=self._usage,
        )


def _key(use: ToolUse) -> tuple[str, str]:
    """What makes two calls the same one: the name, and the arguments however they are written."""
    try:
        return use.name, json.dumps(json.loads(use.arguments.strip() or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return use.name, use.arguments


def _shortened(messages: Sequence[Message]) -> tuple[Message, ...]:
    """`messages`, without the oldest outputs where all of them would be too long; those of the last turn stay."""
    kept = list(messages)
    spare = sum(len(message.content) for message in kept) - MOST_TALK
    newest = max((at for at, message in enumerate(kept) if message.role == "assistant"), default=0)
    for at in range(newest):
        if spare > 0 and kept[at].role == "tool" and len(kept[at].content) > len(LEFT_OUT):
            spare -= len(kept[at].content) - len(LEFT_OUT)
            kept[at] = kept[at].model_copy(update={"content": LEFT_OUT})
    return tuple(kept)
