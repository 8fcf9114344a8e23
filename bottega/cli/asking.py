"""Puts questions of runs to the person at the terminal, one after the other, and reads the answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .output import argument, plan_lines
from .text import one_line

if TYPE_CHECKING:
    from ..agents.plan import Answer, Question

Read = Callable[[str], Awaitable[str | None]]
"""Shows a prompt and gives the line that was typed; None at the end of input."""

HELP = {
    "approval": "y once · a all such in this run · p always here · e edit · n [why]",
    "uncertain": "d [result] it was done · r do it again · n leave it",
    "plan": "y do it · e edit · n [why]",
}


class Asker:
    """Asks about one question at a time; those that come meanwhile wait their turn."""

    def __init__(self, read: Read, pause: Callable[[], None] = lambda: None) -> None:
        self._read = read
        self._pause = pause
        self._turn = asyncio.Lock()

    async def __call__(self, question: Question) -> Answer:
        """The person's answer. Whatever is no clear yes is a no, an end of input too."""
        from ..agents.plan import Answer

        async with self._turn:
            self._pause()
            if question.kind == "question":
                line = await self._read(f"{shown(question)}\n> ")
                return Answer(decision="deny") if line is None else Answer(decision="text", text=line.strip())
            while True:
                line = await self._read(f"{shown(question)}\n[{HELP[question.kind]}] ")
                answer = await self._answer(question, (line or "n").strip())
                if answer is not None:
                    return answer

    async def _answer(self, question: Question, line: str) -> Answer | None:
        """What was typed, as an answer; None where it has to be asked again."""
        from ..agents.plan import Answer

        word, _, rest = line.partition(" ")
        word, rest = word.lower(), rest.strip()
        if question.kind == "uncertain":
            if word in ("d", "done"):
                return Answer(decision="text", text=rest)
            return Answer(decision="once" if word in ("r", "repeat", "again") else "deny", text=rest)
        if word in ("y", "yes"):
            return Answer(decision="once")
        if word == "e":
            return await (self._edited_plan(question) if question.kind == "plan" else self._edited(question))
        if question.kind == "approval" and word == "a":
            return Answer(decision="run")
        if question.kind == "approval" and word == "p":
            rule = f'rule: allow "{question.tool}" in this folder, always, without asking. Keep it?'
            sure = await self._read(f"{rule} [y/N] ")
            return Answer(decision="always") if (sure or "").strip().lower() in ("y", "yes") else None
        return Answer(decision="deny", text=rest if word in ("n", "no") else "")

    async def _edited(self, question: Question) -> Answer | None:
        from ..agents.plan import Answer

        now = json.dumps(question.arguments, ensure_ascii=False)
        line = await self._read(f"now: {one_line(now, 2_000)}\narguments as JSON (empty: ask again): ")
        if not line or not line.strip():
            return None
        try:
            arguments = json.loads(line)
        except ValueError as error:
            print(f"that is no JSON: {error}", file=sys.stderr)
            return None
        if not isinstance(arguments, dict):
            print("arguments are a JSON object", file=sys.stderr)
            return None
        return Answer(decision="edit", arguments=arguments)

    async def _edited_plan(self, question: Question) -> Answer | None:
        import click
        from pydantic import ValidationError

        from ..agents.plan import Answer, Plan
        from ..core.errors import PlanError

        assert question.plan is not None
        before = json.dumps(question.plan.model_dump(mode="json"), ensure_ascii=False, indent=2)
        try:
            text = await asyncio.to_thread(click.edit, before, extension=".json")
            if text is None:
                return None
            return Answer(decision="edit", plan=Plan.model_validate_json(text).check())
        except (ValidationError, PlanError, click.ClickException) as error:
            print(f"that plan cannot be: {one_line(str(error), 500)}", file=sys.stderr)
            return None


def shown(question: Question) -> str:
    """A question as a person reads it: what is to be done with which arguments, and why it is asked."""
    head = f"{question.step}: "
    if question.tool:
        arguments = " ".join(f"{name}={argument(value)}" for name, value in (question.arguments or {}).items())
        head += one_line(f"{question.tool} {arguments}", 400)
    elif question.plan is not None:
        head = "\n".join(plan_lines(question.plan))
    else:
        head += one_line(question.instruction, 200)
    return f"{head}\n{one_line(question.text, 400)}."


async def read_line(prompt: str) -> str | None:
    """Asks on stderr and reads from standard input, which has to be a terminal. May be cancelled while it waits."""
    print(prompt, end="", file=sys.stderr, flush=True)
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), typed.set)  # a thread that reads would outlive a Ctrl-C
    except NotImplementedError:  # on Windows
        return await asyncio.to_thread(sys.stdin.readline) or None
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline() or None  # a terminal is readable once there is a whole line


def answer_of(words: tuple[str, ...], question: Question) -> Answer:
    """An answer as `bottega runs answer ID WORDS` gives it. Raises `UsageError` for words that are none."""
    from ..agents.plan import Answer
    from ..core.errors import UsageError

    word, rest = (words[0].lower() if words else ""), " ".join(words[1:])
    names = {"y": "once", "yes": "once", "once": "once", "a": "run", "run": "run", "p": "always", "always": "always"}
    names |= {"n": "deny", "no": "deny", "deny": "deny"}
    if question.kind == "question":
        no = word in ("n", "no") and not rest
        return Answer(decision="deny") if no else Answer(decision="text", text=" ".join(words))
    if question.kind == "uncertain":
        if word in ("d", "done"):
            return Answer(decision="text", text=rest)
        if word in ("r", "repeat", "again"):
            return Answer(decision="once")
    if word in ("e", "edit"):
        return _edit_of(rest, question)
    if word not in names or (question.kind == "uncertain" and names[word] != "deny"):
        takes = HELP.get(question.kind, "a text")
        raise UsageError(f"{' '.join(words) or 'nothing'!r} does not answer {question.id}", hint=f"it takes {takes}")
    return Answer.model_validate({"decision": names[word], "text": rest})


def _edit_of(text: str, question: Question) -> Answer:
    from pydantic import ValidationError

    from ..agents.plan import Answer, Plan
    from ..core.errors import PlanError, UsageError

    try:
        edited = json.loads(text)
        if question.kind == "plan":
            return Answer(decision="edit", plan=Plan.model_validate(edited).check())
    except (ValueError, RecursionError, ValidationError, PlanError) as error:
        raise UsageError(f"what was edited cannot be: {one_line(str(error), 500)}") from None
    if not isinstance(edited, dict):
        raise UsageError("edited arguments are a JSON object")
    return Answer(decision="edit", arguments=edited)
