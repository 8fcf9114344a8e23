"""Watch a run as it happens, and decide about its side effects yourself.

python examples/events.py FOLDER
"""

import asyncio
import sys

from bottega import Bottega, Question

REQUEST = "Count the lines in kiln.log that contain ERROR and write the number to errors.txt"


async def approve(question: Question) -> bool:
    """Writing files is fine, everything else is not."""
    return question.tool is not None and question.tool.startswith("files/write")


async def main(folder: str) -> int:
    async with Bottega(folder, approve=approve) as bottega:
        async for event in bottega.stream(REQUEST):
            match event.type:
                case "planned":
                    print("plan:", *(f"{step.id} {step.tool}" for step in event.plan.steps), sep="\n  ")
                case "question_asked":
                    print("asked:", event.question.tool, event.question.arguments)
                case "step_finished":
                    print("done:", event.result.step, event.result.status, event.result.text)
                case "run_finished":
                    print(event.result.answer)
                    return event.result.exit_code
    return 1


sys.exit(asyncio.run(main(sys.argv[1])))
