"""Plans as people see them: a tree in the terminal, a Mermaid flowchart. Any plan can be drawn, whatever its texts."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from scripted import ScriptedBottega

import bottega.workshop as workshop
from bottega.agents.drawing import GOAL, one_line, plan_text, tree
from bottega.agents.mermaid import escaped, mermaid
from bottega.agents.plan import Each, Plan, Reference, Step
from bottega.cli.group import run

ODD = [
    *(
        "end",
        "subgraph",
        'a"b',
        "x]y",
        "a\nb\r\nc",
        "<b>x</b>",
        "<!-- -->",
        "%%{init: {'theme':'dark'}}%%",
        "#quot; #35;",
    ),
    *("`md`", "1. list", "- item", "# head", "---", "https://x.y/z www.a.com me@x.org", "__x__ *y* ~~z~~", "[a](b)"),
    *("click n1 call x()", "style a:b #c;", "classDef a:#b;", "n1 --> n2", ";", "|x|", "{{x}}", "@{shape: x}", "::: x"),
    *(
        "$$x$$",
        "C:\\new",
        "fa:fa-car",
        "\u202eabc",
        "\x1b[31mred",
        "\ud800",
        "日本語 の テキスト",
        "é" * 300,
        "",
        " ",
        "\u2060",
    ),
]
TEXTS = st.sampled_from(ODD) | st.text(max_size=80)
IDS = st.sampled_from(["s1", "s2", "s3", "s4", "s5", "end", "a b", 'x"]', ""]) | st.text(max_size=30)


def _reference(id: str, path: str = "") -> Reference:
    return Reference(**{"from": id, "path": path})


VALUES = st.recursive(
    st.none() | st.integers() | TEXTS | st.builds(_reference, IDS, TEXTS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=3,
)
STEPS = st.builds(
    Step,
    id=IDS,
    instruction=TEXTS,
    specialist=st.none() | TEXTS,
    tool=st.none() | TEXTS,
    arguments=st.dictionaries(TEXTS, VALUES | st.builds(Each, each=st.builds(_reference, IDS)), max_size=2),
    after=st.lists(IDS, max_size=2).map(tuple),
    goal=st.booleans(),
    problem=st.none() | TEXTS,
)
PLANS = st.builds(Plan, request=st.just("x"), steps=st.lists(STEPS, max_size=8).map(tuple))
GOALS = st.dictionaries(IDS, PLANS, max_size=3)


def step(id: str, instruction: str = "do", *needs: str, tool: str | None = "t/x", **rest: object) -> Step:
    return Step(
        id=id,
        instruction=instruction,
        tool=tool,
        arguments={f"a{n}": _reference(x) for n, x in enumerate(needs)},
        **rest,
    )


def plan(*steps: Step) -> Plan:
    return Plan(request="x", steps=steps)


def drawn(made: Plan, goals: dict[str, Plan] | None = None) -> list[str]:
    return plan_text(made, 80, goals).splitlines()


# The tree


@given(PLANS, GOALS, st.integers(20, 120))
def test_no_line_of_a_tree_is_wider_than_the_terminal(made: Plan, goals: dict[str, Plan], width: int) -> None:
    for row in tree(made, width, goals):
        assert cell_len(str(row)) <= width, str(row)
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", str(row))


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), max_size=12))
def test_every_step_of_a_plan_has_one_row_with_its_mark(needs: list[list[int]]) -> None:
    made = plan(*(step(f"s{n}", "do", *(f"s{i}" for i in some if i < n)) for n, some in enumerate(needs)))
    heads = [row for row in tree(made) if not row.detail]
    assert [row.text.split()[0] for row in heads] == [s.id for s in made.steps]
    assert all(row.rail.count("●") == 1 for row in heads)


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=12))
def test_lines_join_above_and_below(needs: list[list[int]]) -> None:
    """Every line that goes down from a row is met by the row below, and the other way round."""
    made = plan(*(step(f"s{n}", "do", *(f"s{i}" for i in some if i < n)) for n, some in enumerate(needs)))
    rails = [row.rail for row in tree(made)]
    for above, below in pairwise(rails):
        for over, under in zip(above, below, strict=True):
            if over in "│├┤┼╮╭┬":
                assert under in "│├┤┼╯╰┴●", f"{above}\n{below}"
            if under in "│├┤┼╯╰┴":
                assert over in "│├┤┼╮╭┬●", f"{above}\n{below}"


def test_a_step_stands_below_those_it_uses_and_lines_lead_to_it() -> None:
    made = plan(
        step("s1", "find the orders"),
        step("s2", "total by customer", "s1"),
        step("s3", "total by month", "s1"),
        step("s4", "write both", "s2", "s3"),
    )
    assert drawn(made) == [
        "●   s1  find the orders",
        "│       t/x",
        "├─╮",
        "│ ● s2  total by customer",
        "│ │     t/x a0=<s1> · ← s1",
        "● │ s3  total by month",
        "│ │     t/x a0=<s1> · ← s1",
        "├─╯",
        "●   s4  write both",
        "        t/x a0=<s2> a1=<s3> · ← s2, s3",
    ]


def test_steps_that_a_planner_gave_out_of_order_are_drawn_in_order() -> None:
    assert [line.split()[1] for line in drawn(plan(step("b", "do", "a"), step("a"))) if "●" in line] == ["a", "b"]


def test_a_step_says_who_does_it_with_what_and_after_whom() -> None:
    made = plan(
        step("s1"),
        Step(
            id="s2",
            instruction="ask",
            specialist="analyst",
            tool="tables/ask_table",
            arguments={"path": "orders.csv", "of": _reference("s1", "rows.0"), "n": Each(each=(1, 2))},
        ),
        step("s3", after=("s2",)),
    )
    text = plan_text(made, 120)
    assert 'analyst · tables/ask_table path="orders.csv" of=<s1.rows.0> n=each of [1, 2] · ← s1' in text
    assert "t/x · ← s2" in text


def test_marks_tell_open_steps_goals_and_what_nobody_can_do() -> None:
    made = plan(
        step("s1", tool=None, specialist="writer"),
        step("s2", tool=None, goal=True),
        step("s3", problem="nobody can fly"),
    )
    assert drawn(made) == [
        "○ s1  do",
        "      writer",
        "◆ s2  do",
        f"      {GOAL}",
        "✗ s3  do",
        "      cannot: nobody can fly",
    ]


def test_the_plan_of_a_goal_is_drawn_below_it() -> None:
    made = plan(step("s1", tool=None, goal=True), step("s2", "do", "s1"))
    inner = plan(step("s1/1", "list"), step("s1/2", "write", "s1/1"))
    assert drawn(made, {"s1": inner})[:5] == [
        "◆ s1  do",
        "│     ● s1/1  list",
        "│     │       t/x",
        "│     ● s1/2  write",
        "│             t/x a0=<s1/1> · ← s1/1",
    ]


def test_goals_that_hold_each_other_are_drawn_once() -> None:
    loop = plan(step("s1", tool=None, goal=True))
    assert plan_text(plan(step("s1", tool=None, goal=True)), 80, {"s1": loop}).count("◆") == 2


def test_a_long_instruction_takes_three_lines_and_the_use_of_results_is_never_cut() -> None:
    made = plan(step("s1"), step("s2", "word " * 100, *["s1"] * 9, after=("s1",)))
    lines = drawn(made)
    assert sum("word" in line for line in lines) == 3
    assert lines[-1].endswith("← s1")


def test_a_plan_too_wide_for_lines_still_says_what_is_used() -> None:
    made = plan(*(step(f"s{n}") for n in range(40)), step("all", "join", *(f"s{n}" for n in range(40))))
    text = plan_text(made, 80)
    assert "│" not in text
    assert "← s0, s1, s2" in text


def test_the_names_of_steps_are_shown_on_the_narrowest_terminal() -> None:
    assert "a-name-of-16-ch…" in plan_text(plan(step("a-name-of-16-characters-and-more")), 20)


# Mermaid

LABEL = r'"(?P<label>(?:#\d{1,7};|<br/>|[^\x00-\x1f!-+:-@\[-^`{-\xa0])+)"'
LINES = [
    re.compile(rf"(?P<indent> +)(?P<node>n\d+|nothing)(?:\[{LABEL}\])"),
    re.compile(rf"(?P<indent> +)(?P<node>n\d+)(?:\({LABEL}\))"),
    re.compile(rf"(?P<indent> +)(?P<node>n\d+)(?:\{{\{{{LABEL}\}}\}})"),
    re.compile(rf"(?P<indent> +)subgraph (?P<frame>g\d+)\[{LABEL}\]"),
    re.compile(r"(?P<indent> +)(?P<end>end)"),
    re.compile(rf"    (?P<from>[ng]\d+) (?:-->|-\.->)(?:\|{LABEL}\|)? (?P<to>[ng]\d+)"),
    re.compile(r"    classDef impossible stroke-dasharray: 4 4"),
    re.compile(r"    class (?P<classed>[ng]\d+(?:,[ng]\d+)*) impossible"),
]


def read(chart: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Names and arrows of a flowchart; an `AssertionError` for any line that is not of the few forms there are."""
    first, *lines = chart.split("\n")
    assert (first, lines[-1]) == ("flowchart TD", "")
    names, arrows, open_frames = [], [], 0
    for line in lines[:-1]:
        found = next((m for form in LINES if (m := form.fullmatch(line))), None)
        assert found is not None, repr(line)
        parts = {key: value for key, value in found.groupdict().items() if value}
        if "end" in parts:
            open_frames -= 1
            assert open_frames >= 0
        elif "frame" in parts or "node" in parts:
            assert len(parts["indent"]) == 4 * (open_frames + 1)
            names.append(parts.get("frame") or parts["node"])
            open_frames += "frame" in parts
        elif "from" in parts:
            arrows.append((parts["from"], parts["to"]))
        elif "classed" in parts:
            assert set(parts["classed"].split(",")) <= set(names)
    assert open_frames == 0
    assert len(set(names)) == len(names)
    assert all(a in names and b in names for a, b in arrows)
    return names, arrows


