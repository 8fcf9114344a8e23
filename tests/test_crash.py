"""A run that is killed anywhere goes on where it was: nothing finished is done again, nothing is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CRASHING = Path(__file__).with_name("crashing.py")


def crash(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(CRASHING), *arguments], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["problems"] == {}, done.stderr
    return result


@pytest.mark.timeout(300)
def test_a_run_may_die_at_any_durable_write(ledger_url: str) -> None:
    # 20 steps, of which six change something; every write is died at just before and just after.
    result = crash("matrix", "--ledger", ledger_url)
    assert result["points"] > 50
    assert result["kills"] >= 2 * result["points"] - 2  # beats of the lease make one more on a slow machine
    assert result["uncertain"] > 0


@pytest.mark.timeout(300)
def test_a_run_may_be_killed_at_any_moment_with_approvals_pending(ledger_url: str) -> None:
    result = crash("random", "--ledger", ledger_url, "--kills", "15", "--seed", "3")
    assert result["kills"] >= 15
