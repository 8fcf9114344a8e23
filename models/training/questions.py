"""Questions with passages to learn reading from: hand-written documents, a grammar of facts, public sets in one form.

`corpus/reading/README.md` describes the files. Values are drawn anew each time, so that nothing is learned but reading.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ..house.reader import trim
from .public import read_lines

CORPUS = Path(__file__).parent / "corpus"


Piece = tuple[str, tuple[int, int] | None]
"""A part of a passage, and the characters of the answer in it."""


@dataclass(frozen=True)
class Question:
    """A question and a passage. `answer` is the characters [start, end) of the passage; none if it does not say."""

    text: str
    passage: str
    answer: tuple[int, int] | None
    source: str = ""

    @property
    def answer_text(self) -> str:
        return self.passage[slice(*self.answer)] if self.answer else ""


@dataclass(frozen=True)
class Document:
    """A hand-written text with its questions; `unanswered` are questions on its subject that it does not answer."""

    name: str
    kind: str
    text: str
    answered: tuple[Question, ...]
    unanswered: tuple[str, ...]
    held_out: bool


def read_documents(folder: Path = CORPUS / "reading") -> list[Document]:
    """The hand-written documents. Raises `ValueError` naming the one whose answer does not stand in its text."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        for entry in yaml.load(path.read_text("utf-8"), yaml.BaseLoader):
            text = _unwrapped(entry["text"])
            answered = tuple(
                Question(question, text, _place(text, answer, entry["name"]), "documents")
                for answer, questions in entry["answers"].items()
                for question in questions.split(" / ")
            )
            unanswered = tuple(entry["unanswered"].split(" / "))
            held_out = entry.get("held_out") == "true"
            found.append(Document(entry["name"], entry["kind"], text, answered, unanswered, held_out))
    return found


def _unwrapped(text: str) -> str:
    """The text with a line for each paragraph, list item or heading."""
    return re.sub(r"(?m)^(?!#)(.*\S)\n[ ]*(?!\s|- |#|\d+\. |\d+:\d\d |$)", r"\1 ", text.strip())


def _place(text: str, answer: str, name: str) -> tuple[int, int]:
    """Where an answer stands; `before|answer|after` tells which of several places is meant."""
    before, words, after = answer.split("|") if "|" in answer else ("", answer, "")
    at = text.find(before + words + after)
    if at < 0:
        raise ValueError(f"{name!r} has an answer that is not in its text: {answer!r}")
    return at + len(before), at + len(before) + len(words)


def sentences(text: str) -> list[tuple[int, int]]:
    """The characters of each sentence or line."""
    ends = [m.end() for m in re.finditer(r"(?:[.!?][\"')]?(?=\s+[A-Z0-9\"'(-])|\n)\s*", text)]
    bounds = [0, *ends, len(text)]
    return [(a, b) for a, b in pairwise(bounds) if text[a:b].strip()]


# How questions are put


@functools.cache
def _frames() -> Mapping[str, Any]:
    return dict(yaml.safe_load((CORPUS / "questions" / "frames.yaml").read_text("utf-8")))


def framed(question: str, kind: str, r: random.Random) -> str:
    """A question as people type it: with the document named or not, politely or not, with or without capitals."""
    if r.random() < 0.5:
        frames = _frames()
        nouns = frames["kinds"].get(kind) or frames["kinds"]["any"]
        document = r.choice(frames["files"] if r.random() < 0.6 else nouns)
        bare = question if re.match(r"[A-Z]{2}|I\b", question) else question[0].lower() + question[1:]
        frame = r.choice(frames["questions" if question.endswith("?") else "orders"])
        question = frame.replace("{q}", bare.rstrip("?.")).replace("{Q}", question).replace("{document}", document)
    if r.random() < 0.15:
        question = question.rstrip("?.")
    if r.random() < 0.2:
        question = question.lower()
    return question


# Documents


