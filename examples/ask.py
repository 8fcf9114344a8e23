"""Ask for several things at once, and look at more than the answer.

python examples/ask.py [FOLDER]
"""

import sys
from pathlib import Path

from bottega import Bottega

folder = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("office")

with Bottega(folder) as bottega:
    result = bottega.run("How many lines of kiln.log contain ERROR, and who has the highest amount in orders.csv?")

print(result.answer)
print(f"\n{result.status}: {len(result.results)} steps, {result.usage.tool_calls} calls, {result.usage.seconds:.1f} s")
for step in result.results:
    print(f"  {step.step} {step.status}: {[call.tool for call in step.calls]} -> {step.value!r:.60}")
sys.exit(result.exit_code)
