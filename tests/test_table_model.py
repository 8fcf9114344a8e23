"""The table model: what a question over a table becomes, and that its SQL runs in DuckDB."""

from __future__ import annotations

import datetime
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.core.errors import ModelError
from bottega.models.cards import Card
from bottega.models.encoder import open_encoder
from bottega.models.house.table import PATH, Column, Condition, Selected, Sketch, TableModel
from bottega.models.house.table_cues import descending
from bottega.models.house.table_sketch import bounds
from bottega.models.house.table_values import Words, mentions, numbers, periods, without_files

D = datetime.date
BOATS: dict[str, list[Any]] = {
    "boat": ["Gull", "Otter", "Heron", "Petrel", "Plover", "Dipper"],
    "harbour": ["North Pier", "Old Dock", "North Pier", "Bay", "Old Dock", "North Pier"],
    "skipper": ["Ana Ruiz", "Tom O'Shea", "Ana Ruiz", "Li Wei", "Tom O'Shea", "Sara Lund"],
    "catch_kg": [320, 150, 80, 410, 95, 60],
    "length_m": [12.5, 9.0, 7.5, 14.0, 8.0, 6.5],
    "landed": [D(2025, 3, 4), D(2025, 5, 2), D(2025, 5, 20), D(2025, 4, 11), D(2025, 6, 1), D(2025, 3, 30)],
    "insured": [True, False, True, True, False, True],
}
GUIDES: dict[str, list[Any]] = {
    "guide": ["Noor", "Felix", "Ida", "Marco", "Wen"],
    "language": ["Dutch", "Greek", "Dutch", "Italian", "Greek"],
    "years_old": [41, 29, 63, 35, 24],
    "monthly_wage": [2900, 2400, 3600, 3100, 2100],
}


def columns_of(table: dict[str, list[Any]]) -> list[Column]:
    found = []
    for name, values in table.items():
        first = values[0]
        kind = (
            "boolean"
            if isinstance(first, bool)
            else "date"
            if isinstance(first, D)
            else "text"
            if isinstance(first, str)
            else "number"
        )
        shown = tuple(dict.fromkeys(str(v) for v in values))
        found.append(Column(name, kind, shown, len(shown) == len(values)))  # type: ignore[arg-type]
    return found


