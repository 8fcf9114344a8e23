"""Workflows in YAML: read with errors that say where, planned with inputs, run, and found for the requests they do."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega import Bottega
from bottega.agents.plan import Each, Plan, Reference, Route, Step, StepResult
from bottega.agents.planners.matching import WorkflowMatcher
from bottega.agents.planners.workflows import WorkflowPlanner, WorkflowRouter
from bottega.agents.planning import PlanningContext
from bottega.agents.workflows import Input, Workflow, WorkflowStep, find_workflow, read_workflows
from bottega.cli.group import run
from bottega.core.errors import ConfigError, UsageError
from bottega.models.house.retriever import RetrieverModel
from bottega.testing import ScriptedPlanner, ScriptedRouter
from bottega.tools import Tool, Workspace
from bottega.tools.house import house_toolsets

EXAMPLES = Path(__file__).parents[1] / "examples"
EXAMPLE = EXAMPLES / "count_errors.yaml"
TOOLS: tuple[Tool, ...] = tuple(tool for toolset in house_toolsets() for tool in toolset)

GOOD = """\
name: count-errors
description: Counts the lines of a log that hold a word, and writes the number to a file.
examples:
  - Count the $word lines of $log and write the number to $report
inputs:
  log: {type: path, description: the log to look at}
  word: {default: ERROR}
  report:
    type: path
    default: errors.txt
steps:
  - id: count
    do: Count the lines of $log that contain $word
    tool: search/count_matching_lines
    with: {path: $log, text: $word}
  - id: write
    do: Write the number to $report
    tool: files/write_file
    with: {path: $report, content: $count}
answer: write
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def steps(text: str, **inputs: Any) -> Sequence[Step]:
    """The steps of a workflow of which only the steps are written."""
    return Workflow.parse(f"name: x\n{text}", "x.yaml").plan(inputs).steps


def reference(id: str, path: str = "") -> Reference:
    return Reference(**{"from": id, "path": path})


# What a workflow becomes


def test_a_workflow_with_its_inputs_is_a_plan() -> None:
    plan = Workflow.parse(GOOD).plan({"log": "kiln.log", "word": "WARNING"})
    assert plan.request == "Counts the lines of a log that hold a word, and writes the number to a file."
    count, write = plan.steps
    assert count.instruction == "Count the lines of kiln.log that contain WARNING"
    assert count.arguments == {"path": "kiln.log", "text": "WARNING"}
    assert write.arguments == {"path": "errors.txt", "content": reference("count")}
    assert (write.needs, count.reported, write.reported) == (("count",), False, True)


def test_the_request_that_was_made_is_the_plans() -> None:
    assert Workflow.parse(GOOD).plan({"log": "a"}, "Count them").request == "Count them"


def test_a_result_may_be_taken_by_a_path_and_inside_lists() -> None:
    _, two = steps("steps: [{id: one, do: x}, {tool: t, with: {a: $one.rows.0.total, b: [1, {c: $one}]}}]")
    assert two.id == "s2"
    assert two.arguments == {"a": reference("one", "rows.0.total"), "b": [1, {"c": reference("one")}]}


def test_values_keep_their_types_alone_and_are_words_in_texts() -> None:
    text = """\
inputs: {n: {type: integer}, x: {type: number}, yes_: {type: boolean}, many: {type: list}, file: {type: path}}
steps:
  - do: $n of ${x}m, $yes_, $many, $file.bak, $$5.
    tool: t
    with: {n: $n, x: $x, y: $yes_, m: $many, f: $file.md}
"""
    (step,) = steps(text, n="3", x="2.5", yes_="yes", many="Alder, Cedar", file="a")
    assert step.arguments == {"n": 3, "x": 2.5, "y": True, "m": ["Alder", "Cedar"], "f": "a.md"}
    assert step.instruction == "3 of 2.5m, yes, Alder, Cedar, a.bak, $5."


