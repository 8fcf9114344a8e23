"""The planner by a language model: one call for a plan whose steps have tools and arguments and need no model more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from ...core.errors import PlanError
from ...models.chat import ChatReply, ChatRequest, Message
from ...tools import Tool
from ..plan import Plan, Step, StepResult, renamed
from ..planning import Finder, PlanningContext
from ..search import Search
from .briefing import RULES, briefing, form_of_plans, queries, revision
from .reading import Faults, read_plan

FEW, MOST = 20, 16
"""So many tools are all shown to the model; of more, so many are looked for."""

LOST = ("failed", "cannot")
"""What another plan may mend. What was refused or may have been done is not tried in another way."""

REPAIR = """\
This plan cannot be used:
{faults}
Send the whole plan again, put right, as JSON alone."""


class LLMPlanner:
    """Plans with the run's language model. `finder` chooses the tools that the model is shown.

    Raises, beside `PlanError`, what the model raises: `ModelError`, `ServerError`, `BudgetExceeded`.
    """

    def __init__(self, finder: Finder | None = None) -> None:
        self._finder = Search(finder)

    async def plan(self, request: str, context: PlanningContext) -> Plan:
        """The plan for a request; raises `PlanError` where there is no model, or where it twice makes none."""
        tools = await self._tools(queries(request), context.tools)
        given = tuple(context.given)
        plan = await _asked(briefing(request, tools, context), request, tools, context, given, taken=given)
        if not plan.steps:
            raise PlanError("the language model planned no step", hint="say more plainly what is to be done")
        return _noted(plan, tools)

    async def revise(self, plan: Plan, results: Mapping[str, StepResult], context: PlanningContext) -> Plan | None:
        """A plan that goes another way to what failed; all other steps stay as they are, ids and all.

        None where nothing failed that a plan can mend, and where the model knows no other way.
        """
        lost = _lost(plan, results)
        if not lost:
            return None
        kept = [step for step in plan.steps if step.id not in lost]
        words = [plan.request, *(plan[id].instruction for id in lost)]
        tools = await self._tools(list(dict.fromkeys([*queries(plan.request), *words]))[:12], context.tools)
        first = f"s{_next(plan)}"
        told = f"{briefing(plan.request, tools, context)}\n\n{revision(plan, results, lost, first)}"
        given = (*(step.id for step in kept), *context.given)
        made = await _asked(told, plan.request, tools, context, given)
        new = _renumbered([step for step in made.steps if not _repeats(step, kept)], plan)
        if not new:
            return None
        return Plan(request=plan.request, steps=(*kept, *new), revision=plan.revision + 1).check(given=context.given)

    async def _tools(self, wanted: Sequence[str], tools: Sequence[Tool]) -> Sequence[Tool]:
        """All tools where there are few, else the best for each of `wanted`, in turn."""
        if len(tools) <= FEW:
            return tools
        found = [await self._finder.find_tools(query, tools, MOST) for query in wanted]
        in_turn = (hits[rank] for rank in range(MOST) for hits in found if rank < len(hits))
        return list({tool.id: tool for tool in in_turn}.values())[:MOST]


async def _asked(
    told: str,
    request: str,
    tools: Sequence[Tool],
    context: PlanningContext,
    given: Sequence[str],
    taken: Sequence[str] = (),
) -> Plan:
    """The model's plan; once told what is wrong with it, it may put that right."""
    if context.complete is None:
        raise PlanError("there is no language model to plan with", hint="name one: --model, or Bottega(model=...)")
    messages = [Message(role="system", content=RULES), Message(role="user", content=told)]
    form = form_of_plans(tools)
    faults: Sequence[str] = ()
    for _ in range(2):
        reply = await context.complete(ChatRequest(messages=tuple(messages), output=form))
        try:
            _whole(reply)
            return read_plan(reply.text, request, context.tools, context.specialists, given, taken)
        except Faults as error:
            faults = error.found[:10]
        if reply.text:
            messages.append(Message(role="assistant", content=reply.text))
        listed = "\n".join(f"- {fault}" for fault in faults)
        messages.append(Message(role="user", content=REPAIR.format(faults=listed)))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    raise PlanError(f"the language model made no plan that can be used: {faults[0]}{more}")


def _noted(plan: Plan, tools: Sequence[Tool]) -> Plan:
    """The plan, with the tools that the model was shown beside each step that has one."""
    shown = tuple(tool.id for tool in tools)
    return plan.model_copy(
        update={"steps": tuple(s.model_copy(update={"shown": shown}) if s.tool else s for s in plan.steps)}
    )


def _whole(reply: ChatReply) -> None:
    """Raises `Faults` for a reply that was not finished."""
    if reply.finish == "length":
        raise Faults(["it was cut off because it is too long: make fewer steps, in fewer words"])
    if reply.finish == "content_filter":
        raise Faults(["it was held back by a content filter"])


def _lost(plan: Plan, results: Mapping[str, StepResult]) -> list[str]:
    """The steps that failed, and those that came to nothing because they need one of them."""
    lost: dict[str, None] = {}
    grew = True
    while grew:
        grew = False
        for step in plan.steps:
            result = results.get(step.id)
            if step.id in lost or (result is not None and result.status == "succeeded"):
                continue
            if (result is not None and result.status in LOST) or any(need in lost for need in step.needs):
                lost[step.id] = None
                grew = True
    return list(lost)


def _repeats(step: Step, kept: Sequence[Step]) -> bool:
    """Whether a step is one of the plan before, written again."""
    for other in kept:
        if step.id == other.id and step.tool == other.tool:
            return step.arguments == other.arguments if step.tool else step.instruction == other.instruction
    return False


def _next(plan: Plan) -> int:
    """The first number that no step of the plan has."""
    return max([0, *(int(s.id[1:]) for s in plan.steps if s.id[:1] == "s" and s.id[1:].isdecimal())]) + 1


def _renumbered(new: Sequence[Step], old: Plan) -> list[Step]:
    """New steps, under other ids where those of the old plan were taken."""
    taken = {step.id for step in (*old.steps, *new)}
    names: dict[str, str] = {}
    for step in new:
        if any(step.id == other.id for other in old.steps):
            names[step.id] = next(id for n in count(_next(old)) if (id := f"s{n}") not in taken)
            taken.add(names[step.id])
    return [renamed(step, names) for step in new]