def run(sketch: Sketch, table: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    kinds = {bool: "BOOLEAN", D: "DATE", str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}
    with duckdb.connect() as db:
        typed = ", ".join('"' + n.replace('"', '""') + f'" {kinds[type(v[0])]}' for n, v in table.items())
        db.execute(f"CREATE TABLE data ({typed})")
        db.executemany(
            f"INSERT INTO data VALUES ({', '.join('?' * len(table))})", list(zip(*table.values(), strict=True))
        )
        return db.execute(sketch.sql("data", columns_of(table))).fetchall()


def found(sketch: Sketch) -> list[Any]:
    return sorted(row[0] for row in run(sketch, BOATS))


# The SQL of a sketch


def where(*conditions: Condition) -> Sketch:
    return Sketch((Selected("boat"),), conditions)


def test_texts_are_compared_without_regard_to_case() -> None:
    assert found(where(Condition("harbour", "=", "OLD dock"))) == ["Otter", "Plover"]
    assert found(where(Condition("harbour", "!=", "north pier"))) == ["Otter", "Petrel", "Plover"]
    assert found(where(Condition("harbour", "contains", "DOCK"))) == ["Otter", "Plover"]


def test_several_texts_mean_any_of_them() -> None:
    assert found(where(Condition("harbour", "=", ("bay", "old dock")))) == ["Otter", "Petrel", "Plover"]
    assert found(where(Condition("harbour", "!=", ("bay", "old dock")))) == ["Dipper", "Gull", "Heron"]


def test_a_quote_in_a_value_stays_a_value() -> None:
    assert found(where(Condition("skipper", "=", "Tom O'Shea"))) == ["Otter", "Plover"]
    assert found(where(Condition("skipper", "=", "x' OR 1=1 --"))) == []


@pytest.mark.parametrize(
    ("op", "period", "boats"),
    [
        ("=", "2025-05", ["Heron", "Otter"]),
        ("=", "--03", ["Dipper", "Gull"]),
        (">", "--04", ["Heron", "Otter", "Plover"]),
        (">", "2025-05", ["Plover"]),
        (">=", "2025-05", ["Heron", "Otter", "Plover"]),
        ("<", "2025-04-11", ["Dipper", "Gull"]),
        ("<=", "2025-04-11", ["Dipper", "Gull", "Petrel"]),
        ("!=", "2025", []),
        ("=", "2025-06-01", ["Plover"]),
    ],
)
def test_dates_are_compared_with_periods(op: Any, period: str, boats: list[str]) -> None:
    assert found(where(Condition("landed", op, period))) == boats


def test_a_boolean_is_true_or_not() -> None:
    assert found(where(Condition("insured", "=", True))) == ["Dipper", "Gull", "Heron", "Petrel"]
    assert found(where(Condition("insured", "!=", True))) == ["Otter", "Plover"]


def test_groups_are_made_by_the_part_of_a_date() -> None:
    by_month = Sketch((Selected("landed"), Selected(None, "count")), group="landed", part="month")
    assert run(by_month, BOATS) == [("2025-03", 2), ("2025-04", 1), ("2025-05", 2), ("2025-06", 1)]


def test_a_column_that_the_table_lacks_is_named() -> None:
    with pytest.raises(ModelError, match="'anchor'"):
        Sketch((Selected("anchor"),)).sql("data", columns_of(BOATS))


def test_a_period_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="2025-13"):
        bounds("2025-13")


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(names, names, st.sampled_from(["=", "!=", "contains"]))
@settings(max_examples=40, deadline=None)
def test_any_name_and_value_is_quoted(column: str, value: str, op: Any) -> None:
    sketch = Sketch((Selected(column), Selected(None, "count")), (Condition(column, op, value),), group=column)
    assert len(run(sketch, {column: [value]})) == (0 if op == "!=" else 1)


# Values in a question


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("over 1,200 and under 2.5k", [1200, 2500]),
        ("twenty-five or a dozen", [25, 12]),
        ("three hundred and five", [305]),
        ("more than half a million", [500_000]),
        ("at least 40% of 12.5", [40, 12.5]),
    ],
)
def test_numbers_are_read_in_digits_and_words(text: str, values: list[float]) -> None:
    assert [n.value for n in numbers(text)] == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("after March", ["--03"]),
        ("on 5 May 2025 or on May 6, 2025", ["2025-05-05", "2025-05-06"]),
        ("between 2019 and 2021", ["2019", "2021"]),
        ("since the 3rd of June 2024", ["2024-06-03"]),
        ("may I see those of sept. 2023", ["2023-09"]),
        ("on 31 February 2024", ["2024-02"]),
    ],
)
def test_periods_are_read(text: str, values: list[str]) -> None:
    assert [p.value for p in periods(text)] == values


def test_a_month_is_in_the_only_year_there_is() -> None:
    assert [p.value for p in periods("in May", [2025])] == ["2025-05"]
    assert [p.value for p in periods("in May", [2024, 2025])] == ["--05"]


def test_cell_values_are_found_in_other_forms() -> None:
    question = Words.of("How many northern boats were delayed by Old Docks")
    assert [f.quality for v in ("north", "delay", "old dock", "south") for f in mentions(question, v)] == [
        0.7,
        0.9,
        0.9,
    ]


def test_accents_and_case_do_not_matter_for_a_cell_value() -> None:
    assert [f.quality for f in mentions(Words.of("loaves for CAFÉ BLUM"), "Cafe Blum")] == [1.0]


def test_names_of_files_are_blanked_out_in_place() -> None:
    assert without_files("How many in data/north_2025.csv?") == "How many in                    ?"