def shown(label: str) -> str:
    """A label as Mermaid shows it: numbers are characters, and what nobody sees is not there."""
    text = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label)
    return text.translate(str.maketrans({"\u02cb": "`", "\u2217": "*", "\u223c": "~", "\u2060": None}))


@given(PLANS, GOALS)
def test_any_plan_is_a_flowchart_in_which_no_text_is_syntax(made: Plan, goals: dict[str, Plan]) -> None:
    names, _ = read(mermaid(made, goals))
    assert len(names) >= max(1, len(made.steps))


@given(TEXTS)
def test_a_label_shows_the_text(text: str) -> None:
    line = one_line(text, 100).translate(str.maketrans({"\u02cb": "`", "\u2217": "*", "\u223c": "~", "\u2060": None}))
    assert shown(escaped(text, 100)) == line


@pytest.mark.parametrize(
    "text",
    [
        "1. list",
        "`code`",
        "*a*",
        "_a_",
        "~a~",
        "http://a.b",
        "www.a.b",
        "a@b.c",
        "$$a$$",
        "fa:fa-car",
        "C:\\new",
        "[a](b)",
    ],
)
def test_what_mermaid_reads_after_the_numbers_is_broken_up(text: str) -> None:
    """Versions of Mermaid decode numbers before or after they look for Markdown, formulas and icons."""
    decoded = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), escaped(text))
    patterns = r"^\d+\.|`.+`|\*\w+\*|(?<!\u2060)_\w+_|~\w+~|://|www\.|@\w|\$\$|:fa-|\\n|\]\("
    assert not re.search(patterns, decoded)


