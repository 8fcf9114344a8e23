"""The examples run as they stand, each as its own process, on a copy of the sample office."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
pytest.importorskip("bottega.agents.planners.house", reason="the house planner is not there yet")


@pytest.fixture
def office(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "office", tmp_path / "office"))


def run(name: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def errors_in(office: Path) -> int:
    return sum("ERROR" in line for line in (office / "kiln.log").read_text().splitlines())


def test_the_api_example_answers_both_questions(office: Path) -> None:
    done = run("ask.py", office, cwd=office)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(errors_in(office)) in done.stdout
    assert "succeeded: 2 steps" in done.stdout


def test_the_events_example_asks_and_writes_the_file(office: Path) -> None:
    done = run("events.py", office, cwd=office)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "asked: files/write_file" in done.stdout
    assert (office / "errors.txt").read_text().strip() == str(errors_in(office))


def test_the_page_about_runs_shows_what_works(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "office", tmp_path / "examples" / "office")
    text = (EXAMPLES.parent / "docs" / "runs.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.+?)```", text, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "succeeded\n", done.stderr
    assert (tmp_path / "examples" / "office" / "errors.txt").read_text().strip() == "3"


def test_the_tools_of_ones_own_follow_their_policy(tmp_path: Path) -> None:
    done = run("own_tools.py", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "large kiln is Piet's" in done.stdout
    assert "kilns/book was not approved: it is taken" in done.stdout
    assert "the rule for 'kilns/clear' says deny" in done.stdout


def test_the_specialist_of_ones_own_gets_the_request_and_answers_it(tmp_path: Path) -> None:
    done = run("own_specialist.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goes to porter" in done.stdout
    assert "glazing room" in done.stdout


def test_the_specialist_of_ones_own_says_when_it_does_not_know(tmp_path: Path) -> None:
    done = run("own_specialist.py", "Which room does Jonas Weber work in?", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Jonas Weber" in done.stdout
