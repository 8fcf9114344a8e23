"""Kills runs and goes on with them, and says what was lost or done twice. A program: tests and `make crash` start it.

    python crashing.py matrix --ledger URL            # dies at every durable write of a plan, before and after it
    python crashing.py random --ledger URL --kills 200 --seed 1

Every leg of a run is a process of its own (forked, so that it starts at once). The tools leave a mark in the world, a
file outside the ledger, for every call that is really made. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postgres import serving

from bottega.agents.plan import Answer, Reference, Step
from bottega.agents.specialist import Specialist, house_specialists
from bottega.graphs.ledger import Ledger, RunRecord
from bottega.graphs.ledger.store import Store
from bottega.graphs.run import Crew, Run
from bottega.models.chat import ChatReply, ChatRequest, ToolUse
from bottega.testing import ScriptedModel, ScriptedPlanner
from bottega.tools import ToolContext, Toolset, Workspace, tool
from bottega.tools.policy import Policy, Rule

LEASE = 1.0


@dataclass(frozen=True)
class World:
    """What calls have done, outside of any run."""

    folder: Path
    pause: float = 0.0
    """Seconds that a call takes, so that a kill finds it under way."""

    def mark(self, kind: str, tag: str, key: str = "") -> None:
        line = json.dumps({"kind": kind, "tag": tag, "key": key}) + "\n"
        handle = os.open(self.folder / "world.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, line.encode())
        os.close(handle)

    def marks(self) -> list[dict[str, str]]:
        path = self.folder / "world.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def count(self, kind: str, tag: str) -> int:
        return sum(mark["kind"] == kind and mark["tag"] == tag for mark in self.marks())

    def keys_seen(self) -> set[str]:
        return {mark["key"] for mark in self.marks() if mark["key"]}


def toolset(world: World) -> Toolset:
    """Tools of every kind: one that reads, one that may be repeated, one that minds its key, two that may not."""

    @tool(read_only=True)
    async def look(tag: str, seen: str = "") -> str:
        """Look something up."""
        world.mark("look", tag)
        await asyncio.sleep(world.pause)
        return f"looked at {tag}"

    @tool(destructive=False, idempotent=True)
    async def put(tag: str, seen: str = "") -> str:
        """Put something where it belongs."""
        world.mark("put", tag)
        await asyncio.sleep(world.pause)
        return f"put {tag}"

    @tool(destructive=False, keyed=True)
    async def remember(tag: str, context: ToolContext, seen: str = "") -> str:
        """Note something once for each key."""
        if context.key not in world.keys_seen():
            world.mark("remember", tag, context.key)
        await asyncio.sleep(world.pause)
        return f"remembered {tag}"

    @tool
    async def send(tag: str, seen: str = "") -> str:
        """Send something off."""
        world.mark("send", tag)
        await asyncio.sleep(world.pause)
        return f"sent {tag}"

    @tool
    async def post(tag: str, seen: str = "") -> str:
        """Post something, for which one has to ask."""
        world.mark("post", tag)
        await asyncio.sleep(world.pause)
        return f"posted {tag}"

    return Toolset.of("world", "The world.", [look, put, remember, send, post])


def thinker(world: World) -> ScriptedModel:
    """A model that looks once, and then says what it saw; every call leaves a mark."""

    async def say(request: ChatRequest) -> ChatReply:
        tag = next(word for m in request.messages for word in m.content.split() if word.startswith("tag-"))
        looked = [m for m in request.messages if m.role == "tool"]
        world.mark("model", f"{tag}/{len(looked)}")
        await asyncio.sleep(world.pause)
        if looked:
            return ChatReply(text=f"thought about {tag}")
        name = next(offer.name for offer in request.tools if "look" in offer.name)
        use = ToolUse(id="use-1", name=name, arguments=json.dumps({"tag": f"{tag}-inner"}))
        return ChatReply(tool_uses=(use,), finish="tool_calls")

    return ScriptedModel(say)


KINDS = ("look", "send", "think", "remember", "put", "post")


def plan_of(size: int, seed: int) -> tuple[Step, ...]:
    """A plan whose steps use results of up to two steps before them."""
    draw = random.Random(seed)
    steps: list[Step] = []
    for n in range(size):
        id, kind = f"s{n + 1}", KINDS[n % len(KINDS)]
        before = draw.sample(steps[-5:], min(len(steps), draw.randrange(3)))
        if kind == "think":
            after = tuple(step.id for step in before)
            steps.append(Step(id=id, instruction=f"think about tag-{id}", specialist="thinker", after=after))
            continue
        arguments: dict[str, Any] = {"tag": id}
        if before:
            arguments["seen"] = Reference(from_=before[0].id)
        steps.append(
            Step(
                id=id,
                instruction=f"{kind} {id}",
                tool=f"world/{kind}",
                arguments=arguments,
                after=tuple(step.id for step in before[1:]),
            )
        )
    return tuple(steps)


def crew_of(world: World, ledger: Ledger, steps: tuple[Step, ...], *, asking: bool) -> Crew:
    thinks = Specialist("thinker", "Thinks.", tools=["world"], prompt="Look, then say.", chat=thinker(world))
    rules = tuple(Rule(f"world/{kind}", "allow") for kind in ("put", "remember", "send"))
    return Crew(
        workspace=Workspace.at(world.folder),
        tools=toolset(world).tools,
        specialists=(thinks, *house_specialists()),
        planner=ScriptedPlanner(steps),
        policy=Policy(rules),
        approve="later" if asking else "all",
        ledger=ledger,
        concurrency=4,
    )


@dataclass
class Outcome:
    """What is wrong with how a plan was done; empty where nothing is."""

    legs: int = 0
    kills: int = 0
    uncertain: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Job:
    """One plan in one world, done leg by leg."""

    url: str
    world: World
    steps: tuple[Step, ...]
    asking: bool
    run: str | None = None
    outcome: Outcome = field(default_factory=Outcome)
    _done: dict[str, int] = field(default_factory=dict)
    """Call that was finished before a leg -> how often it had been made until then."""

    def leg(self, before: Callable[[], None] = lambda: None, kill_after: float | None = None) -> bool:
        """One process at work on the run. True where it came to an end by itself."""
        self.outcome.legs += 1
        child = os.fork()
        if child == 0:
            code = 1
            try:
                before()
                code = asyncio.run(self.work())
            except BaseException as error:  # tell the parent, whatever it is
                print(f"leg: {type(error).__name__}: {error}", file=sys.stderr)
            finally:
                sys.stderr.flush()
                os._exit(code)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.outcome.kills += 1
            return False
        if os.WEXITSTATUS(status):
            self.outcome.problems.append("a leg ended with an error")
        return True

    async def work(self) -> int:
        """Works on the run in this process."""
        ledger = Ledger(self.url, lease=LEASE)
        runs = await ledger.runs(limit=1000)
        mine = next((r.id for r in runs if r.workspace == str(self.world.folder)), None)
        crew = crew_of(self.world, ledger, self.steps, asking=self.asking)
        await Run(crew, "do it", lambda event: None, resume=mine).go()
        ledger.close()
        return 0

    def record(self) -> RunRecord | None:
        """The run as the ledger has it; None before it is there."""

        async def load() -> RunRecord | None:
            ledger = Ledger(self.url, lease=LEASE)
            runs = await ledger.runs(limit=1000)
            mine = next((r.id for r in runs if r.workspace == str(self.world.folder)), None)
            record = await ledger.load(mine) if mine else None
            ledger.close()
            return record

        return asyncio.run(load())

    def look(self) -> RunRecord | None:
        """Compares world and ledger after a leg: nothing that was finished may have been made again."""
        record = self.record()
        if record is None:
            return None
        made = Counter((mark["kind"], mark["tag"]) for mark in self.world.marks())
        for known, count in self._done.items():
            kind, _, tag = known.partition(" ")
            if made[kind, tag] > count:
                self.outcome.problems.append(f"{known} was finished, and made again")
        for call in record.calls.values():
            if call.state != "done" or call.kind != "tool":
                continue
            kind = call.name.partition("/")[2]
            thinking = next((s for s in self.steps if s.id == call.step and s.specialist), None)
            tag = f"tag-{call.step}-inner" if thinking else call.step
            self._done.setdefault(f"{kind} {tag}", made[kind, tag])
        replies = Counter(call.step for call in record.calls.values() if call.kind == "model" and call.state == "done")
        for step, count in replies.items():
            for turn in range(count):
                self._done.setdefault(f"model tag-{step}/{turn}", made["model", f"tag-{step}/{turn}"])
        return record

    def answer(self) -> int:
        """Answers what the run asks, and truly: whether a call was done is looked up in the world."""
        return asyncio.run(self._answer())

    async def _answer(self) -> int:
        ledger = Ledger(self.url, lease=LEASE)
        runs = {r.id for r in await ledger.runs(limit=1000) if r.workspace == str(self.world.folder)}
        asked = [a for a in await ledger.questions() if a.run in runs]
        for waiting in asked:
            question = waiting.question
            answer = Answer(decision="once")
            if question.kind == "uncertain":
                self.outcome.uncertain += 1
                kind = (question.tool or "").partition("/")[2]
                past = "sent" if kind == "send" else "posted"
                if self.world.count(kind, question.step):
                    answer = Answer(decision="text", text=f"{past} {question.step}")
            await ledger.answer(question.id, answer)
        ledger.close()
        return len(asked)

    def finish(self, most: int = 12) -> RunRecord | None:
        """Goes on until the run has ended, answering what it asks."""
        for _ in range(most):
            self.leg()
            record = self.look()
            self.answer()
            if record is not None and record.summary.status == "succeeded":
                return record
        status = record.summary.status if record else "not there"
        self.outcome.problems.append(f"the run is stuck: {status}")
        return record

    def check(self, record: RunRecord | None, expected: str | None) -> None:
        """Compares the end with that of a run that nobody broke off."""
        if record is None:
            return
        if expected is not None and record.answer != expected:
            self.outcome.problems.append("the answer is another one")
        for step in self.steps:
            kind = (step.tool or "").partition("/")[2]
            made = self.world.count(kind, step.id)
            if kind in ("send", "post", "remember") and made != 1:
                self.outcome.problems.append(f"{kind} {step.id} was done {made} times")


def fresh(url: str, folder: Path, size: int, seed: int, *, asking: bool, pause: float = 0.0) -> Job:
    folder.mkdir()
    return Job(url, World(folder.resolve(), pause), plan_of(size, seed), asking)


def dies_at(k: int, *, after: bool) -> Callable[[], None]:
    """For a leg to begin with: it is killed at its k-th durable write, just before or just after."""

    def arm() -> None:
        count = 0
        real = Store.do

        def do(self: Store, work: Callable[..., Any], *, sync: bool = False) -> Any:
            nonlocal count
            count += 1
            if count == k and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(self, work, sync=sync)
            if count == k and after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        Store.do = do  # type: ignore[method-assign]

    return arm


def matrix(url: str, folder: Path, size: int, seed: int, every: int) -> dict[str, Any]:
    """Dies at the k-th durable write, for every k, before and after it."""
    whole = fresh(url, folder / "whole", size, seed, asking=False)
    asyncio.run(whole.work())  # in this process, so that legs find everything imported
    end = whole.look()
    whole.check(end, None)
    expected = end.answer if end else None
    outcomes = [whole.outcome]
    k = 1
    while True:
        died = False
        for after in (False, True):
            job = fresh(url, folder / f"{k}-{after}", size, seed, asking=False)
            alive = job.leg(dies_at(k, after=after))
            died = died or not alive
            record = job.look()
            if record is None or record.summary.status != "succeeded":
                record = job.finish()
            job.check(record, expected)
            outcomes.append(job.outcome)
        if not died:
            return summed(outcomes, points=k - 1)
        k += every


def at_random(url: str, folder: Path, size: int, seed: int, kills: int) -> dict[str, Any]:
    """Kills at random moments, with approvals pending, until there were `kills`."""
    draw = random.Random(seed)
    outcomes: list[Outcome] = []
    n = 0
    while sum(o.kills for o in outcomes) < kills:
        n += 1
        expected_job = fresh(url, folder / f"whole-{n}", size, seed + n, asking=False)
        asyncio.run(expected_job.work())
        end = expected_job.look()
        job = fresh(url, folder / f"run-{n}", size, seed + n, asking=True, pause=0.01)
        outcomes.append(job.outcome)
        record = None
        for _ in range(200):
            job.leg(kill_after=draw.uniform(0.01, 0.35))
            record = job.look()
            if draw.random() < 0.5:
                job.answer()
            if record is not None and record.summary.status == "succeeded":
                break
            if sum(o.kills for o in outcomes) >= kills:
                break
        if record is None or record.summary.status != "succeeded":
            record = job.finish()
        job.check(record, end.answer if end else None)
    return summed(outcomes, points=n)


def summed(outcomes: list[Outcome], points: int) -> dict[str, Any]:
    problems = Counter(problem for outcome in outcomes for problem in outcome.problems)
    return {
        "points": points,
        "runs": len(outcomes),
        "legs": sum(o.legs for o in outcomes),
        "kills": sum(o.kills for o in outcomes),
        "uncertain": sum(o.uncertain for o in outcomes),
        "problems": dict(problems),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["matrix", "random"])
    parser.add_argument("--ledger", help="a database URL; by default an SQLite file of its own")
    parser.add_argument("--postgres", action="store_true", help="start a PostgreSQL server for it")
    parser.add_argument("--steps", type=int, default=0, help="of the plan; 20 for the matrix, 30 for random kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="only every n-th durable write")
    parser.add_argument("--kills", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with ExitStack() as stack:
            own = f"sqlite:///{place / 'runs.db'}"
            url = stack.enter_context(serving(place)) if given.postgres else given.ledger or own
            if given.what == "matrix":
                result = matrix(url, place, given.steps or 20, given.seed, given.every)
            else:
                result = at_random(url, place, given.steps or 30, given.seed, given.kills)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["problems"] else 0)


if __name__ == "__main__":
    main()