def from_document(document: Document, others: Sequence[Document], r: random.Random) -> Question:
    """One of a document's questions with a part of its text: cut, laid out and mixed with another text at random."""
    draw = r.random()
    if draw < 0.1 and document.unanswered:
        question, answer = r.choice(document.unanswered), None
    elif draw < 0.18 and (strangers := [d for d in others if d.kind != document.kind]):
        question, answer = r.choice(r.choice(strangers).answered).text, None
    else:
        picked = r.choice(document.answered)
        question, answer = picked.text, picked.answer
    pieces: list[Piece] = [(document.text[a:b], _within(answer, a, b)) for a, b in sentences(document.text)]
    if answer and not any(place for _, place in pieces):
        pieces = [(document.text, answer)]
    if answer and draw > 0.88 and len(pieces) > 3:
        gone = document.text[slice(*answer)]
        pieces = [(text, None) for text, place in pieces if not place and gone not in text]
        answer = None
    at = next((i for i, (_, place) in enumerate(pieces) if place), r.randrange(max(1, len(pieces))))
    if r.random() < 0.6:
        first = max(0, at - r.randrange(6))
        pieces = pieces[first : at + 1 + r.randrange(6)]
    if r.random() < 0.25:
        other = r.choice(others).text
        a, b = r.choice(sentences(other))
        pieces.insert(r.choice([0, len(pieces)]), (other[a:b], None))
    return _with_other_figures(_joined(framed(question, document.kind, r), pieces, r, "documents"), r)


def _within(answer: tuple[int, int] | None, a: int, b: int) -> tuple[int, int] | None:
    return (answer[0] - a, answer[1] - a) if answer and a <= answer[0] and answer[1] <= b else None


def _joined(question: str, pieces: Sequence[Piece], r: random.Random, source: str) -> Question:
    """Pieces as one passage: prose, lines or a list."""
    style = r.random()
    lead, tail = ("", " ") if style < 0.6 else ("", "\n") if style < 0.8 else (r.choice(["- ", "* ", "• "]), "\n")
    passage, answer = "", None
    for text, place in pieces:
        kept = text.rstrip()
        passage += lead
        if place:
            answer = (len(passage) + place[0], len(passage) + place[1])
        passage += kept + ("\n" if text.endswith("\n") else tail)
    return Question(question, _wrapped(passage.rstrip(), r) if r.random() < 0.25 else passage.rstrip(), answer, source)


def _wrapped(text: str, r: random.Random) -> str:
    """The text with some blanks turned into line ends, as in mails and minutes; no character moves."""
    width, column, letters = r.randint(50, 100), 0, list(text)
    for i, letter in enumerate(letters):
        column = 0 if letter == "\n" else column + 1
        if letter == " " and column > width:
            letters[i], column = "\n", 0
    return "".join(letters)


def _with_other_figures(q: Question, r: random.Random) -> Question:
    """Now and then with other numbers, the same ones in question and passage, so that they are not learned by heart."""
    if r.random() < 0.5:
        return q
    drawn: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        old = match[0]
        if old not in drawn:
            drawn[old] = str(r.randint(*_alike(old))).zfill(len(old) if old[0] == "0" else 0)
        return drawn[old]

    def changed(text: str) -> str:
        return re.sub(r"(?<![\w])\d{1,6}(?![\w])", other, text)

    if not q.answer:
        return replace(q, text=changed(q.text), passage=changed(q.passage))
    before, words, after = map(changed, (q.passage[: q.answer[0]], q.answer_text, q.passage[q.answer[1] :]))
    place = (len(before), len(before) + len(words))
    return replace(q, text=changed(q.text), passage=before + words + after, answer=place)


def _alike(figure: str) -> tuple[int, int]:
    """From where to where another figure of this kind is drawn: a month, a day, minutes, a year, or as many digits."""
    for low, high in ((1, 12), (13, 28), (29, 59), (1900, 2099)):
        if low <= int(figure) <= high:
            return low, high
    return 10 ** (len(figure) - 1), 10 ** len(figure) - 1


# A grammar of facts


