"""Asks people: about side effects, calls whose outcome is not known, plans, and what steps want to know.

Questions are kept in the ledger with their answers, so that they outlive the process that asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from ..agents.arguments import check
from ..agents.plan import Answer, Json, Plan, Question, Step
from ..core.errors import Halt, PermissionNeeded, ToolError
from ..core.sound import sound
from ..tools import Tool
from ..tools.policy import Rule
from .events import Emit, QuestionAnswered, QuestionAsked
from .ledger import AskedQuestion, RunWriter, check_answer, digest_of

Approve = Literal["all", "later"] | Callable[[Question], Awaitable[bool | str | Answer]] | None
"""Who answers. `"all"` approves every side effect; `"later"` leaves questions in the queue, where the run waits for
them; a coroutine function answers with yes or no, a text, or an `Answer`; None means there is nobody to ask."""

YES = Answer(decision="once")

OF_A_FORM = ("run", "always")
"""Answers that cover all calls of a tool with arguments of the same form."""


class Approvals:
    """The questions and answers of one run. The same thing is asked about once."""

    def __init__(
        self,
        approve: Approve,
        writer: RunWriter,
        known: Mapping[str, AskedQuestion],
        emit: Emit,
        remember: Callable[[Rule], None] | None = None,
    ) -> None:
        self.open: dict[str, Question] = {}
        """Questions that wait for an answer, by id."""
        self._approve = approve
        self._writer = writer
        self._emit = emit
        self._remember = remember
        self._answers = {id: asked.answer for id, asked in known.items() if asked.answer is not None}
        self._forms = {
            _form(q.tool or "", q.arguments or {})
            for q in (asked.question for asked in known.values() if asked.answer and asked.answer.decision in OF_A_FORM)
        }
        self._asking: dict[str, asyncio.Task[Answer]] = {}

    async def permit(self, step: Step, tool: Tool, arguments: dict[str, Json], reason: str) -> dict[str, Json]:
        """The arguments of a call that may be made.

        Raises `PermissionNeeded` when it was not approved, or nobody can be asked; `Halt` while the answer is open.
        """
        if _form(tool.id, arguments) in self._forms:
            return arguments
        answer = await self._answer(
            Question(
                id=self._id("approval", step.id, tool.id, arguments),
                kind="approval",
                step=step.id,
                text=reason,
                instruction=step.instruction,
                tool=tool.id,
                arguments=arguments,
            )
        )
        match answer.decision:
            case "deny":
                why = f": {answer.text}" if answer.text else ""
                raise PermissionNeeded(f"{tool.id} was not approved{why}")
            case "edit":
                edited = answer.arguments or {}
                try:
                    check(tool, edited)
                except ToolError as error:
                    raise PermissionNeeded(f"the edited arguments cannot be: {error}") from None
                return edited
            case "run" | "always":
                self._forms.add(_form(tool.id, arguments))
        return arguments

    def edited(self, step: Step, tool: Tool, arguments: dict[str, Json]) -> dict[str, Json]:
        """The arguments of a call that was permitted before, as a person may have changed them then."""
        answer = self._answers.get(self._id("approval", step.id, tool.id, arguments))
        return answer.arguments or {} if answer is not None and answer.decision == "edit" else arguments

    async def uncertain(self, step: Step, tool: Tool, arguments: dict[str, Json], key: str, why: str) -> Answer:
        """What is to become of a call that was under way when a process died: `once` makes it again, `text` is what it
        gave. Never assumed, not even where all side effects are approved: raises `Halt` until a person has said."""
        question = Question(
            id=f"ask-{key[:10]}",
            kind="uncertain",
            step=step.id,
            text=f"{why}; look whether {tool.id} was done",
            instruction=step.instruction,
            tool=tool.id,
            arguments=arguments,
        )
        answer = self._answers.get(question.id)
        if answer is None and callable(self._approve):
            answer = await self._answer(question)
        if answer is None:
            await self._park(question)
            raise Halt("uncertain", f"{why}, and it is not known whether {tool.id} was done")
        if answer.decision == "deny":
            raise PermissionNeeded(f"whether {tool.id} was done is not known, and it was left at that")
        return answer

    async def plan(self, plan: Plan) -> Plan:
        """The plan that may be done, as a person may have changed it. Raises as `permit`."""
        question = Question(
            id=self._id("plan", plan.revision, [s.model_dump(mode="json") for s in plan.steps]),
            kind="plan",
            step="plan",
            text=f"a plan of {len(plan.steps)} step{'s' if len(plan.steps) != 1 else ''} is to be done",
            plan=plan,
        )
        answer = await self._answer(question)
        if answer.decision == "deny":
            raise PermissionNeeded(f"the plan was not approved{': ' if answer.text else ''}{answer.text}")
        return answer.plan or plan if answer.decision == "edit" else plan

    async def ask(self, step: Step, question: str) -> str:
        """A person's answer to a question of a step. Raises as `permit`."""
        asked = Question(
            id=self._id("question", step.id, question),
            kind="question",
            step=step.id,
            text=question,
            instruction=step.instruction,
        )
        if self._approve == "all" and asked.id not in self._answers:
            raise PermissionNeeded("there was nobody to ask", hint="run it in a terminal, or with --later")
        answer = await self._answer(asked)
        if answer.decision == "deny":
            raise PermissionNeeded(f"the question was not answered{': ' if answer.text else ''}{answer.text}")
        return answer.text

    async def close(self) -> None:
        """Takes back what a person is being asked."""
        asking = [task for task in self._asking.values() if not task.done()]
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)

    async def _answer(self, question: Question) -> Answer:
        if question.id in self._answers:
            return self._answers[question.id]
        if self._approve is None:
            raise PermissionNeeded(
                f"{question.text}, and there was nobody to ask",
                hint="run with --yes to permit it or --later to answer afterwards, or give Bottega(approve=...)",
            )
        if self._approve == "later":
            await self._park(question)
            raise Halt("waiting", f"for an answer to {question.id}: {question.text}")
        if question.id not in self._asking:
            self._asking[question.id] = asyncio.ensure_future(self._asked(question))
        return await asyncio.shield(self._asking[question.id])

    async def _asked(self, question: Question) -> Answer:
        self._emit(QuestionAsked(run=self._writer.run, question=question))
        await asyncio.sleep(0)  # whoever shows the events shows the plan before the question
        if callable(self._approve):
            await self._writer.ask(question)
            given = await self._approve(question)
            answer = sound(given if isinstance(given, Answer) else _answer_of(given, question))
            check_answer(question, answer)
            await self._writer.answered(question.id, answer)
        else:
            answer = YES
        self._answers[question.id] = answer
        if answer.decision == "always" and self._remember is not None and question.tool:
            self._remember(Rule(question.tool, "allow"))
        self._emit(QuestionAnswered(run=self._writer.run, question=question.id, answer=answer))
        return answer

    async def _park(self, question: Question) -> None:
        if question.id not in self.open:
            self.open[question.id] = question
            await self._writer.ask(question)
            self._emit(QuestionAsked(run=self._writer.run, question=question))

    def _id(self, *content: Json) -> str:
        return f"ask-{digest_of(self._writer.run, *content)[:10]}"


def _answer_of(given: bool | str, question: Question) -> Answer:
    if isinstance(given, str):
        return Answer(decision="text", text=given)
    return YES if given else Answer(decision="deny")


def _form(tool: str, arguments: Mapping[str, Json]) -> str:
    """A tool and the form of its arguments: their names and types."""
    return json.dumps([tool, sorted((name, type(value).__name__) for name, value in arguments.items())])
