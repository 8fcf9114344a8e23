"""The toolset text, and the prose it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from house_tools import data_of, refusal, use

from bottega.tools.house.prose import most_alike, passages, sentences, split_sentences

REPORT = """---
title: ignored
---
# Solar report

The city put solar panels on twelve schools this year. The panels made more power than the schools used in summer, and
the city sold the rest. Dr. Ina Berg (see p. 4 of the plan) led the work. It rained a lot in May.

| school | power |
|---|---|
| north | 12 |

```python
code = "Not a sentence. Really not."
```

- Solar panels on school roofs paid back a tenth of their price.
- Nobody was hurt.

Next year the city plans panels on six more schools and on the town hall. Will it be enough?
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "report.md").write_text(REPORT)
    return tmp_path


def test_sentences_are_cut_where_they_end() -> None:
    text = (
        "Dr. Berg paid 3.50 euros at 9 a.m. today, e.g. for tea. Why? J. S. Bach! “Yes.” Then she left… 12 people came."
    )
    assert split_sentences(text) == [
        "Dr. Berg paid 3.50 euros at 9 a.m. today, e.g. for tea.",
        "Why?",
        "J. S. Bach!",
        "“Yes.”",
        "Then she left…",
        "12 people came.",
    ]


def test_headings_tables_and_code_are_no_sentences() -> None:
    every = [s.text for s in sentences(REPORT)]
    assert every[0] == "The city put solar panels on twelve schools this year."
    assert "Dr. Ina Berg (see p. 4 of the plan) led the work." in every
    assert "Nobody was hurt." in every
    assert not any("code" in s or "|" in s or "Solar report" in s or "ignored" in s for s in every)


def test_a_summary_has_the_sentences_that_matter_in_their_order(folder: Path) -> None:
    summary = data_of(folder, "text/summarize", path="report.md", sentences=2)["summary"]
    every = [s.text for s in sentences(REPORT)]
    chosen = [s for s in every if s in summary]
    assert len(chosen) == 2
    assert chosen[0] == every[0]
    assert summary == " ".join(chosen)
    assert "rained" not in summary


def test_a_short_text_is_its_own_summary(folder: Path) -> None:
    assert (
        use(folder, "text/summarize", text="One thing. Another thing.", sentences=5).text == "One thing. Another thing."
    )
    assert "no sentences" in refusal(folder, "text/summarize", text="# Only a heading")


def test_a_long_text_is_summarised_in_time(folder: Path) -> None:
    (folder / "long.txt").write_text(" ".join(f"Sentence number {i} speaks of topic {i % 7}." for i in range(5000)))
    assert data_of(folder, "text/summarize", path="long.txt", sentences=10)["summary"].count(".") == 10


def test_keywords_are_what_the_text_is_about(folder: Path) -> None:
    found = data_of(folder, "text/keywords", path="report.md", count=3)["keywords"]
    assert set(found) == {"solar", "panels", "schools"} or {"panels", "city"} <= set(found)
    assert use(folder, "text/keywords", text="the of and").text == "There are no keywords."


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Contact: orders@greenhouse.example.", ["orders@greenhouse.example"]),
        ("<a.b+c@x-y.co.uk>, (d@e.io); A_1@B.com", ["a.b+c@x-y.co.uk", "d@e.io", "A_1@B.com"]),
        ("mailto:me@a.org twice me@a.org", ["me@a.org"]),
        ("not@home, @name, a@b, me@.com, x@y.1", []),
    ],
)
def test_email_addresses_are_found(folder: Path, text: str, emails: list[str]) -> None:
    assert data_of(folder, "text/find_emails", text=text) == {"emails": emails}


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("See https://a.example/b?c=d#e.", ["https://a.example/b?c=d#e"]),
        ("(http://a.example/x_(y)), www.b.example!", ["http://a.example/x_(y)", "www.b.example"]),
        ("[link](https://a.example/md) <https://b.example>", ["https://a.example/md", "https://b.example"]),
        ("nothing here, not even ftp", []),
    ],
)
def test_web_addresses_are_found(folder: Path, text: str, urls: list[str]) -> None:
    assert data_of(folder, "text/find_urls", text=text) == {"urls": urls}


def test_dates_are_found_as_they_are_written(folder: Path) -> None:
    text = (
        "Opens on 14 March 2027, not 2026-03-01 or 3/4/2026; before 1 February, on May 3rd, 2026, in June 2025. "
        "May I? 12 maybe."
    )
    assert data_of(folder, "text/find_dates", text=text)["dates"] == [
        "14 March 2027",
        "2026-03-01",
        "3/4/2026",
        "1 February",
        "May 3rd, 2026",
        "June 2025",
    ]


@pytest.mark.parametrize(
    ("text", "words"), [("one two", 2), ("it's 3.5 well-known words", 4), ("…", 0), ("日本 語", 2)]
)
def test_words_are_counted(folder: Path, text: str, words: int) -> None:
    assert data_of(folder, "text/count_words", text=text) == {"words": words}


def test_either_a_path_or_a_text_is_needed(folder: Path) -> None:
    assert "no text" in refusal(folder, "text/count_words")
    assert "only one" in refusal(folder, "text/count_words", path="report.md", text="x")
    assert "no file" in refusal(folder, "text/count_words", path="nothing.md")


def test_a_document_is_cut_into_passages_under_their_headings() -> None:
    long = " ".join(f"Sentence {i} has exactly six words." for i in range(60))
    found = passages(f"Intro.\n\n# One\n\nFirst.\n\nSecond.\n\n## Two\n{long}\n\nUnder\n-----\n\nLast.")
    assert [p.heading for p in found][:2] == ["", "One"]
    assert found[1].text == "First.\nSecond."
    assert found[1].whole == "One: First.\nSecond."
    assert all(len(p.text.split()) <= 100 for p in found)
    assert " ".join(p.text.replace("\n", " ") for p in found if p.heading == "Two") == long
    assert (found[-1].heading, found[-1].text) == ("Under", "Last.")
    assert passages("") == []


def test_the_passage_that_shares_rare_words_is_the_most_alike() -> None:
    texts = ["The garden is large.", "The garden centre opens in March.", "Lamps are sold in the garden."]
    assert most_alike("When does the garden centre open?", texts, 2)[0] == 1
    assert most_alike("Quantum?", texts, 2) == []