def test_each_makes_a_call_for_every_item() -> None:
    text = """\
inputs: {tanks: {type: list}}
steps: [{id: a, tool: t, each: {tank: $tanks, unit: [c, f]}}, {tool: t, each: {x: $a}}]
"""
    one, two = steps(text, tanks=["Coral", "Kelp"])
    assert one.arguments == {"tank": Each(each=("Coral", "Kelp")), "unit": Each(each=("c", "f"))}
    assert two.arguments == {"x": Each(each=reference("a"))}


def test_an_input_that_is_left_out_leaves_its_argument_out() -> None:
    text = "inputs: {unit: {default: }}\nsteps: [{tool: t, do: In $unit, with: {unit: $unit, other: null}}]"
    assert steps(text)[0].arguments == {"other": None}
    assert steps(text, unit="feet")[0].arguments == {"unit": "feet", "other": None}


def test_a_step_without_a_tool_is_left_to_its_specialist_and_waits_for_what_it_names() -> None:
    text = """\
steps:
  - {id: find, tool: files/list_files}
  - {id: sum, do: "Sum up $find and the size of $find.0.", specialist: writer, expects: a sentence, retries: 2}
  - {do: Plan the rest, goal: true, share: 0.5, after: sum}
"""
    find, summed, rest = steps(text)
    assert find.instruction == "list files"
    assert summed.instruction == "Sum up the result of find and the size of 0 of the result of find."
    assert (summed.specialist, summed.tool, summed.needs, summed.retries) == ("writer", None, ("find",), 2)
    assert (rest.goal, rest.share, rest.after) == (True, 0.5, ("sum",))


@given(st.text(min_size=1, max_size=60))
def test_the_value_of_an_input_is_never_read_as_anything_else(value: str) -> None:
    plan = Workflow.parse(GOOD).plan({"log": value, "word": f"$count {value}"})
    assert plan["count"].arguments == {"path": value, "text": f"$count {value}"}
    assert plan["count"].needs == ()


@pytest.mark.parametrize("value", ["$count", "${count}", "$$", "{'from': 'count'}", "{log}"])
def test_a_value_that_looks_like_a_reference_is_a_text(value: str) -> None:
    plan = Workflow.parse(GOOD).plan({"log": value})
    assert plan["count"].arguments["path"] == value
    assert value in plan["count"].instruction


def test_texts_that_yaml_takes_for_something_else_are_texts() -> None:
    text = "steps: [{tool: t, with: {a: no, b: 16:30, c: 2026-03-01, d: 012, e: on, f: 1.5, g: true, h: ~, i: 12}}]"
    assert steps(text)[0].arguments == {
        **{"a": "no", "b": "16:30", "c": "2026-03-01", "d": "012", "e": "on"},
        **{"f": 1.5, "g": True, "h": None, "i": 12},
    }


# Inputs


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "the workflow 'count-errors' lacks its log (log is the log to look at)"),
        ({"lgo": "x"}, "the workflow 'count-errors' has no input 'lgo' (did you mean log?)"),
        ({"log": 5}, "the input 'log' of the workflow 'count-errors' is 5, which is not text (put it in quotes)"),
    ],
)
def test_wrong_inputs_are_said_in_one_line(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        Workflow.parse(GOOD).plan(inputs)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("integer", [("3", 3), (3, 3), (3.0, 3), ("-3", -3)], ["x", 2.5, "2.5", True, None, [1], "", "inf"]),
        ("number", [("3", 3), ("2.5", 2.5), (1, 1), ("-1e3", -1000.0)], ["x", False, "nan", "inf", 10**400, {}, None]),
        ("boolean", [("yes", True), ("False", False), (True, True)], ["perhaps", 1, None, ""]),
        ("list", [("a, b", ["a", "b"]), ('["a", 2]', ["a", 2]), (["x"], ["x"])], [5, None, "[1", [[1]], {"a": 1}]),
        ("text", [("x", "x"), ("", "")], [5, True, None, ["x"]]),
    ],
)
def test_an_input_takes_what_is_of_its_type(kind: str, good: list[tuple[Any, Any]], bad: list[Any]) -> None:
    text = f"name: x\ninputs: {{v: {{type: {kind}}}}}\nsteps: [{{tool: t, with: {{v: $v}}}}]"
    for value, taken in good:
        found = Workflow.parse(text).plan({"v": value}).steps[0].arguments["v"]
        assert (found, type(found)) == (taken, type(taken))
    for value in bad:
        with pytest.raises(UsageError, match="the input 'v' of the workflow 'x' is "):
            Workflow.parse(text).plan({"v": value})


