"""The toolset tables, with a table model that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from house_tools import data_of, refusal, use

from bottega.models.house.table import Column, Order, Selected, Sketch, TableModel
from bottega.tools.house import questions

SALES = """order_id,date,region,revenue,paid
1,2026-01-02,north,10.5,true
2,2026-01-03,south,0.1,false
3,2026-02-01,north,0.2,true
"""
Answering = Callable[..., list[Any]]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "sales.csv").write_text(SALES)
    return tmp_path


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Makes the table model give these sketches; what it was asked comes back."""

    def set_up(*sketches: Sketch) -> list[tuple[str, Sequence[Column]]]:
        asked: list[tuple[str, Sequence[Column]]] = []

        class Told:
            def candidates(self, question: str, columns: Sequence[Column]) -> list[Sketch]:
                asked.append((question, columns))
                return list(sketches)

        monkeypatch.setattr(TableModel, "open", lambda: Told())
        return asked

    return set_up


def test_columns_are_shown_with_types_a_person_knows(shop: Path) -> None:
    result = use(shop, "tables/table_columns", path="sales.csv")
    assert result.text == "order_id (number)\ndate (date)\nregion (text)\nrevenue (number)\npaid (boolean)"
    assert result.data["columns"][2] == {"name": "region", "type": "text"}


def test_rows_are_shown_as_a_table(shop: Path) -> None:
    result = use(shop, "tables/table_rows", path="sales.csv", limit=2)
    assert result.text.splitlines()[0].split() == ["order_id", "date", "region", "revenue", "paid"]
    assert result.data["rows"] == [
        {"order_id": 1, "date": "2026-01-02", "region": "north", "revenue": 10.5, "paid": True},
        {"order_id": 2, "date": "2026-01-03", "region": "south", "revenue": 0.1, "paid": False},
    ]
    assert "limit" in refusal(shop, "tables/table_rows", path="sales.csv", limit=0)


def test_every_kind_of_table_file_is_read(shop: Path) -> None:
    (shop / "a.tsv").write_text("name\tage\nAda\t3\n")
    (shop / "semicolon.csv").write_text("name;price\nAda;3,5\nBram;4,25\n")
    (shop / "latin.csv").write_bytes("name,age\nZoë,3\n".encode("latin-1"))
    (shop / "a.json").write_text(json.dumps([{"name": "Ada", "age": 3}]))
    (shop / "a.jsonl").write_text('{"name": "Ada", "tags": ["x"]}\n')
    duckdb.sql("SELECT 'Ada' AS name, 3 AS age").write_parquet(str(shop / "a.parquet"))
    (shop / "it's [odd]*.csv").write_text("name,age\nAda,3\n")
    rows = {
        p: data_of(shop, "tables/table_rows", path=p)["rows"]
        for p in ("a.tsv", "a.json", "a.parquet", "it's [odd]*.csv")
    }
    assert all(r == [{"name": "Ada", "age": 3}] for r in rows.values()), rows
    assert data_of(shop, "tables/table_rows", path="a.jsonl")["rows"] == [{"name": "Ada", "tags": ["x"]}]
    assert data_of(shop, "tables/table_rows", path="latin.csv")["rows"] == [{"name": "Zoë", "age": 3}]
    assert data_of(shop, "tables/table_rows", path="semicolon.csv")["rows"][1] == {"name": "Bram", "price": 4.25}


def test_what_is_no_table_is_one_clear_line(shop: Path) -> None:
    (shop / "a.txt").write_text("x")
    (shop / "empty.csv").write_text("")
    (shop / "fake.parquet").write_text("not parquet at all")
    (shop / "broken.json").write_text('[{"a": 1')
    (shop / "binary.csv").write_bytes(b"PK\x03\x04\0\0\0")
    assert "not a table file" in refusal(shop, "tables/table_columns", path="a.txt")
    assert "empty" in refusal(shop, "tables/table_columns", path="empty.csv")
    assert "not a text file" in refusal(shop, "tables/table_columns", path="binary.csv")
    assert "did you mean sales.csv" in refusal(shop, "tables/table_columns", path="sale.csv")
    for path in ("fake.parquet", "broken.json"):
        said = refusal(shop, "tables/table_rows", path=path)
        assert said.startswith(f"{path} cannot be read as a table")
        assert "\n" not in said


