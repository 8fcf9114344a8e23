"""What the catalog keeps on disk outlives kills, and what cannot be kept or is damaged stops nobody."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.tools.catalog import Catalog
from bottega.tools.catalog.definition import changed_parts, difference, fingerprint, written
from bottega.tools.mcp.definitions import clean

Json = Any


def definition(name: str, description: str = "") -> dict[str, Json]:
    return {"name": name, "description": description or f"Does {name}.", "inputSchema": {"type": "object"}}


def kept(folder: Path) -> Catalog:
    return Catalog.open([], folder, folder / "kept")


def ids(folder: Path) -> list[str]:
    return [tool.id for tool in kept(folder).tools()]


def problem(folder: Path) -> str:
    """What the catalog of this folder says about itself."""
    return "; ".join(text for name, text in kept(folder).problems() if not name)


def test_who_only_looks_leaves_no_trace(tmp_path: Path) -> None:
    assert ids(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    kept(tmp_path).add({"s": [definition("a")]})
    assert {file.name for file in (tmp_path / "kept").iterdir()} == {"catalog.db", ".gitignore"}
    assert ids(tmp_path) == ["s/a"]


WRITER = """
import sys
from bottega.tools.catalog import Catalog

catalog = Catalog.open([], ".", sys.argv[1])
print("open", flush=True)
for n in range(100_000):
    size = 40 + n % 3
    catalog.add({"s": [
        {"name": f"t{i}", "description": f"{n} of {size}", "inputSchema": {"type": "object"}} for i in range(size)
    ]})
    catalog.approve(["s"]) if n else None
    print(n, flush=True)
"""


def test_a_kill_while_it_writes_leaves_a_whole_list(tmp_path: Path) -> None:
    kept(tmp_path).add({"other": [definition("a")]})
    for rounds in (1, 6):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "kept")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            for _ in range(rounds):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        catalog = kept(tmp_path)
        assert catalog.get("other/a") is not None
        told = [tool.description for tool in catalog.tools() if tool.server == "s"] or [
            json.loads(line)["description"]
            for held in catalog.held_back()
            for line in [
                "{" + next(x for x in held.difference if x.startswith("+") and "desc" in x)[1:].rstrip(",") + "}"
            ]
        ]
        if told:
            (one,) = {*told}
            assert one.endswith(f" of {len(told)}")
        assert problem(tmp_path) == ""


@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "bits"])
def test_a_damaged_file_is_put_aside_and_told(tmp_path: Path, damage: str) -> None:
    kept(tmp_path).add({"s": [definition(f"t{n}", "x" * 500) for n in range(40)]})
    file = tmp_path / "kept" / "catalog.db"
    raw = bytearray(file.read_bytes())
    match damage:
        case "cut":
            raw = raw[: len(raw) // 2]
        case "zeros":
            raw[4096:12_288] = bytes(8192)
        case "text":
            raw = bytearray(b"hello\n" * 100)
        case "bits":
            at = raw.index(b"x" * 400) + 200
            raw[at] ^= 4
    file.write_bytes(raw)
    catalog = kept(tmp_path)
    assert catalog.tools() == []
    (told,) = [text for name, text in catalog.problems() if not name]
    assert told.startswith("what was known of servers is lost, and what they say now is trusted: ")
    assert told.endswith("catalog.db.damaged)")
    catalog.add({"s": [definition("a")]})
    assert (ids(tmp_path), problem(tmp_path)) == (["s/a"], "")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30))
def test_no_damage_whatever_ends_in_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, bytes_: list[tuple[float, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    kept(folder).add({"s": [definition("a", "A description that takes room. " * 200), definition("b")]})
    file = folder / "kept" / "catalog.db"
    raw = bytearray(file.read_bytes())
    for at, byte in bytes_:
        raw[int(at * len(raw))] = byte
    file.write_bytes(raw)
    for _ in range(2):
        catalog = kept(folder)
        for tool in catalog.tools():
            assert tool.input_schema == {"type": "object"}
            assert tool.description in ("Does b.", "A description that takes room. " * 200)
        catalog.problems()
        catalog.add({"s": [definition("b")]})
        assert [tool.id for tool in catalog.tools()] == ["s/b"]


@pytest.mark.parametrize("place", ["a file", "a link", "a newer version", "a folder", "no rights"])
def test_where_nothing_can_be_kept_it_works_without(tmp_path: Path, place: str) -> None:
    match place:
        case "a file":
            (tmp_path / "kept").write_text("in the way")
        case "a link":
            (tmp_path / "elsewhere").mkdir()
            (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
        case "a newer version":
            (tmp_path / "kept").mkdir()
            sqlite3.connect(tmp_path / "kept" / "catalog.db").execute("PRAGMA user_version = 99")
        case "a folder":
            (tmp_path / "kept" / "catalog.db").mkdir(parents=True)
        case "no rights":
            kept(tmp_path).add({"other": [definition("a")]})
            if os.geteuid() == 0:
                pytest.skip("root may write everywhere")
            (tmp_path / "kept" / "catalog.db").chmod(0o400)
    catalog = kept(tmp_path)
    catalog.add({"s": [definition("a")]})
    assert catalog.get("s/a") is not None
    (told,) = [text for name, text in catalog.problems() if not name]
    assert told.startswith("what servers have is not kept: ")
    assert "s/a" not in ids(tmp_path)
    assert not list(tmp_path.glob("elsewhere/*"))


FULL = """
import resource, sys
from bottega.tools.catalog import Catalog

