"""How often a request is taken for the workflow that it asks for, and how often for one that it does not ask for.

python benchmarks/workflows.py [--requests FILE.jsonl ...] [--all]

The workflows and requests are those of workflows.yaml; FILEs have further requests that ask for no workflow, each a
JSON object with `request`. Thresholds were chosen on the first half of the workflows; figures are for the second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bottega.agents.planners.matching import WorkflowMatcher
from bottega.agents.workflows import Workflow
from bottega.models.house.retriever import RetrieverModel

DATA = Path(__file__).with_name("workflows.yaml")


def workflow(entry: Mapping[str, Any], examples: str) -> Workflow:
    form = {key: entry[key] for key in ("name", "description", "inputs")}
    return Workflow.parse(yaml.safe_dump({**form, "examples": entry[examples], "steps": [{"do": "it"}]}), str(DATA))


def right(found: Mapping[str, Any], meant: Mapping[str, Any]) -> bool:
    def alike(value: Any, wanted: Any) -> bool:
        return value in wanted if isinstance(wanted, list) else bool(value == wanted)

    return found.keys() == meant.keys() and all(alike(found[name], meant[name]) for name in meant)


def measure(entries: Sequence[Mapping[str, Any]], examples: str, others: Sequence[str], tell: bool) -> dict[str, str]:
    matcher = WorkflowMatcher([workflow(e, examples) for e in entries], RetrieverModel.open().encode_requests)
    counts = {"meant": 0, "taken": 0, "wrong inputs": 0, "other": 0, "taken for it": 0}
    for entry in entries:
        for request, inputs in entry["meant"]:
            counts["meant"] += 1
            match = matcher.match(request)
            if match is not None and not match.problem and match.workflow.name == entry["name"]:
                counts["taken" if right(match.inputs, inputs) else "wrong inputs"] += 1
            if tell and not (match and not match.problem and right(match.inputs, inputs)):
                print(f"  not taken: {request} {match and (match.problem or dict(match.inputs))}")
    for request in [*(request for entry in entries for request in entry["other"]), *others]:
        counts["other"] += 1
        match = matcher.match(request)
        counts["taken for it"] += match is not None and not match.problem
        if tell and match and not match.problem:
            print(f"  taken for {match.workflow.name}: {request} {dict(match.inputs)}")
    return {key: str(value) for key, value in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--all", action="store_true", help="show the other half too, and what is not taken")
    options = parser.parse_args()
    others = [json.loads(line)["request"] for path in options.requests for line in path.read_text("utf-8").splitlines()]
    data = yaml.safe_load(DATA.read_text("utf-8"))
    for part in ("chosen_on", "measured_on") if options.all else ("measured_on",):
        for examples in ("examples", "named"):
            counts = measure(data[part], examples, others, options.all)
            print(f"{part}, {examples}: " + ", ".join(f"{key} {count}" for key, count in counts.items()))


if __name__ == "__main__":
    main()