def test_a_table_without_rows_is_told(shop: Path) -> None:
    (shop / "head.csv").write_text("a,b\n")
    assert use(shop, "tables/table_rows", path="head.csv").text == "head.csv has 2 columns and no rows."


def test_a_question_is_answered_with_its_sql(shop: Path, answering: Answering) -> None:
    asked = answering(Sketch((Selected("revenue", "sum"),), confidence=0.9))
    result = use(shop, "tables/ask_table", path="sales.csv", question="total revenue?")
    assert result.data["answer"] == 10.8
    assert result.data["confidence"] == 0.9
    assert result.text.splitlines()[0] == "10.8"
    assert 'sum("revenue")' in result.data["sql"]
    assert result.data["sql"] in result.text
    (question, columns), *_ = asked
    assert question == "total revenue?"
    assert [(c.name, c.type, c.unique) for c in columns] == [
        ("order_id", "number", True),
        ("date", "date", True),
        ("region", "text", False),
        ("revenue", "number", True),
        ("paid", "boolean", False),
    ]
    assert columns[1].values == ("2026-01-02", "2026-01-03", "2026-02-01")
    assert columns[2].values == ("north", "south")


def test_the_model_sees_the_values_that_the_question_names(tmp_path: Path, answering: Answering) -> None:
    (tmp_path / "many.csv").write_text("name,age\n" + "".join(f"person{i},{i}\n" for i in range(500)))
    asked = answering(Sketch((Selected(None, "count"),)))
    use(tmp_path, "tables/ask_table", path="many.csv", question="How old is PERSON432?")
    values = asked[0][1][0].values
    assert len(values) == 50
    assert "person432" in values


def test_of_one_row_the_first_cell_is_the_answer(shop: Path, answering: Answering) -> None:
    total = Selected("revenue", "sum")
    answering(Sketch((Selected("region"), total), group="region", order=Order(total, True), limit=1))
    result = use(shop, "tables/ask_table", path="sales.csv", question="Which region sold most?")
    assert result.data["answer"] == "north"
    assert result.text.startswith("north (")


def test_several_rows_are_the_answer_as_they_are(shop: Path, answering: Answering) -> None:
    answering(Sketch((Selected("region"), Selected("revenue", "sum")), group="region"))
    answer = data_of(shop, "tables/ask_table", path="sales.csv", question="revenue by region")["answer"]
    assert [list(row.values()) for row in answer] == [["north", 10.7], ["south", 0.1]]
    answering(Sketch((Selected("order_id"),)))
    assert data_of(shop, "tables/ask_table", path="sales.csv", question="orders")["answer"] == [1, 2, 3]


def test_a_reading_that_finds_nothing_gives_way_to_the_next(shop: Path, answering: Answering) -> None:
    answering(Sketch((Selected("region"),), limit=0), Sketch((Selected("revenue", "max"),)))
    assert data_of(shop, "tables/ask_table", path="sales.csv", question="the most?")["answer"] == 10.5
    answering(Sketch((Selected("region"),), limit=0))
    result = use(shop, "tables/ask_table", path="sales.csv", question="the most?")
    assert result.data["answer"] is None
    assert result.text.startswith("No row of sales.csv fits that.")


def test_an_empty_question_is_refused(shop: Path) -> None:
    assert "no question" in refusal(shop, "tables/ask_table", path="sales.csv", question=" ")


def test_the_sealed_connection_reaches_nothing_else(shop: Path) -> None:
    (shop / "other.csv").write_text("a\n1\n")
    secret = {"a": [1]}
    assert secret
    with questions.open_sealed() as connection:
        questions.seal(connection)
        for sql in (
            f"SELECT * FROM read_csv('{shop}/other.csv')",
            f"SELECT * FROM '{shop}/other.csv'",
            "SELECT * FROM read_text('/etc/passwd')",
            f"COPY (SELECT 1) TO '{shop}/out.csv'",
            f"ATTACH '{shop}/x.db'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SELECT * FROM secret",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)


def test_a_query_without_end_is_interrupted(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bottega.core.errors import ToolError

    monkeypatch.setattr(questions, "_SECONDS", 0.3)
    with questions.open_sealed() as connection, pytest.raises(ToolError, match="took longer"):
        questions.run(connection, "SELECT count(*) FROM range(1000000000000) t(i) WHERE sin(i) > 2", 1)
