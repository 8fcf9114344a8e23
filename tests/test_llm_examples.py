"""What the page about specialists shows is so: its example runs, its Python too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "specialists.md").read_text("utf-8")


def test_the_team_of_the_example_plans_a_tour(tmp_path: Path) -> None:
    script = str(ROOT / "examples" / "team.py")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("guide: A tour")
    assert lines[1].startswith("scout: In which rooms")
    assert sorted(lines[2:4]) == [
        "  scout/room_of {'person': 'Marta Leone'}",
        "  scout/room_of {'person': 'Piet de Vries'}",
    ]
    assert "stops: east hall, attic" in lines


def test_the_python_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.+?)```", PAGE, re.S):
        exec(compile(block, "docs/specialists.md", "exec"), names)
    assert names["guide"].team == (names["scout"],)
    assert [tool.id for tool in names["porter"].own_tools] == ["porter/room_of"]
    names["test_the_scout_looks_rooms_up"](tmp_path)


def test_the_page_names_every_field_that_only_language_models_have() -> None:
    from bottega import Specialist

    fields = [
        name for name in Specialist.__dataclass_fields__ if name not in ("name", "description", "examples", "model")
    ]
    assert all(f"| `{field}` |" in PAGE for field in fields)