catalog = Catalog.open([], ".", sys.argv[1])
assert [tool.id for tool in catalog.tools()] == ["s/a"]
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
catalog.add({"t": [{"name": f"t{n}", "description": "x" * 500, "inputSchema": {"type": "object"}} for n in range(200)]})
print(len(catalog.tools()), *[text for _, text in catalog.problems()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to set")
def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    kept(tmp_path).add({"s": [definition("a")]})
    command = [sys.executable, "-c", FULL, str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("201 what servers have is not kept: ")
    assert (ids(tmp_path), problem(tmp_path)) == (["s/a"], "")


def test_two_at_once_both_keep_what_they_hear(tmp_path: Path) -> None:
    one, other = kept(tmp_path), kept(tmp_path)
    one.add({"s": [definition("a")]})
    assert [tool.id for tool in other.tools()] == ["s/a"]
    other.add({"t": [definition("b")]})
    assert {tool.id for tool in one.tools()} == {"s/a", "t/b"} == {*ids(tmp_path)}


def test_a_file_that_another_process_keeps_to_itself_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bottega.tools.catalog.store.WAIT", 0.05)
    before = kept(tmp_path)
    before.add({"s": [definition("a")]})
    other = sqlite3.connect(tmp_path / "kept" / "catalog.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("DELETE FROM calls")
    assert [tool.id for tool in before.tools()] == ["s/a"]
    meanwhile = kept(tmp_path)
    assert "locked" in "; ".join(text for _, text in meanwhile.problems())
    meanwhile.add({"t": [definition("b")]})
    assert meanwhile.get("t/b") is not None
    other.execute("ROLLBACK")
    assert ids(tmp_path) == ["s/a"]
    assert not (tmp_path / "kept" / "catalog.db.damaged").exists()


TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DEFINITIONS = st.fixed_dictionaries(
    {"name": st.sampled_from("abc"), "inputSchema": st.dictionaries(TEXT, JSON, max_size=3)},
    optional={"title": TEXT, "description": TEXT, "outputSchema": st.dictionaries(TEXT, JSON), "annotations": JSON},
)


def turned(value: Json) -> Json:
    """The same value with the keys of all objects the other way round."""
    if isinstance(value, dict):
        return {key: turned(part) for key, part in reversed(value.items())}
    return [turned(part) for part in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(DEFINITIONS, DEFINITIONS)
def test_fingerprints_are_equal_exactly_where_definitions_are(one: dict[str, Json], other: dict[str, Json]) -> None:
    assert fingerprint(one) == fingerprint(turned(one)) == fingerprint(json.loads(written(one)))
    said = [json.dumps({k: v for k, v in d.items() if v is not None}, sort_keys=True) for d in (one, other)]
    assert (fingerprint(one) == fingerprint(other)) == (said[0] == said[1])
    assert bool(difference(one, other)) == (said[0] != said[1])
    if one["name"] == other["name"]:
        assert bool(changed_parts(one, other)) == bool(difference(one, other))


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("a\\ubfr\b\f\r\n\t\x1b[0m\x7f\x9b\u202e\u200b\U000e0041é\ud800"), max_size=12))
def test_what_is_shown_of_a_kept_tool_holds_nothing_hidden(text: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": text}}}
    catalog = Catalog.open([], ".")
    catalog.add({"s": [definition("a", f"x{text}") | {"inputSchema": schema}]})
    (tool,) = catalog.tools()
    assert tool.parameters["a"]["description"] == clean(text).encode("utf-8", "replace").decode()
    assert tool.description == clean(f"x{text}").encode("utf-8", "replace").decode()
    assert replace(tool, server="t").parameters == tool.parameters


TOLD = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["one", "two", "three"]), min_size=1)
STEPS = st.lists(TOLD | st.sets(st.sampled_from("abc"), min_size=1, max_size=1) | st.just("restart"), max_size=10)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_only_what_was_first_seen_or_approved_is_ever_offered(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Against a model in five lines: what is trusted, and what is told."""
    folder = tmp_path_factory.mktemp("pins")
    catalog = kept(folder)
    trusted: dict[str, str] = {}
    told: dict[str, str] = {}
    for step in steps:
        if step == "restart":
            catalog = kept(folder)
        elif isinstance(step, dict):
            before, told = told, step
            trusted = step | trusted
            (change,) = catalog.add({"s": [definition(name, text) for name, text in step.items()]})
            assert {*change.removed} == {f"s/{name}" for name in before.keys() - step.keys()}
            assert {f"s/{name}" for name in step.keys() - before.keys()} <= {*change.added}
        else:
            held = {name for name in step if name in told and told[name] != trusted[name]}
            if held:
                assert catalog.approve([f"s/{name}" for name in held]) == [f"s/{name}" for name in held]
            trusted |= {name: told[name] for name in held}
        offered = {tool.name: tool.description for tool in catalog.tools()}
        assert offered == {name: text for name, text in told.items() if trusted[name] == text}
        assert {one.id for one in catalog.held_back()} == {f"s/{name}" for name in told.keys() - offered.keys()}
