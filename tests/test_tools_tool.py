"""`Tool`, `@tool` and `Toolset`."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from bottega.core.errors import BudgetExceeded, ModelError, ToolError, UsageError
from bottega.tools import Tool, ToolContext, ToolResult, Toolset, Workspace, tool

Place = Annotated[str, Field(json_schema_extra={"format": "path"})]


class Room(BaseModel):
    name: str
    seats: int = 2


def call(made: Tool, folder: Path, **arguments: Any) -> ToolResult:
    return asyncio.run(made(ToolContext(Workspace.at(folder)), **arguments))


def test_the_schema_comes_from_signature_and_docstring() -> None:
    @tool(read_only=True)
    def room_of(person: str, floor: int = 1, kind: Literal["big", "small"] = "big") -> str:
        """Tell in which room
        a person works.

        More that is not for the catalog.

        Args:
            person: full name
                of the person
            floor (int): the floor
        """
        return person

    assert (room_of.name, room_of.description) == ("room_of", "Tell in which room a person works.")
    assert room_of.parameters == {
        "person": {"type": "string", "description": "full name of the person"},
        "floor": {"type": "integer", "default": 1, "description": "the floor"},
        "kind": {"type": "string", "enum": ["big", "small"], "default": "big"},
    }
    assert room_of.required == ("person",)
    assert room_of.input_schema["additionalProperties"] is False


def test_an_optional_parameter_keeps_its_format_and_is_not_required(tmp_path: Path) -> None:
    @tool
    def look(path: Place | None = None) -> str:
        return str(path)

    assert look.parameters == {"path": {"type": "string", "format": "path"}}
    assert look.required == ()
    assert call(look, tmp_path, path=None).text == "None"


def test_context_and_workspace_are_filled_and_not_shown(tmp_path: Path) -> None:
    @tool
    def where(context: ToolContext, workspace: Workspace, name: str) -> str:
        assert context.workspace == workspace
        return f"{workspace.root.name}/{name}"

    assert list(where.parameters) == ["name"]
    assert call(where, tmp_path, name="a").text == f"{tmp_path.name}/a"


def test_any_parameter_name_will_do(tmp_path: Path) -> None:
    @tool
    def odd(schema: str, copy: str, model_config: str, json: int, _x: int = 3) -> list[Any]:
        return [schema, copy, model_config, json, _x]

    assert list(odd.parameters) == ["schema", "copy", "model_config", "json", "_x"]
    assert call(odd, tmp_path, schema="a", copy="b", model_config="c", json=1).data == ["a", "b", "c", 1, 3]


def test_wrong_arguments_are_one_line_that_names_them(tmp_path: Path) -> None:
    @tool
    def add(left: int, right: int) -> int:
        return left + right

    missing = call(add, tmp_path, left="two", extra=1)
    assert missing.is_error
    assert "\n" not in missing.text
    for word in ("left", "'two'", "right", "required", "extra"):
        assert word in missing.text
    assert len(call(add, tmp_path, left="x" * 10_000, right=1).text) < 400
    assert call(add, tmp_path, left="2", right=3.0).data == 5


def test_a_number_is_taken_where_text_is_wanted(tmp_path: Path) -> None:
    @tool
    def note(text: str) -> str:
        return text

    assert call(note, tmp_path, text=42).text == "42"


def test_a_function_may_be_async(tmp_path: Path) -> None:
    @tool
    async def wait() -> int:
        await asyncio.sleep(0)
        return 7

    assert call(wait, tmp_path).data == 7


def test_results_become_json(tmp_path: Path) -> None:
    @tool
    def rooms() -> dict[str, Any]:
        return {"rooms": [Room(name="Oak")], "path": Path("a/b"), "share": float("nan")}

    assert call(rooms, tmp_path).data == {"rooms": [{"name": "Oak", "seats": 2}], "path": "a/b", "share": None}


def test_a_function_without_a_result_is_done(tmp_path: Path) -> None:
    @tool
    def ring() -> None: ...

    assert call(ring, tmp_path) == ToolResult("Done.")


def test_a_result_that_is_no_json_is_an_error_result(tmp_path: Path) -> None:
    @tool
    def thing() -> object:
        return object()

    result = call(thing, tmp_path)
    assert result.is_error
    assert "not JSON" in result.text


@pytest.mark.parametrize(
    "error", [ToolError("no room", hint="try Oak"), ModelError("no weights"), ValueError("bad"), OSError()]
)
def test_a_failing_tool_is_a_result_and_never_raises(tmp_path: Path, error: Exception) -> None:
    @tool
    def fail() -> str:
        raise error

    result = call(fail, tmp_path)
    assert result.is_error
    assert result.text


def test_a_spent_budget_is_not_the_tools_failure(tmp_path: Path) -> None:
    @tool
    def spend() -> str:
        raise BudgetExceeded("spent")

    with pytest.raises(BudgetExceeded):
        call(spend, tmp_path)


def test_a_tool_that_says_nothing_counts_as_unsafe() -> None:
    @tool
    def silent() -> str:
        return ""

    @tool(read_only=True)
    def reads() -> str:
        return ""

    @tool(destructive=False, idempotent=True, name="adds_up")
    def adds() -> str:
        return ""

    assert (silent.annotations.read_only, silent.annotations.destructive, silent.annotations.idempotent) == (
        False,
        True,
        False,
    )
    assert (reads.annotations.read_only, reads.annotations.destructive, reads.annotations.idempotent) == (
        True,
        False,
        True,
    )
    assert (adds.name, adds.annotations.destructive, adds.annotations.idempotent) == ("adds_up", False, True)


def test_a_function_that_cannot_be_a_tool_is_refused() -> None:
    class Unknown: ...

    def many(*names: str) -> str:
        return ""

    def loose(**options: str) -> str:
        return ""

    def strange(thing: Any) -> str:
        return ""

    strange.__annotations__["thing"] = Unknown
    for function in (many, loose, strange):
        with pytest.raises(UsageError, match=function.__name__):
            tool(function)


def test_a_toolset_gives_its_name_to_its_tools() -> None:
    @tool
    def one() -> str:
        return ""

    toolset = Toolset.of("house", "A house.", [one, dataclasses.replace(one, name="two")])
    assert [t.id for t in toolset] == ["house/one", "house/two"]
    assert len(toolset) == 2
    assert toolset["two"].server == "house"
    with pytest.raises(KeyError):
        toolset["three"]
    with pytest.raises(UsageError, match="'one'"):
        Toolset.of("house", "A house.", [one, one])
