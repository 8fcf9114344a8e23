"""Numbers, dates, times, quoted strings and paths in a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottega.agents.mentions import Mention, dates, numbers, paths, quoted, times

FILES = ["archive", "data/", "orders.csv", "My File.txt", "Makefile", "docs/old notes.md"]


def values(found: Sequence[Mention]) -> list[Any]:
    return [m.value for m in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Add 12 and 30", [12, 30]),
        ("1, 2, 3", [1, 2, 3]),
        ("$1,250.50 or €30", [1250.5, 30]),
        ("1,250 of 100,000", [1250, 100000]),
        ("-5 degrees, then \u221212, then +3", [-5, -12, 3]),
        ("3 - 5", [3, 5]),
        ("-$40", [-40]),
        (".5 and 0.25", [0.5, 0.25]),
        ("20% of 80 %", [20, 80]),
        ("(12)", [12]),
        ("room #12.", [12]),
        ("007", [7]),
        ("the 3rd row", [3]),
        ("20°C", [20]),
        ("12kg, 30m and 24h", [12, 30, 24]),
        ("convert 30 m to feet", [30]),
        ("1.5k", [1500]),
        ("$5m", [5_000_000]),
        ("3M users", [3_000_000]),
        ("3 million", [3_000_000]),
        ("twenty-five", [25]),
        ("Twenty Five", [25]),
        ("one hundred and five", [105]),
        ("a hundred", [100]),
        ("two thousand and twenty", [2020]),
        ("five hundred thousand", [500_000]),
        ("one million two hundred thousand and six", [1_200_006]),
        ("two dozen", [24]),
        ("half a dozen", [6]),
        ("five and six", [5, 6]),
        ("ten-thirty", [10, 30]),
        ("nineteen ninety", [19, 90]),
        ("half of it", [0.5]),
        ("a quarter", [0.25]),
        ("twice", [2]),
        ("multiply 2.50 by 3", [2.5, 3]),
        ("12.30 kg", [12.3]),
        ("from 9 to 17", [9, 17]),
        ("0.05", [0.05]),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text: str, expected: list[float]) -> None:
    assert values(numbers(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "L-204",
        "D-118, bin A3",
        "v1.2.3",
        "192.168.0.1",
        "docs/a1.txt",
        "on 2026-12-03",
        "3 May 2026",
        "at 10:30",
        "4pm",
        "9.30 pm",
        "10h30",
        "7f3c9",
        "room 4b",
        "Q3",
        "1_000",
        "someone is often alone",
        "",
    ],
)
def test_digits_in_names_dates_and_times_are_no_numbers(text: str) -> None:
    assert values(numbers(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("until 2026-12-03.", ["2026-12-03"]),
        ("2026-1-5", ["2026-01-05"]),
        ("2025/12/01", ["2025-12-01"]),
        ("2026-12-03T10:00", ["2026-12-03"]),
        ("03/12/2026 or 3.12.2026", ["2026-12-03", "2026-12-03"]),
        ("3 December 2026", ["2026-12-03"]),
        ("December 3, 2026", ["2026-12-03"]),
        ("3rd of Dec. 2026", ["2026-12-03"]),
        ("from 1 May 2025 to May 5th, 2025", ["2025-05-01", "2025-05-05"]),
        ("2026-02-30 is none", []),
        ("2026-13-45", []),
        ("31 February 2026", []),
        ("v2026-12-03", []),
        ("10.1.12.34", []),
        ("mondays may be fun", []),
    ],
)
def test_dates_become_iso_text(text: str, expected: list[str]) -> None:
    assert values(dates(text)) == expected


def test_relative_dates_count_from_today() -> None:
    today = date.today()
    tomorrow, yesterday = today + timedelta(1), today - timedelta(1)
    assert values(dates("today, tomorrow and yesterday")) == [d.isoformat() for d in (today, tomorrow, yesterday)]
    (friday,) = dates("on Friday")
    assert date.fromisoformat(friday.value).weekday() == 4
    assert today <= date.fromisoformat(friday.value) <= today + timedelta(7)
    assert (friday.begin, friday.end) == (3, 9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 10:30", ["10:30"]),
        ("9:05 am", ["09:05"]),
        ("9.30pm", ["21:30"]),
        ("7 p.m. sharp", ["19:00"]),
        ("12am or 12 pm", ["00:00", "12:00"]),
        ("10h30", ["10:30"]),
        ("16:30:15", ["16:30"]),
        ("2026-12-03T10:00", ["10:00"]),
        ("9:00-10:30", ["09:00", "10:30"]),
        ("from noon to midnight", ["12:00", "00:00"]),
        ("10:30 amazing", ["10:30"]),
        ("24:00", []),
        ("3:2", []),
        ("19.99", []),
        ("L-10:30", []),
        ("1.2.30", []),
        ("v1.20", []),
        ("5 maps", []),
    ],
)
def test_times_of_day_become_24_hour_text(text: str, expected: list[str]) -> None:
    assert values(times(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("say \"hi\" and 'bye'", ["hi", "bye"]),
        ("'don't stop'", ["don't stop"]),
        ("it's Anna's 'book'", ["book"]),
        ("“a b”, ‘c’, `d`", ["a b", "c", "d"]),  # noqa: RUF001
        ("the dogs' bowl and the cats' bowl", []),
        ('"unterminated', []),
        ("''", []),
    ],
)
def test_quoted_text_comes_without_its_quotes(text: str, expected: list[str]) -> None:
    assert values(quoted(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("open docs/a.txt", ["docs/a.txt"]),
        ("What is in b.txt?", ["b.txt"]),
        ("move a.txt, b.log and src/c.py.", ["a.txt", "b.log", "src/c.py"]),
        ("all *.csv and src/**/*.py", ["*.csv", "src/**/*.py"]),
        ("../up, ./here, /etc/passwd, ~/.ssh and .env", ["../up", "./here", "/etc/passwd", "~/.ssh", ".env"]),
        ("read ORDERS.csv and the makefile", ["orders.csv", "Makefile"]),
        ("files in data, please", ["data/"]),
        ("my file.txt", ["My File.txt"]),
        ("copy docs/old notes.md", ["docs/old notes.md"]),
        ("write it to 'two words.txt'", ["two words.txt"]),
        ("the archive folder", ["archive"]),
        ("the weekly reports folder", ["reports"]),
        ("a folder called tmp", ["tmp"]),
        ("make a directory named 'old stuff'", ["old stuff"]),
        ("in folder reports", ["reports"]),
        ("create folder x", ["x"]),
        ("list the reports folder and count", ["reports"]),
        ("in reports folder now", ["reports"]),
        ("the docs/old folder", ["docs/old"]),
        ("which folder uses most", []),
        ("the current directory of this repository", []),
        ("list the folder contents", []),
        ("and/or 24/7 at 90 km/h", []),
        ("e.g. i.e. the U.S.A at 7 p.m.", []),
        ("see http://x.org/a.txt or mail me@x.org", []),
        ("12.5 or 3/4 of it", []),
        ("...", []),
    ],
)
def test_paths_are_found_by_their_form_or_because_they_are_known(text: str, expected: list[str]) -> None:
    assert values(paths(text, FILES)) == expected


PIECES = st.sampled_from(
    "12 -3 1,250.50 $5m 3M five hundred and twenty-one half a dozen 10:30 p.m. 2026-12-03 3rd of May next friday T10 '"  # noqa: SIM905
    ' 31/12/2025 " “ ” ` folder the archive/ a.txt ../ ~ * ? . , ; - -- / // :// @ known called'
    " \n \t é İ ß 😀 \x00 ٣ ² ½".split(" ")
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=8).map(" ".join), st.lists(PIECES).map("".join))


@settings(max_examples=150)
@given(TEXTS)
def test_whatever_the_text_spans_lie_in_it_in_order_and_agree_with_the_values(text: str) -> None:
    finders: list[Callable[[str], list[Mention]]] = [numbers, times, quoted, lambda t: paths(t, FILES)]
    for find in finders:
        end = 0
        for mention in find(text):
            assert end <= mention.begin < mention.end <= len(text)
            end = mention.end
    assert all(text[m.begin : m.end] == m.value for m in quoted(text))
    assert all(text[m.begin : m.end] == m.value for m in paths(text))
    for m in numbers(text):
        assert values(numbers(text[m.begin - bool(m.begin and text[m.begin - 1] in "$€£¥") : m.end])) == [m.value]


@settings(max_examples=40)
@given(TEXTS)
def test_dates_are_real_days(text: str) -> None:
    for mention in dates(text):
        assert date.fromisoformat(mention.value)
        assert 0 <= mention.begin < mention.end <= len(text)


@given(st.floats(-1e12, 1e12, allow_nan=False).map(lambda x: round(x, 2)))
def test_a_number_is_read_back_however_it_is_written(value: float) -> None:
    for form in (f"{value:,.2f}", f"{value:.2f}"):
        assert values(numbers(f"take {form} of it")) == [value]


@given(st.integers(1, 999), st.integers(0, 999))
def test_a_number_in_words_is_read_back(thousands: int, rest: int) -> None:
    words = " ".join([f"{in_words(thousands)} thousand", *([in_words(rest)] if rest else [])])
    assert values(numbers(f"take {words} of it")) == [1000 * thousands + rest]


def in_words(n: int) -> str:
    ones = (  # noqa: SIM905
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen"
    ).split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
    if n >= 100:
        return f"{ones[n // 100]} hundred" + (f" and {in_words(n % 100)}" if n % 100 else "")
    if n >= 20:
        return tens[n // 10 - 2] + (f"-{ones[n % 10]}" if n % 10 else "")
    return ones[n]


@pytest.mark.parametrize("piece", ["a", "a.", "'a ", "‘", "folder ", "-", "1,", "a@", "http://", " ", "one "])  # noqa: RUF001
def test_time_grows_with_the_text_not_with_its_square(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.process_time()
        for find in (numbers, times, quoted, paths):
            find(text)
        return time.process_time() - begin

    seconds(500)
    assert seconds(16_000) < 12 * max(seconds(4_000), 0.01)