def test_solid_arrows_carry_results_and_dotted_ones_order() -> None:
    made = plan(
        step("s1"),
        Step(id="s2", instruction="do", tool="t", arguments={"a": _reference("s1", "total")}),
        step("s3", after=("s2",)),
    )
    chart = mermaid(made)
    assert '    n1 -->|"#8288;total"| n2' in chart
    assert "    n2 -.-> n3" in chart


def test_the_plan_of_a_goal_is_a_frame_and_may_use_results_from_outside() -> None:
    made = plan(step("s1"), step("s2", "do", "s1", tool=None, goal=True), step("s3", "do", "s2"))
    names, arrows = read(mermaid(made, {"s2": plan(step("s2/1", "do", "s1"))}))
    assert names == ["n1", "g2", "n3", "n4"]
    assert arrows == [("n1", "g2"), ("n1", "n3"), ("g2", "n4")]


def test_a_plan_without_steps_is_a_flowchart_too() -> None:
    assert read(mermaid(plan())) == (["nothing"], [])


# The command

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command line with scripted plans in a folder of its own, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(workshop, "Bottega", ScriptedBottega)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        code = run(arguments)
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


def test_the_command_draws_the_tree(cli: Cli) -> None:
    code, out, err = cli("plan", "count and write")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "● s1  count lamps",
        '│     count word="lamp"',
        "● s2  write it",
        "      write number=<s1> · ← s1",
    ]


def test_the_command_gives_mermaid(cli: Cli) -> None:
    code, out, _ = cli("plan", "--mermaid", "count and write")
    assert code == 0
    assert read(out) == (["n1", "n2"], [("n1", "n2")])


def test_colours_are_for_terminals_that_want_them(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in cli("plan", "count and write")[1]


def test_two_forms_at_once_are_a_mistake(cli: Cli) -> None:
    code, out, err = cli("plan", "--json", "--mermaid", "count")
    assert (code, out) == (2, "")
    assert err.splitlines() == ["error: --json and --mermaid are two forms of one plan", "hint: choose one"]


def test_a_step_that_nobody_can_do_is_drawn_and_ends_with_1(cli: Cli) -> None:
    code, out, _ = cli("plan", "cannot")
    assert code == 1
    assert "✗ s1  fly" in out
