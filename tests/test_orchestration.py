"""The job of the orchestration benchmark, once: a supervisor with four workers, and the same job planned first."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "orchestration.py"


@pytest.fixture(scope="module")
def figures() -> dict[str, int]:
    """Adapter -> model calls that the scripted server saw; every answer was complete."""
    benchmark = runpy.run_path(str(BENCHMARK))
    scene = benchmark["Scene"](latency=0.05)
    found = benchmark["measure"]([benchmark["FLOOR"], *benchmark["OURS"]], None, [scene], 1).figures[scene]
    assert {name: measured.problem for name, measured in found.items()} == dict.fromkeys(found, "")
    assert {name: measured.peak for name, measured in found.items() if measured.calls == 10} == {
        "openai_client": 4,
        "bottega_supervisor": 4,
    }
    return {name: measured.calls for name, measured in found.items()}


def test_a_supervisor_makes_no_more_model_calls_than_the_job_needs(figures: dict[str, int]) -> None:
    assert figures["bottega_supervisor"] == figures["openai_client"] == 10


def test_planned_first_the_job_takes_two_model_calls(figures: dict[str, int]) -> None:
    assert figures["bottega_plan_first"] == 2
