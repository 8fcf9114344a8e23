"""The toolset sqlite: reads what is there, changes nothing, ends in time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from house_tools import data_of, refusal, use

from bottega.models.house.table import Column, Selected, Sketch, TableModel
from bottega.tools.house import sqlite


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, joined TEXT);
            INSERT INTO customers VALUES (1, 'Ada', 'Ghent', '2026-01-02'), (2, 'Zoë', NULL, '2026-03-04');
            CREATE TABLE "order lines" ("unit price" REAL, amount, picture BLOB);
            INSERT INTO "order lines" VALUES (0.1, 3, x'00ff'), (0.2, 'many', NULL);
            CREATE VIEW locals AS SELECT name FROM customers WHERE city = 'Ghent';
            """
        )
    return tmp_path


def test_tables_and_views_are_listed(shop: Path) -> None:
    assert data_of(shop, "sqlite/list_tables", database="shop.db") == {"tables": ["customers", "locals", "order lines"]}


def test_columns_are_shown_whatever_the_capitals_of_the_table(shop: Path) -> None:
    result = use(shop, "sqlite/table_schema", database="shop.db", table="CUSTOMERS")
    assert result.text == "id (integer)\nname (text)\ncity (text)\njoined (text)"
    assert data_of(shop, "sqlite/table_schema", database="shop.db", table='"order lines"')["columns"][1] == {
        "name": "amount",
        "type": "any",
    }
    assert "it has customers" in refusal(shop, "sqlite/table_schema", database="shop.db", table="clients")


def test_a_query_gives_its_rows(shop: Path) -> None:
    result = use(shop, "sqlite/query_database", database="shop.db", sql="SELECT name, city FROM customers ORDER BY id")
    assert result.data == {"rows": [{"name": "Ada", "city": "Ghent"}, {"name": "Zoë", "city": None}], "count": 2}
    assert result.text == "name  city\nAda   Ghent\nZoë"


def test_a_single_value_comes_first_and_clean(shop: Path) -> None:
    data = data_of(shop, "sqlite/query_database", database="shop.db", sql='SELECT sum("unit price") FROM "order lines"')
    assert next(iter(data)) == "value"
    assert data["value"] == 0.3


def test_blobs_are_told_by_their_size(shop: Path) -> None:
    data = data_of(shop, "sqlite/query_database", database="shop.db", sql='SELECT picture FROM "order lines" LIMIT 1')
    assert data["value"] == "<2 bytes>"


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM customers",
        "UPDATE customers SET name = 'x'",
        "INSERT INTO customers VALUES (9, 'x', 'y', 'z')",
        "DROP TABLE customers",
        "CREATE TABLE x (a)",
        "ATTACH 'other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "SELECT load_extension('x')",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "SELECT 1; DELETE FROM customers",
        "EXPLAIN SELECT writefile('x', 'y')",
        "SELECT * FROM nothing",
        "SELEC",
        "",
        "\0",
    ],
)
def test_anything_but_reading_is_refused(shop: Path, sql: str) -> None:
    before = (shop / "shop.db").read_bytes()
    refusal(shop, "sqlite/query_database", database="shop.db", sql=sql)
    assert (shop / "shop.db").read_bytes() == before
    assert [p.name for p in shop.iterdir()] == ["shop.db"]


def test_a_query_without_end_is_stopped(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_SECONDS", 0.2)
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert "took longer" in refusal(shop, "sqlite/query_database", database="shop.db", sql=sql)


def test_rows_are_capped_and_values_bounded(shop: Path) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n"
    result = use(shop, "sqlite/query_database", database="shop.db", sql=sql)
    assert result.data["count"] == 1000
    assert "only the first 1000 rows" in result.text
    refusal(shop, "sqlite/query_database", database="shop.db", sql="SELECT zeroblob(1000000000)")


def test_what_is_no_database_is_one_clear_line(shop: Path) -> None:
    (shop / "fake.db").write_text("SQLite it is not")
    (shop / "damaged.db").write_bytes((shop / "shop.db").read_bytes()[:200] + b"junk" * 500)
    assert "not an SQLite database" in refusal(shop, "sqlite/list_tables", database="fake.db")
    assert "\n" not in refusal(shop, "sqlite/list_tables", database="damaged.db")
    assert "no file" in refusal(shop, "sqlite/list_tables", database="none.db")
    assert "outside" in refusal(shop, "sqlite/list_tables", database="../x.db")


def test_a_name_with_odd_characters_is_opened(shop: Path) -> None:
    (shop / "shop.db").rename(shop / "a?mode=rw#100% it's.db")
    assert data_of(shop, "sqlite/list_tables", database="a?mode=rw#100% it's.db")["tables"][0] == "customers"


class Told:
    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.asked: list[Column] = []

    def candidates(self, question: str, columns: Sequence[Column]) -> list[Sketch]:
        self.asked = list(columns)
        return [self.sketch]


def test_a_question_finds_its_table(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(Sketch((Selected(None, "count"),)))
    monkeypatch.setattr(TableModel, "open", lambda: told)
    result = use(shop, "sqlite/ask_database", database="shop.db", question="How many customers are there?")
    assert result.data["answer"] == 2
    assert [(c.name, c.type) for c in told.asked] == [
        ("id", "number"),
        ("name", "text"),
        ("city", "text"),
        ("joined", "date"),
    ]
    assert told.asked[1].values == ("Ada", "Zoë")


def test_a_table_of_mixed_values_is_read_as_text(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(Sketch((Selected("unit price", "sum"),)))
    monkeypatch.setattr(TableModel, "open", lambda: told)
    data = data_of(shop, "sqlite/ask_database", database="shop.db", question="total?", table="order lines")
    assert data["answer"] == 0.3
    assert [c.type for c in told.asked] == ["number", "text", "text"]
    assert told.asked[1].values == ("3", "many")


def test_a_question_that_fits_several_tables_asks_which(shop: Path) -> None:
    said = refusal(shop, "sqlite/ask_database", database="shop.db", question="What is the weather?")
    assert "several tables: customers, locals, order lines" in said