# The model


@pytest.fixture(scope="module")
def model() -> TableModel:
    return TableModel.open()


def answers(model: TableModel, question: str, table: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    return run(model.sketch(question, columns_of(table)), table)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the total catch?", [(1115,)]),
        ("What was the average catch at North Pier?", [(460 / 3,)]),
        ("How many boats are there?", [(6,)]),
        ("How many boats are from Old Dock?", [(2,)]),
        ("How many boats are longer than 8 metres?", [(3,)]),
        ("How many different harbours are there?", [(3,)]),
        ("How many boats landed in May?", [(2,)]),
        ("How many boats landed after April?", [(3,)]),
        ("number of rows in boats.csv", [(6,)]),
        ("What is the highest catch?", [(410,)]),
    ],
)
def test_one_figure_is_asked_for(model: TableModel, question: str, answer: list[Any]) -> None:
    assert answers(model, question, BOATS) == [pytest.approx(a) for a in answer]


@pytest.mark.parametrize(
    ("question", "table", "first"),
    [
        ("Which harbour has the highest total catch?", BOATS, ["North Pier"]),
        ("Which skipper caught the least in total?", BOATS, ["Sara Lund"]),
        ("Which harbour has the most boats?", BOATS, ["North Pier"]),
        ("Which boat is the longest?", BOATS, ["Petrel"]),
        ("top 3 boats by catch", BOATS, ["Petrel", "Gull", "Otter"]),
        ("Who earns the least, according to guides.csv?", GUIDES, ["Wen"]),
        ("Who is the youngest guide?", GUIDES, ["Wen"]),
        ("How old is Marco?", GUIDES, [35]),
    ],
)
def test_the_first_column_is_what_was_asked_for(
    model: TableModel, question: str, table: dict[str, list[Any]], first: list[Any]
) -> None:
    assert [row[0] for row in answers(model, question, table)] == first


STAFF: dict[str, list[Any]] = {
    "person": ["Noor", "Felix", "Ida", "Marco", "Wen", "Olga"],
    "shop": ["Mill", "Quay", "Mill", "Quay", "Park", "Mill"],
    "born": [D(1981, 2, 3), D(1999, 3, 4), D(1960, 3, 4), D(1990, 7, 1), D(2001, 1, 9), D(1975, 5, 5)],
    "pay": [2900, 2400, 3600, 3100, 2100, 2600],
}
CASTS: dict[str, list[Any]] = {
    "statue": ["Nymph", "Consul", "Faun", "Rider"],
    "cast_year": [1890, 1720, 1955, 1801],
    "weight_kg": [140, 820, 95, 1100],
}


@pytest.mark.parametrize(
    ("question", "table", "first"),
    [
        ("Who is the oldest", GUIDES, ["Ida"]),
        ("Who is the oldest?", STAFF, ["Ida"]),
        ("Who is the youngest?", STAFF, ["Wen"]),
        ("Which statue is the oldest?", CASTS, ["Consul"]),
        ("Which statue is the newest?", CASTS, ["Faun"]),
        ("Which statue is the lightest?", CASTS, ["Faun"]),
        ("What does Felix earn?", GUIDES, [2400]),
        ("What does Felix earn?", STAFF, [2400]),
    ],
)
def test_the_column_and_its_end_follow_from_the_adjective(
    model: TableModel, question: str, table: dict[str, list[Any]], first: list[Any]
) -> None:
    assert [row[0] for row in answers(model, question, table)] == first


def test_ages_are_averaged_over_groups_and_wages_summed_only_if_that_is_said(model: TableModel) -> None:
    assert answers(model, "age by language", GUIDES) == [("Dutch", 52), ("Greek", 26.5), ("Italian", 35)]
    assert answers(model, "total pay per shop", STAFF) == [("Mill", 9100), ("Park", 2100), ("Quay", 5500)]
    assert answers(model, "average pay per shop", STAFF)[0] == pytest.approx(("Mill", 9100 / 3))