def test_options_are_taken_in_any_case_and_nothing_else_is() -> None:
    workflow = Workflow.parse("name: x\ninputs: {v: {options: [Coral, Kelp]}}\nsteps: [{tool: t, with: {v: $v}}]")
    assert workflow.plan({"v": "coral"}).steps[0].arguments == {"v": "Coral"}
    with pytest.raises(UsageError, match="not one of Coral, Kelp"):
        workflow.plan({"v": "Lagoon"})


def test_the_inputs_are_a_json_schema() -> None:
    schema = Workflow.parse(GOOD).input_schema
    assert schema["required"] == ["log"]
    assert schema["properties"]["log"] == {"type": "string", "format": "path", "description": "the log to look at"}
    assert schema["properties"]["word"] == {"type": "string", "default": "ERROR"}


# Errors in the file

WRONG = [
    ("name: count-errors\n", "", "line 1: `name:` is missing (add it)"),
    ("name: count-errors", "name: 5", "line 1, name: it has to be text (in quotes, where YAML reads it"),
    ("name: count-errors", "nam: x\nname: y", "line 1, nam: 'nam' is not known here (did you mean name?)"),
    ("name: count-errors", "name: ''", "line 1, name: a workflow needs a name"),
    ("type: path,", "type: pth,", "line 6, inputs.log.type: it is 'pth'"),
    ("default: ERROR", "default: 5", "line 7, inputs.word.default: it is 5, which is not text"),
    ("default: ERROR", "defalt: x", "line 7, inputs.word.defalt: 'defalt' is not known here (did you mean default?)"),
    ("  word: {", "  'a b': {", "line 7, inputs.a b: 'a b' cannot be the name of an input"),
    ("type: path\n", "type: path\n    options: [a]\n", "line 10, inputs.report.options: only an input of type text"),
    ("tool: search", "tol: search", "line 14, steps[0].tol: 'tol' is not known here (did you mean tool?)"),
    ("lines of $log that", "lines of $lug that", "line 13, steps[0].do: there is no input or step 'lug' (did you"),
    ("text: $word", "text: $5 $money", "line 15, steps[0].with.text: there is no input or step 'money' (write $$"),
    ("content: $count", "content: [$cuont]", "line 19, steps[1].with.content[0]: there is no input or step 'cuont'"),
    ("content: $count", "content: $count lines", "line 19, steps[1].with.content: the result of 'count' stands inside"),
    ("content: $count", "content: {from: count}", "line 19, steps[1].with.content: this is how a plan refers"),
    ("lines of $log and", "lines of $lug and", "line 4, examples[0]: there is no input 'lug' (did you mean log?)"),
    ("id: write", "id: count", "line 16, steps[1].id: 'count' is the name of another step too"),
    ("id: write", "id: log", "line 16, steps[1].id: 'log' is the name of an input too"),
    ("id: write", "id: a/b", "line 16, steps[1].id: 'a/b' cannot be the name of a step"),
    ("answer: write", "answer: [wrote]", "line 20, answer: there is no step 'wrote' (did you mean write?)"),
    ("text: $word", "text: $write", "line 12, steps[0]: the steps count, write wait for each other"),
    ("    do: Write", "    after: write\n    do: Write", "line 16, steps[1]: the step write waits for itself"),
    ("    do: Write", "    after: [cont]\n    do: Write", "line 17, steps[1].after: there is no step 'cont'"),
    ("    do: Write", "    goal: true\n    do: Write", "line 17, steps[1].goal: a goal has no tool"),
    ("    do: Write", "    goal: yes\n    do: Write", 'line 17, steps[1].goal: it has to be true or false, not "yes"'),
    ("    do: Write", "    share: 3\n    do: Write", "line 17, steps[1].share: "),
    ("    do: Write", "    each: {path: [a]}\n    do: Write", "line 17, steps[1].each.path: 'path' stands under"),
    ("    do: Write", "    each: {x: $log}\n    do: Write", "line 17, steps[1].each.x: it has to be a list"),
    ("    tool: files/write_file\n", "", "line 18, steps[1].with.path: arguments are for a tool, and the"),
    ("    with: {path: $log, text: $word}", "    with: x", "line 15, steps[0].with: it has to be lines of `name:"),
    ("steps:", "steps: []\nx:", "line 11, steps: it has to be a list of at least one"),
    ("steps:", "steps:\n  - {}", "line 12, steps[0]: the step says neither what to do nor with which tool"),
    ("answer: write", "answer: write\nname: again", "line 21 cannot be read: 'name' stands twice"),
    ("answer: write", "answer: [write", "line 21 cannot be read: "),
    ("answer: write", "answer: *write", "line 20 cannot be read: aliases (*name) are not read"),
    ("answer: write", "answer: !!python/object:os.system x", "line 20 cannot be read: the tag !!python/object"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_an_error_names_the_line_and_the_key(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Workflow.parse(changed(old, new), "count.yaml")
    assert str(error.value).startswith(f"count.yaml {said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "5", "a\0b", "[" * 5_000, "a: " + "9" * 5_000])
def test_what_is_no_workflow_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yaml"):
        Workflow.parse(text, "x.yaml")


@given(st.text(max_size=200) | st.sampled_from([GOOD]).flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[:n])))
def test_any_text_is_a_workflow_or_a_config_error(text: str) -> None:
    told = ""
    try:
        Workflow.parse(text)
    except ConfigError as error:
        told = str(error)
    assert "\n" not in told


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        Workflow.read(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="there is no file"):
        Workflow.read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: a\ndescription: caf\xe9".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml line 2 is not UTF-8 text"):
        Workflow.read(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        Workflow.read(tmp_path / "large.yaml")


def test_tools_arguments_and_specialists_are_checked_against_what_is_there() -> None:
    Workflow.parse(GOOD).check(TOOLS, [])
    for old, new, said in [
        (
            "files/write_file",
            "files/writefile",
            "line 18, steps[1].tool: there is no tool 'files/writefile' (did you mean",
        ),
        (
            "content: $count",
            "contents: $count",
            "line 19, steps[1].with.contents: files/write_file takes no 'contents'",
        ),
        (", content: $count", "", "line 18, steps[1].tool: files/write_file needs content"),
        (
            "    do: Write",
            "    specialist: writr\n    do: Write",
            "line 17, steps[1].specialist: there is no specialist",
        ),
    ]:
        with pytest.raises(ConfigError) as error:
            Workflow.parse(changed(old, new), "count.yaml").check(TOOLS, ["writer"])
        assert str(error.value).startswith(f"count.yaml {said}")


def test_a_tool_that_takes_the_whole_instruction_needs_no_argument_for_it() -> None:
    text = "name: x\nsteps: [{do: Who spent the most, tool: tables/ask_table, with: {path: orders.csv}}]"
    Workflow.parse(text).check(TOOLS, [])


# The workflows of a folder


def write(folder: Path, name: str, text: str = GOOD) -> Path:
    path = folder / ".bottega" / "workflows" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_workflows_of_a_folder_are_read_in_order(tmp_path: Path) -> None:
    assert read_workflows(tmp_path) == []
    write(tmp_path, "b.yml", changed("name: count-errors", "name: one"))
    write(tmp_path, "a.yaml", changed("name: count-errors", "name: two"))
    write(tmp_path, "notes.txt", "nothing")
    assert [one.name for one in read_workflows(tmp_path)] == ["two", "one"]


def test_two_of_one_name_are_a_mistake_and_a_broken_one_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    write(tmp_path, "b.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml line 1, name: .*a\.yaml has the name 'count-errors' too"):
        read_workflows(tmp_path)
    write(tmp_path, "b.yaml", "name: b")
    with pytest.raises(ConfigError, match=r"b\.yaml line 1: `steps:` is missing"):
        read_workflows(tmp_path)


def test_a_workflow_is_found_by_file_or_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml")
    assert find_workflow("count-errors", tmp_path).file.source == str(path)
    assert find_workflow(str(path), tmp_path / "elsewhere").name == "count-errors"
    with pytest.raises(UsageError, match="did you mean count-errors"):
        find_workflow("count-error", tmp_path)
    with pytest.raises(UsageError, match="name a YAML file"):
        find_workflow("x", tmp_path / "elsewhere")


# Which requests ask for a workflow

MINUTES = """\
name: minutes
description: Summarises the minutes of a meeting and saves the summary beside them.
examples:
  - Sum up the minutes in meeting.md for those who were not there
inputs:
  minutes: {type: path, description: the minutes}
steps:
  - {id: short, do: Summarise $minutes, tool: text/summarize, with: {path: $minutes}}
  - {do: Save the summary, tool: files/write_file, with: {path: summary.md, content: $short}}
"""
LOGS = """\
name: compare logs
examples: ["Compare $logs by $count words, quietly: $quiet"]
inputs: {logs: {type: list}, count: {type: integer}, quiet: {type: boolean}}
steps: [{do: Compare $logs}]
"""


@pytest.fixture(scope="module")
def matcher() -> WorkflowMatcher:
    found = [Workflow.parse(text) for text in (GOOD, MINUTES, LOGS)]
    return WorkflowMatcher(found, RetrieverModel.open().encode_requests)


@pytest.mark.parametrize(
    ("request_text", "name", "inputs"),
    [
        (
            "Count the WARNING lines of web.log and write the number to w.txt.",
            "count-errors",
            {"word": "WARNING", "log": "web.log", "report": "w.txt"},
        ),
        (
            "count the 'no paper' lines of web.log\nand write the number to \"my notes.txt\"",
            "count-errors",
            {"word": "no paper", "log": "web.log", "report": "my notes.txt"},
        ),
        ("Sum up the minutes in june.md for those who were not there", "minutes", {"minutes": "june.md"}),
        ("Please sum up the minutes in board.md for those who were not there!", "minutes", {"minutes": "board.md"}),
        ("Run the workflow count-errors on kiln.log", "count-errors", {"log": "kiln.log"}),
        (
            "Compare a.log, b.log and c.log by 3 words, quietly: yes",
            "compare logs",
            {"logs": ["a.log", "b.log", "c.log"], "count": 3, "quiet": True},
        ),
    ],
)
def test_a_request_like_an_example_asks_for_the_workflow(
    matcher: WorkflowMatcher, request_text: str, name: str, inputs: dict[str, Any]
) -> None:
    match = matcher.match(request_text)
    assert match is not None
    assert (match.workflow.name, match.problem, dict(match.inputs)) == (name, "", inputs)


@pytest.mark.parametrize(
    "request_text",
    [
        "Count the ERROR lines of kiln.log",
        "Count the ERROR lines of kiln.log and write the number to errors.txt and mail it to Ada Okoye",
        "Do not count the ERROR lines of kiln.log and write the number to errors.txt",
        "Count the words of kiln.log and write the number to words.txt",
        "Send the minutes in meeting.md to those who were not there",
        "How many minutes does the meeting take?",
        "What is 12 * 12?",
        "",
        "x " * 5_000,
    ],
)
def test_a_request_for_more_for_less_or_for_something_else_does_not(
    matcher: WorkflowMatcher, request_text: str
) -> None:
    match = matcher.match(request_text)
    assert match is None or match.problem


def test_a_workflow_that_is_named_but_lacks_an_input_says_which(matcher: WorkflowMatcher) -> None:
    match = matcher.match("run the minutes workflow")
    assert match is not None
    assert match.problem == "the request does not say its minutes"


def context(folder: Path, tools: tuple[Tool, ...] = TOOLS) -> tuple[PlanningContext, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    at = Workspace.at(folder)
    return PlanningContext(at, tools, (), lambda level, text: told.append((level, text))), told


OWN = Step(id="own", instruction="own", tool="calc/calculate", arguments={"expression": "1"})


def test_the_planner_plans_by_the_workflow_and_leaves_the_rest_to_another(
    matcher: WorkflowMatcher, tmp_path: Path
) -> None:
    inner = ScriptedPlanner([OWN], revision=[OWN])
    planner = WorkflowPlanner(inner, matcher)
    given, told = context(tmp_path)
    request = "Sum up the minutes in june.md for those who were not there"
    plan = asyncio.run(planner.plan(request, given))
    assert (plan.request, [step.id for step in plan.steps]) == (request, ["short", "s2"])
    assert told == [("info", "planned by the workflow 'minutes'")]
    assert inner.requests == []
    assert [step.id for step in asyncio.run(planner.plan("What is 1 + 1?", given)).steps] == ["own"]
    failed = {"short": StepResult(step="short", status="failed", error="no file")}
    second = asyncio.run(planner.revise(plan, failed, given))
    assert second is not None
    assert inner.failures == ["no file"]


def test_a_workflow_whose_tool_is_not_there_is_told_of_and_not_run(matcher: WorkflowMatcher, tmp_path: Path) -> None:
    given, told = context(tmp_path, tuple(t for t in TOOLS if t.id != "text/summarize"))
    request = "Sum up the minutes in june.md for those who were not there"
    plan = asyncio.run(WorkflowPlanner(ScriptedPlanner([OWN]), matcher).plan(request, given))
    assert [step.id for step in plan.steps] == ["own"]
    ((level, text),) = told
    assert level == "warning"
    assert "there is no tool 'text/summarize'" in text


def test_a_workflow_that_lacks_an_input_is_told_of_and_not_run(matcher: WorkflowMatcher, tmp_path: Path) -> None:
    given, told = context(tmp_path)
    asyncio.run(WorkflowPlanner(ScriptedPlanner([OWN]), matcher).plan("Run the workflow minutes", given))
    assert told == [("info", "the workflow 'minutes' is not run: the request does not say its minutes")]


def test_a_request_for_a_workflow_is_planned_whatever_the_router_thinks(
    matcher: WorkflowMatcher, tmp_path: Path
) -> None:
    router = WorkflowRouter(ScriptedRouter(Route(kind="cannot")), matcher)
    given, _ = context(tmp_path)
    assert asyncio.run(router.route("Run the workflow count-errors on kiln.log", given)).kind == "plan"
    assert asyncio.run(router.route("Fly to the moon", given)).kind == "cannot"


# Running them

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def office(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "office", tmp_path / "office"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, office: Path) -> Cli:
    """Runs a command line in the sample office, without a terminal."""
    monkeypatch.chdir(office)
    for name in [name for name in os.environ if name.startswith("BOTTEGA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        code = run(arguments)
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


def test_the_example_is_shown_as_a_plan(cli: Cli) -> None:
    code, out, err = cli("plan", "--workflow", str(EXAMPLE), "--input", "log=kiln.log")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "● count  Count the lines of kiln.log that contain ERROR",
        '│        search/count_matching_lines path="kiln.log" text="ERROR"',
        "● write  Write the number to errors.txt",
        '         files/write_file path="errors.txt" content=<count> · ← count',
    ]


def test_the_example_runs(cli: Cli, office: Path) -> None:
    code, out, _ = cli(
        *("run", "--workflow", str(EXAMPLE), "--input", "log=kiln.log", "--input", "report=n.txt", "--yes", "--quiet")
    )
    assert code == 0
    errors = sum("ERROR" in line for line in (office / "kiln.log").read_text().splitlines())
    assert (office / "n.txt").read_text().strip() == str(errors)
    assert "n.txt" in out


def test_a_workflow_of_the_folder_is_run_by_its_name(cli: Cli, office: Path) -> None:
    write(office, "count.yaml")
    code, out, _ = cli("plan", "--workflow", "count-errors", "--input", "log=kiln.log", "--json")
    assert code == 0
    assert Plan.model_validate_json(out)["count"].arguments["path"] == "kiln.log"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workflow", "none.yaml"], "error: there is no file none.yaml\n"),
        (["--workflow", "none"], "error: there is no workflow 'none'\n"),
        (["--workflow", str(EXAMPLE)], "error: the workflow 'count-errors' lacks its log\n"),
        (["--workflow", str(EXAMPLE), "--input", "log"], "error: --input 'log' has no value\n"),
        (["--workflow", str(EXAMPLE), "--input", "log=a", "--input", "log=b"], "error: --input log stands twice\n"),
        (["--input", "log=a", "x"], "error: --input is for a workflow, and none is named\n"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(cli: Cli, arguments: list[str], said: str) -> None:
    code, out, err = cli("plan", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert len(err.splitlines()) == 2


def test_a_request_in_words_is_done_by_the_workflow_of_the_folder(office: Path) -> None:
    write(office, "count.yaml", EXAMPLE.read_text())
    with Bottega(office, servers={}, approve="all") as bottega:
        result = bottega.run("Count the WARNING lines of kiln.log and write the number to w.txt")
    assert result.status == "succeeded"
    assert [step.step for step in result.results] == ["count", "write"]
    assert (office / "w.txt").read_text().strip() == "2"


# The page of documentation

PAGE = (EXAMPLES.parent / "docs" / "workflows.md").read_text("utf-8")


def test_the_workflow_on_the_page_is_the_example() -> None:
    [text] = re.findall(r"```yaml\n(.+?)```", PAGE, re.S)
    shown, example = Workflow.parse(text), Workflow.read(EXAMPLE)
    assert shown.plan({"log": "x"}) == example.plan({"log": "x"})
    assert (shown.examples, shown.inputs) == (example.examples, example.inputs)


def test_every_key_of_a_workflow_is_on_the_page() -> None:
    known = [field.alias or name for part in (Input, WorkflowStep) for name, field in part.model_fields.items()]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.M)
    assert set(re.findall(r"\w+", " ".join(rows))) >= set(known)


def test_the_commands_on_the_page_do_what_it_says(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    folder = tmp_path / "examples"
    [block] = re.findall(r"^    \$ (bottega plan .+)\n((?:    .+\n)+)", PAGE, re.M)
    done = bottega(block[0], folder)
    assert done.stdout == re.sub(r"^    ", "", block[1], flags=re.M)
    [command] = re.findall(r"^    (bottega run --workflow count_errors.yaml .+)$", PAGE, re.M)
    assert bottega(command, folder).returncode == 0
    assert (folder / "office" / "errors.txt").read_text().strip() == "3"


def test_the_python_on_the_page_runs(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    [code] = re.findall(r"```python\n(.+?)```", PAGE, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "errors.txt" in done.stdout


def bottega(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "bottega", *shlex.split(command)[1:]]
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