@dataclass(frozen=True)
class Fact:
    """A kind of statement: its wordings, and for each slot the questions that it answers (`.`: the whole sentence)."""

    says: Sequence[str]
    asks: Mapping[str, Sequence[str]]
    many: int = 1


class Grammar:
    """Draws documents of facts with questions on them."""

    SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")

    def __init__(self, path: Path = CORPUS / "questions" / "facts.yaml") -> None:
        raw = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
        self.pools: Mapping[str, list[str]] = raw["pools"]
        self.kinds = {
            kind: [Fact(f["says"], f["asks"], int(f.get("many", 1))) for f in facts]
            for kind, facts in raw["kinds"].items()
        }

    def draw(self, r: random.Random) -> Question:
        """One question on an invented document; in a third of the cases on something that the document leaves out."""
        kind = r.choice(list(self.kinds))
        facts = self.kinds[kind]
        asked = r.choice(facts)
        slot = r.choice(list(asked.asks))
        told = [f for f in r.sample(facts, min(len(facts), r.randint(2, 7))) if f is not asked]
        answered = r.random() > 0.3
        values = self._values(asked, r)
        wording = r.choice(asked.says)
        if slot != "." and f"{{{slot}" not in wording:
            wording = next(w for w in asked.says if f"{{{slot}" in w)
        question = self._fill(r.choice(asked.asks[slot]), values)[0]
        told = [fact for fact in told for _ in range(r.randint(1, fact.many))]
        pieces: list[Piece] = [(self._fill(r.choice(f.says), self._values(f, r))[0], None) for f in told]
        if asked.many > 1 and "{" in "".join(asked.asks[slot]):
            for _ in range(r.randint(1, asked.many - 1)):
                rival = self._values(asked, r)
                if not set(rival.values()) & set(values.values()):
                    pieces.append((self._fill(r.choice(asked.says), rival)[0], None))
        r.shuffle(pieces)
        if answered:
            text, places = self._fill(wording, values)
            pieces.insert(r.randint(0, len(pieces)), (text, (0, len(text)) if slot == "." else places[slot]))
        return _joined(framed(question, kind, r), pieces, r, "facts")

    def _values(self, fact: Fact, r: random.Random) -> dict[str, str]:
        slots = {m[1]: m[2] or m[1] for says in fact.says for m in self.SLOT.finditer(says)}
        values: dict[str, str] = {}
        for name, pool in slots.items():
            free = [v for v in (self._value(pool, r) for _ in range(4)) if v not in values.values()]
            values[name] = free[0] if free else self._value(pool, r)
        return values

    def _value(self, pool: str, r: random.Random) -> str:
        return VALUES[pool](r) if pool in VALUES else r.choice(self.pools[pool])

    def _fill(self, template: str, values: Mapping[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
        """The template with its values, and where each value stands."""
        out, at, places = "", 0, {}
        for m in self.SLOT.finditer(template):
            out += template[at : m.start()]
            value = values[m[1]]
            places[m[1]] = (len(out), len(out) + len(value))
            out, at = out + value, m.end()
        out += template[at:]
        return out[:1].upper() + out[1:], places


MONTHS = [date(2000, month, 1).strftime("%B") for month in range(1, 13)]
DAYS = [date(2001, 1, day).strftime("%A") for day in range(1, 8)]
SMALL = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty", "thirty"]


def _date(r: random.Random) -> str:
    d = date(r.randint(2015, 2029), r.randint(1, 12), r.randint(1, 28))
    month = f"{d:%B}"
    return r.choice(
        [
            f"{d.day} {month}",
            f"{d.day} {month} {d.year}",
            f"{month} {d.day}",
            f"{month} {d.day}, {d.year}",
            f"{d:%A}, {d.day} {month}",
            f"{d.day}/{d.month}/{d.year}",
            d.isoformat(),
        ]
    )


def _time(r: random.Random) -> str:
    t = time(r.randint(6, 21), 5 * r.randint(0, 11))
    half, twelfth = "a" if t.hour < 12 else "p", (t.hour - 1) % 12 + 1
    clocks = [f"{t:%H:%M}", f"{t.hour}:{t:%M}", f"{t.hour}.{t:%M}"]
    return r.choice([*clocks, f"{twelfth} {half}m", f"{twelfth}:{t:%M} {half}.m.", "noon"])


def _money(r: random.Random) -> str:
    amount = r.choice([r.randint(2, 99), 5 * r.randint(20, 200), 50 * r.randint(20, 900)])
    cents = f"${amount}.{r.choice(['50', '95', '00'])}"
    sign, word = r.choice(["$", "€", "£"]), r.choice(["euros", "pounds", "EUR", "dollars"])
    return r.choice([f"{sign}{amount:,}", f"{amount:,} {word}", cents])


def _few(r: random.Random) -> str:
    return r.choice([str(r.randint(2, 60)), r.choice(SMALL)])


def _measure(r: random.Random, *units: str) -> str:
    return f"{r.choice([str(r.randint(2, 95)), f'{r.randint(0, 9)}.{r.randint(1, 9)}'])} {r.choice(units)}"


def _code(r: random.Random) -> str:
    return "".join(r.choices("ABCDEFGHKLMNPRSTVWX", k=2)) + r.choice(["-", " ", "", "/"]) + str(r.randint(10, 99999))


VALUES: Mapping[str, Callable[[random.Random], str]] = {
    "date": _date,
    "time": _time,
    "money": _money,
    "code": _code,
    "ordinal": lambda r: r.choice(["first", "second", "third", "tenth", "15th", "last working day", "1st", "3rd"]),
    "version": lambda r: ".".join(str(r.randint(1, 14)) for _ in range(r.choice([2, 2, 3]))),
    "day": lambda r: r.choice(DAYS),
    "month": lambda r: r.choice(MONTHS),
    "year": lambda r: str(r.randint(1890, 2027)),
    "count": lambda r: r.choice([_few(r), f"{100 * r.randint(1, 90):,}"]),
    "percent": lambda r: r.choice(["{}%", "{} percent", "{}.5%"]).format(r.randint(1, 60)),
    "period": lambda r: f"{_few(r)} {r.choice(['days', 'weeks', 'months', 'years', 'working days', 'hours'])}",
    "minutes": lambda r: f"{r.choice([str(5 * r.randint(1, 18)), r.choice(SMALL)])} minutes",
    "phone": lambda r: (
        f"{r.choice(['0', '+44 ', '+351 '])}{r.randint(20, 99)} {r.randint(1000, 9999)} {r.randint(10, 999)}"
    ),
    "room": lambda r: r.choice(["room {}", "Room B{}", "Room C-{}", "meeting room {}"]).format(r.randint(1, 420)),
    "weight": lambda r: _measure(r, "kg", "kilograms", "grams", "g", "tonnes", "pounds"),
    "length": lambda r: _measure(r, "cm", "m", "metres", "km", "mm", "kilometres", "miles"),
    "temperature": lambda r: f"{r.randint(-20, 240)} {r.choice(['°C', 'degrees', '°F', 'degrees Celsius'])}",
}


# Public sets


def covid(data: Path, r: random.Random, longest: int = 180) -> list[Question]:
    """COVID-QA: the questions whose answer is short enough, each with about 130 words around it."""
    found = []
    for entry in read_lines(data / "covid_qa" / "passages.jsonl.gz"):
        context = entry["context"]
        for qa in entry["qas"]:
            text, start = qa["answers"][0]
            start, end = trim(context, start, start + len(text))
            if not 0 < end - start <= longest:
                continue
            first = max(0, start - r.randint(0, 700))
            first = context.find(" ", first) + 1 if 0 < first < start and " " in context[first:start] else first
            last = context.rfind(" ", end, end + 800 - (start - first)) if end + 800 < len(context) else len(context)
            place = (start - first, end - first)
            found.append(Question(qa["question"].strip(), context[first : max(last, end)], place, "covid"))
    return found


def clozes(data: Path, r: random.Random, count: int) -> list[Question]:
    """Questions nobody asked: for a phrase of a sentence of the COVID papers, with the rest of the sentence.

    (After Lewis, Denoyer and Riedel 2019, Unsupervised question answering by cloze translation, arXiv 1906.04980.)
    """
    papers = [e["context"] for e in read_lines(data / "covid_qa" / "passages.jsonl.gz")]
    found: list[Question] = []
    while papers and len(found) < count:
        paper = r.choice(papers)
        bounds = sentences(paper)
        at = r.randrange(len(bounds))
        text = paper[slice(*bounds[at])].strip()
        phrases = [m.span() for m in PHRASE.finditer(text) if m.start() > 2 and m[0].split()[0].lower() not in STOP]
        if not 50 < len(text) < 330 or not phrases:
            continue
        begin, end = r.choice(phrases)
        around = [paper[slice(*b)].strip() for b in bounds[max(0, at - r.randint(0, 3)) : at]]
        after = [paper[slice(*b)].strip() for b in bounds[at + 1 : at + 1 + r.randint(1, 3)]]
        gone = r.random() < 0.2
        passage = " ".join([*around, *([] if gone else [text]), *after])
        offset = sum(len(s) + 1 for s in around)
        if len(passage) > 1100 or not passage or (gone and text[begin:end].lower() in passage.lower()):
            continue
        question = _cloze(text, begin, end, r)
        found.append(Question(question, passage, None if gone else (offset + begin, offset + end), "clozes"))
    return found


STOP = frozenset(
    re.findall(
        r"\w+",
        """the a an of in on at to for by with from and or but as is are was were be been being has have had this that
        these those it its their our we they he she which who whom whose when where while than then also not no can
        could may might will would should do does did such into over between during after before about through per via
        both each other more most some all only however""",
    )
)
PHRASE = re.compile(
    r"(?:\d[\d.,]*\s?(?:%|[a-z]+)?"  # a number and its unit
    r"|(?:[A-Z][\w-]+(?:\s(?:of\s)?)?){1,4}"  # a name
    r"|[a-z][\w-]{3,}(?:\s[a-z][\w-]{3,}){0,2})\b"  # some words
)


def _cloze(text: str, begin: int, end: int, r: random.Random) -> str:
    phrase = text[begin:end]
    if re.fullmatch(r"(19|20)\d\d", phrase):
        asker = r.choice(["when", "in what year", "in which year"])
    elif phrase[0].isdigit():
        asker = r.choice(["how many", "how much", "what percentage" if "%" in phrase else "what number"])
    elif phrase[0].isupper():
        asker = r.choice(["what", "which", "who", "where"])
    else:
        asker = r.choice(["what", "what", "what", "which", "how", "why"])
    left = re.findall(r"[\w%-]+", text[:begin])[-r.randint(4, 9) :]
    right = re.findall(r"[\w%-]+", text[end:])[: r.randint(3, 8)]
    order = r.choice([[asker, *right, *left], [asker, *left, *right], [*left, asker, *right]])
    kept = [w for w in order if w == asker or r.random() > (0.35 if w.lower() in STOP else 0.12)]
    return " ".join(kept) + "?"


def records(data: Path, r: random.Random, count: int) -> list[Question]:
    """SGD: what users really asked about a result, with the result of a call told as lines or as prose."""
    asked: dict[tuple[str, str], list[str]] = {}
    for turn in read_lines(data / "sgd" / "turns.jsonl.gz"):
        one = len(turn["requested"]) == 1 and turn["text"].count("?") == 1 and not turn["values"]
        if one and turn["split"] == "train" and len(turn["text"]) < 90:
            asked.setdefault((turn["service"], turn["requested"][0]), []).append(turn["text"])
    about = {
        (s["service_name"], slot["name"]): slot["description"]
        for s in read_lines(data / "sgd" / "schema.jsonl.gz")
        if s["split"] == "train" and s["wording"] == 0
        for slot in s["slots"]
    }
    results: dict[str, list[dict[str, str]]] = {}
    for call in read_lines(data / "sgd" / "calls.jsonl.gz"):
        if call["split"] == "train" and call["results"]:
            results.setdefault(call["service"], []).append(r.choice(call["results"]))
    keys = [k for k in sorted(asked) if k[0] in results]
    found: list[Question] = []
    while keys and len(found) < count:
        service, slot = r.choice(keys)
        record = {k: str(v) for k, v in r.choice(results[service]).items() if str(v) not in ("True", "False")}
        if slot not in record or len(record) < 3:
            continue
        bare = f"{r.choice(['What is the', 'the', 'Give me the'])} {slot.replace('_', ' ')}"
        question = r.choices([r.choice(asked[service, slot]), bare, about[service, slot]], [0.65, 0.25, 0.1])[0]
        gone = r.random() < 0.25
        names = [n for n in record if n != slot or not gone]
        r.shuffle(names)
        style = r.choice(["{0}: {1}", "The {0} is {1}.", '"{2}": "{1}",', "{0} {1},", "Its {0} is {1}."])
        pieces: list[Piece] = []
        for name in names:
            text = style.format(name.replace("_", " "), "\0", name)
            at = text.index("\0")
            pieces.append((text.replace("\0", record[name]), (at, at + len(record[name])) if name == slot else None))
        found.append(_joined(question, pieces, r, "records"))
    return found


def mentions(data: Path, r: random.Random, count: int) -> list[Question]:
    """SNIPS and RESTAURANTS-8K: a slot's value as the answer in a few things that people said."""
    asks: Mapping[str, list[str]] = _frames()["slots"]
    said = (t for name in ("snips_slots", "restaurant8k") for t in read_lines(data / name / "turns.jsonl.gz"))
    turns = [t for t in said if t["split"] == "train" and t["spans"]]
    found: list[Question] = []
    while turns and len(found) < count:
        turn = r.choice(turns)
        known = [s for s in turn["spans"] if s[0] in asks]
        slots = {s[0] for s in turn["spans"]}
        if not known:
            continue
        gone = r.random() < 0.3
        slot, begin, end = r.choice(known)
        if gone:
            slot = r.choice([s for s in asks if s not in slots])
        pieces: list[Piece] = [(turn["text"], None if gone else (begin, end))]
        while len(pieces) < 3:
            other = r.choice(turns)
            if not {s[0] for s in other["spans"]} & {slot, *slots}:
                pieces.append((other["text"], None))
        r.shuffle(pieces)
        found.append(_joined(r.choice(asks[slot]), pieces, r, "mentions"))
    return found


# All together

WEIGHTS = {"documents": 0.38, "facts": 0.22, "covid": 0.13, "clozes": 0.15, "records": 0.08, "mentions": 0.04}


def draws(data: Path | None, seed: int, weights: Mapping[str, float] = WEIGHTS) -> Iterator[Question]:
    """Endless questions of all sources; some of the public sets' meet another passage, and have no answer."""
    r = random.Random(seed)
    documents = [d for d in read_documents() if not d.held_out]
    grammar = Grammar()
    fixed: dict[str, list[Question]] = {}
    if data:
        fixed["covid"] = covid(data, r)
        fixed["clozes"] = clozes(data, r, 12000)
        fixed["records"] = records(data, r, 5000)
        fixed["mentions"] = mentions(data, r, 3000)
    names = [n for n in weights if n in ("documents", "facts") or fixed.get(n)]
    while True:
        name = r.choices(names, [weights[n] for n in names])[0]
        if name == "documents":
            yield from_document(r.choice(documents), documents, r)
        elif name == "facts":
            yield grammar.draw(r)
        else:
            q = r.choice(fixed[name])
            if name in ("covid", "clozes") and r.random() < 0.15:
                q = replace(q, passage=r.choice(fixed[name]).passage, answer=None)
            yield replace(q, text=framed(q.text, "any", r)) if name == "covid" else q