@pytest.mark.parametrize(
    ("question", "column", "desc"),
    [
        ("who has been here longest", Column("started", "date"), False),
        ("the most recent ones", Column("started", "date"), True),
        ("the newest member", Column("years_in_club", "number", ("3", "12")), False),
        ("which of them is the newest", Column("built", "number", ("1890", "1955")), True),
        ("from lowest to highest fee", Column("fee", "number"), False),
        ("the one that comes up most rarely", None, False),
        ("the most expensive one", Column("price", "number"), True),
        ("all by fee", Column("fee", "number"), None),
    ],
)
def test_a_superlative_says_which_end_is_wanted(question: str, column: Column | None, desc: bool | None) -> None:
    assert descending(Words.of(question), column) is desc


def test_groups_are_listed_with_their_figure(model: TableModel) -> None:
    assert answers(model, "total catch by harbour", BOATS) == [("Bay", 410), ("North Pier", 460), ("Old Dock", 245)]
    assert answers(model, "How many guides are there for each language?", GUIDES) == [
        ("Dutch", 2),
        ("Greek", 2),
        ("Italian", 1),
    ]


def test_names_are_listed_under_a_condition(model: TableModel) -> None:
    assert sorted(r[0] for r in answers(model, "List the names of the guides who speak Greek", GUIDES)) == [
        "Felix",
        "Wen",
    ]


def test_candidates_are_of_different_shapes_and_sorted_by_confidence(model: TableModel) -> None:
    candidates = model.candidates("Which harbour has the highest total catch?", columns_of(BOATS))
    sure = [c.confidence for c in candidates]
    assert len(candidates) >= 4
    assert sure == sorted(sure, reverse=True)
    assert all(0 <= c <= 1 for c in sure)


def test_a_table_without_columns_or_with_very_many_is_read(model: TableModel) -> None:
    assert model.sketch("how many rows are there", []).sql("data", []) == 'SELECT count(*) FROM "data"'
    wide = [Column(f"measure number {i}", "number", ("1", "2")) for i in range(300)]
    assert model.sketch("What is the total of measure number 3?", wide).sql("data", wide)


@given(st.text(max_size=60))
@settings(max_examples=15, deadline=None)
def test_any_text_gives_sql_that_runs(question: str) -> None:
    run(TableModel.open().sketch(question, columns_of(BOATS)), BOATS)


def test_opening_the_module_loads_nothing_heavy() -> None:
    heavy = ("torch", "onnxruntime", "duckdb", "yaml")
    code = f"import sys, bottega.models.house.table; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_the_card_says_what_the_model_reaches_beside_the_untrained_backbone() -> None:
    card = Card.load(PATH.with_suffix(".json"))
    assert card.baseline is not None
    assert card.figure > card.baseline
    for name, figures in card.details["table"].items():
        assert figures["answer"] > card.details["untrained"][name]["answer"]
    assert card.sha256 == hashlib.sha256(PATH.read_bytes()).hexdigest()


@pytest.mark.train
def test_a_training_gives_an_adapter_that_reads(tmp_path: Path) -> None:
    from bottega.models.training.lora import Schedule
    from bottega.models.training.table import build

    adapter = build(open_encoder(), None, Schedule(steps=2, seed=1), rank=2, size=4)
    adapter.save(tmp_path / "table.safetensors")
    sketches: Sequence[Sketch] = TableModel.open(tmp_path / "table.safetensors").candidates(
        "how many", columns_of(BOATS)
    )
    assert sketches


@pytest.mark.train
def test_every_question_of_the_grammar_is_answered_by_its_own_sql() -> None:
    from bottega.models.training.table_evaluation import executed, held_out

    for example in held_out(60):
        assert executed(example.columns, example.rows, [example.sketch.sql("t", example.columns)]) != [None]
        for column, (begin, end) in example.spans.items():
            assert example.question[begin:end].strip(), column
