"""Questions over invented tables and the queries they ask for: the wordings of `corpus/tables/questions.yaml`."""

from __future__ import annotations

import datetime
import functools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..house.slots import words as spoken
from ..house.table import Column, Condition, Order, Selected, Sketch
from ..house.table_sketch import Aggregate, Operator, Part
from .table_schemas import MEASURED_STRANGERS, TRAINED_STRANGERS, Field, Filled, Schema, fill, read_yaml, schemas

BEGIN, END = "\ue000", "\ue001"
"""Stand around the value of a condition while a question is put together; behind BEGIN comes the condition's number."""


@dataclass(frozen=True)
class Example:
    """A question and its query. `spans` are the characters of the value of each column that has a condition."""

    question: str
    columns: tuple[Column, ...]
    shape: str
    sketch: Sketch
    spans: Mapping[str, tuple[int, int]]
    rows: tuple[tuple[object, ...], ...] = ()


def questions(rng: random.Random, held_out: bool = False) -> Iterator[Example]:
    """Questions without end."""
    tables = schemas(held_out)
    while True:
        filled = fill(rng.choice(tables), rng, tables, MEASURED_STRANGERS if held_out else TRAINED_STRANGERS)
        for _ in range(2):
            example = ask(filled, rng)
            if example is not None:
                yield example


def ask(table: Filled, rng: random.Random) -> Example | None:
    """One question over a filled table; None if the drawn kind of question does not suit it."""
    kind = rng.choices(list(KINDS), [k.weight for k in KINDS.values()])[0]
    writer = _Writer(table, rng)
    asked = KINDS[kind].write(writer)
    if asked is None:
        return None
    shape, wordings, sketch = asked
    template = rng.choice(wordings)
    text = writer.fill(_expand(template, rng))
    if text is None:
        return None
    return writer.finished(text, shape, sketch)


@functools.cache
def _wordings() -> dict[str, list[str]]:
    wordings: dict[str, list[str]] = read_yaml("questions.yaml")
    return wordings


def _expand(template: str, rng: random.Random) -> str:
    while match := re.search(r"\(([^()]*)\)", template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return template


# The forms of words


def plural(noun: str) -> str:
    """`country` -> `countries`, `person/people` -> `people`, `number of pupils` as it is."""
    if "/" in noun:
        return noun.split("/")[1]
    head, of, tail = noun.partition(" of ")
    if of:
        return noun if head.endswith("s") or head in ("number", "kilos", "hours") else plural(head) + of + tail
    if noun.endswith("s") and not noun.endswith("ss") and noun not in ("bus", "status", "gas"):
        return noun
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|ch|sh|z)$", noun) else "s")


def singular(noun: str) -> str:
    return noun.split("/")[0]


_TO_ONE = {
    "are": "is",
    "have": "has",
    "were": "was",
    "do": "does",
    "go": "goes",
    "can": "can",
    "could": "could",
    "would": "would",
}
_TO_MANY = {"is": "are", "has": "have", "was": "were", "does": "do", "goes": "go", "did": "did"}
_PAST = {
    "made",
    "went",
    "came",
    "took",
    "got",
    "left",
    "sold",
    "won",
    "lost",
    "ran",
    "drew",
    "had",
    "led",
    "gave",
    "spent",
    "cost",
    "hit",
    "grew",
    "began",
    "fell",
    "flew",
    "rose",
    "said",
    "lit",
    "sent",
    "met",
    "held",
    "stood",
    "drove",
    "rode",
    "shone",
    "swam",
    "burned",
    "rang",
    "wrote",
    "read",
    "put",
    "kept",
    "became",
    "ate",
}


def one(phrase: str) -> str:
    """A verb phrase of many, for one: `earn more` -> `earns more`."""
    verb, _, rest = phrase.partition(" ")
    if verb in _TO_ONE:
        verb = _TO_ONE[verb]
    elif not (verb in _PAST or verb.endswith("ed")):
        verb = (
            verb[:-1] + "ies"
            if re.search(r"[^aeiou]y$", verb)
            else verb + ("es" if re.search(r"(s|x|ch|sh)$", verb) else "s")
        )
    return f"{verb} {rest}".strip()


def many(phrase: str) -> str:
    """A verb phrase of one, for many: `is the oldest` -> `are the oldest`."""
    verb, _, rest = phrase.partition(" ")
    if verb in _TO_MANY:
        verb = _TO_MANY[verb]
    elif verb not in _PAST and verb.endswith("s") and not verb.endswith("ss"):
        verb = verb[:-1]
    return f"{verb} {rest}".strip()


# Conditions

COMPARISONS: dict[str, list[str]] = {
    ">": ["over", "above", "more than", "greater than", "higher than", "exceeding", "larger than", "bigger than", ">"],
    "<": ["under", "below", "less than", "fewer than", "lower than", "smaller than", "<"],
    ">=": ["at least", "no less than", "a minimum of", ">=", "not less than"],
    "<=": ["at most", "no more than", "up to", "a maximum of", "<=", "not more than"],
    "=": ["exactly", "", "", "precisely"],
}
BEHIND = {">=": [" or more", " or above", " and up"], "<=": [" or less", " or fewer", " or below"]}


@dataclass
class Said:
    """A condition and the ways to say it: behind the noun, as a verb phrase of many, before the noun, at the start."""

    conditions: list[Condition]
    behind: list[str]
    verbs: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)


class _Writer:
    """Writes one question: keeps the columns that are spoken for, and the slots of its wording."""

    def __init__(self, table: Filled, rng: random.Random) -> None:
        self.table = table
        self.rng = rng
        self.used: list[Field] = []
        self.said: list[Said] = []
        self.slots: dict[str, str] = {}
        noun = rng.choice(table.schema.rows)
        if rng.random() < 0.2:
            noun = (
                "person/people"
                if table.schema.people
                else rng.choice(["entry", "record", "row", "one", "item", "line"])
            )
        self.slots |= {"row": singular(noun), "rows": plural(noun), "that": "who" if table.schema.people else "that"}
        self.key = next(iter(table.known("key")), None)
        if self.key:
            self.name_key(self.key)
        self.slots["who1"] = self._who(self.key is not None and (self.key.person or table.schema.people), noun)

    def _who(self, person: bool, noun: str) -> str:
        return (
            "who"
            if person and self.rng.random() < 0.75
            else f"{self.rng.choice(['which', 'which', 'what'])} {singular(noun)}"
        )

    def name_key(self, key: Field) -> None:
        word = self.word(key)
        self.slots |= {"key": word, "keys": plural(word)}

    def word(self, f: Field) -> str:
        """What a question calls a column: mostly a word of its own, sometimes the column's name."""
        if self.rng.random() < 0.2:
            name = spoken(self.table.column(f).name)
            if not any(c.isdigit() for c in name):
                return name
        return f.words[0] if self.rng.random() < 0.5 else self.rng.choice(f.words)

    def pick(self, *kinds: str, having: Callable[[Field], bool] = lambda f: True) -> Field | None:
        """A column of these kinds that is not spoken for yet; it is from now on."""
        free = [f for f in self.table.known(*kinds) if f not in self.used and having(f)]
        if not free:
            return None
        self.used.append(chosen := self.rng.choice(free))
        return chosen

    def name(self, f: Field) -> str:
        return self.table.column(f).name

    def measure(self, f: Field, slot: str = "m") -> None:
        word = self.word(f)
        self.slots |= {slot: word, slot + "s": plural(word)}
        if f.phrases("unit"):
            self.slots["unit"] = self.rng.choice(f.phrases("unit"))

    def group(self, f: Field, part: Part = "none") -> None:
        names = {
            "day": ["day", "date"],
            "weekday": ["weekday", "day of the week"],
            "month": ["month"],
            "year": ["year"],
        }
        word = self.rng.choice(names[part]) if part != "none" else self.word(f)
        self.slots |= {"g": word, "gs": "days of the week" if word.startswith("day of") else plural(word)}
        self.slots["whog"] = self._who(f.person and part == "none", word)

    def direction(self, f: Field | None, desc: bool) -> None:
        """Fills the words that say highest or lowest."""
        rng = self.rng
        if f is not None and f.kind in ("date", "year"):
            high = ["latest", "most recent", "last", "newest"] if desc else ["earliest", "first", "oldest"]
        else:
            high = (
                ["highest", "highest", "largest", "biggest", "greatest", "maximum", "top", "max"]
                if desc
                else ["lowest", "lowest", "smallest", "minimum", "least", "min"]
            )
        self.slots |= {
            "high": rng.choice(high),
            "low": rng.choice(["lowest", "smallest"] if desc else ["highest", "largest"]),
            "most": rng.choice(
                ["most", "most", "highest", "largest", "biggest"] if desc else ["least", "fewest", "lowest", "smallest"]
            ),
            "adv": rng.choice(
                ["highest", "best", "top", "leading", "strongest"] if desc else ["lowest", "worst", "last", "weakest"]
            ),
            "common": rng.choice(
                ["most common", "most frequent", "commonest", "most popular", "busiest", "most used"]
                if desc
                else ["least common", "rarest", "least frequent", "least popular"]
            ),
            "oft": rng.choice(
                ["most often", "most frequently", "the most", "most"]
                if desc
                else ["least often", "the least", "most rarely"]
            ),
            "early": rng.choice(
                ["latest", "last", "most recent", "newest"] if desc else ["earliest", "first", "oldest"]
            ),
            "big": rng.choice(["high", "large", "big"]),
        }
        if f is None:
            return
        if phrases := f.phrases("top" if desc else "bottom"):
            self.slots["top"] = rng.choice(phrases)
            self.slots["tops"] = many(self.slots["top"])
        if phrases := f.phrases("high" if desc else "low"):
            self.slots["adj"] = rng.choice(phrases)

    def limit(self) -> int:
        k = self.rng.choice([2, 3, 3, 3, 4, 5, 5, 5, 6, 7, 8, 10, 10, 15, 20])
        words = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 10: "ten", 20: "twenty"}
        self.slots["k"] = words[k] if k in words and self.rng.random() < 0.45 else str(k)
        return k

    # Conditions

    def conditions(self, *, at_least: int = 0, chances: Sequence[float] = (0.45, 0.42, 0.13)) -> tuple[Condition, ...]:
        """Draws conditions on free columns and fills their slots."""
        count = max(at_least, self.rng.choices(range(len(chances)), chances)[0])
        for _ in range(count):
            f = self.pick(
                *self.rng.choice(
                    [
                        ("group", "group", "key"),
                        ("group",),
                        ("group",),
                        ("amount", "level", "year"),
                        ("date",),
                        ("flag",),
                    ]
                )
            )
            if f is not None and (f.kind != "key" or self.rng.random() < 0.15):
                self.said.append(self._say(f))
        if len(self.said) < at_least and (f := self.pick("group", "amount", "level", "date", "flag")):
            self.said.append(self._say(f))
        return tuple(c for s in self.said for c in s.conditions)

    def mark(self, text: str, at: int | None = None) -> str:
        return f"{BEGIN}{chr(0xE010 + (len(self.said) if at is None else at))}{text}{END}"

    def _say(self, f: Field) -> Said:
        match f.kind:
            case "group" | "key":
                return self._say_text(f)
            case "date":
                return self._say_date(f)
            case "flag":
                return self._say_flag(f)
            case _:
                return self._say_number(f)

    def _say_text(self, f: Field) -> Said:
        rng, column, w = self.rng, self.table.column(f), self.word(f)
        value = rng.choice(column.values)
        roll = rng.random()
        if roll < 0.08 and len(column.values) > 2:
            other = rng.choice([v for v in column.values if v != value])
            first, second = sorted((value, other), key=lambda _: rng.random())
            text = self.mark(f"{self.surface(first)} {rng.choice(['or', 'or', 'and'])} {self.surface(second)}")
            conditions = [Condition(column.name, "=", (first, second))]
        elif roll < 0.16:
            return self._say_not(f, column, value, w)
        elif roll < 0.2 and len(value) > 4 and value.isascii():
            part = rng.choice(re.findall(r"\w{3,}", value) or [value])
            text = self.mark(part.lower() if rng.random() < 0.5 else part)
            told = [
                f"whose {w} contains {text}",
                f"with {text} in the {w}",
                f"whose {w} includes {text}",
                f"containing {text} in the {w}",
            ]
            return Said([Condition(column.name, "contains", part)], told)
        else:
            text = self.mark(self.surface(value))
            conditions = [Condition(column.name, "=", value)]
        behind = [p.replace("{v}", text) for p in f.phrases("with")] * 2
        behind += [
            f"with {w} {text}",
            f"where the {w} is {text}",
            f"whose {w} is {text}",
            f"for {w} {text}",
            f"with the {w} {text}",
            f"where {w} is {text}",
            f"for {text}",
        ]
        if not isinstance(conditions[0].value, tuple):
            behind += [f"where {w} = {text}", f"of {w} {text}", f"for the {w} {text}"]
        before = [text] if f.spec.get("adj") and not isinstance(conditions[0].value, tuple) else []
        return Said(conditions, behind, [p.replace("{v}", text) for p in f.phrases("vp")], before)

    def _say_not(self, f: Field, column: Column, value: str, w: str) -> Said:
        text = self.mark(self.surface(value))
        behind = [f"not {p}".replace("{v}", text) for p in f.phrases("with")]
        behind += [
            f"whose {w} is not {text}",
            f"except {text}",
            f"other than {text}",
            f"excluding {text}",
            f"without {text}",
            f"with a {w} other than {text}",
            f"that are not {text}",
        ]
        verbs = [
            re.sub(r"^(are|were)\b", r"\1 not", p).replace("{v}", text)
            for p in f.phrases("vp")
            if re.match(r"(are|were)\b", p)
        ]
        verbs += [
            "do not " + p.replace("{v}", text)
            for p in f.phrases("vp")
            if re.match(r"(work|live|come|belong|lie|stand|play|have)\b", p)
        ]
        return Said([Condition(column.name, "!=", value)], behind, verbs)

    def surface(self, value: str) -> str:
        """A cell value as people write it."""
        roll = self.rng.random()
        if roll < 0.15:
            return value.lower()
        return f'"{value}"' if roll < 0.18 else value.capitalize() if roll < 0.21 and value.islower() else value

    def _say_number(self, f: Field) -> Said:
        rng, column, w = self.rng, self.table.column(f), self.word(f)
        low, high = f.spec["range"]
        value = _round(rng.uniform(low, high) if f.kind != "year" else rng.randint(low, high), f.kind == "year")
        unit = rng.choice(f.phrases("unit")) if f.phrases("unit") else ""
        if rng.random() < 0.14:
            second = _round(rng.uniform(value, high), f.kind == "year")
            if second > value:
                return self._say_between(f, column, w, value, second)
        op: Operator = rng.choice([">", ">", ">", "<", "<", "<", ">=", "<=", "="])
        if f.kind != "year" and op == "=":
            value = float(rng.choice(column.values))
        text = self.mark(self.figure(value))
        comparison = rng.choice(COMPARISONS[op])
        amount = f"{comparison} {text}".strip()
        if op in BEHIND and rng.random() < 0.4:
            amount = text + rng.choice(BEHIND[op])
        if f.kind == "year":
            before = {">": "after", "<": "before", ">=": "since", "<=": "up to", "=": "in"}[op]
            behind = [f"{_bare(p)} {before} {text}" for p in f.phrases("vp")] * 2 + [
                f"with {w} {amount}",
                f"{'from' if op == '=' else before} {text}",
            ]
            return Said([Condition(column.name, op, value)], behind, [f"{p} {before} {text}" for p in f.phrases("vp")])
        key = {">": "more", "<": "less", "=": "exact"}.get(op, "")
        verbs = [p.replace("{n}", text) for p in f.phrases(key)]
        verbs += [p.replace("{c} {n}", amount) for p in f.phrases("vp")]
        behind = [
            f"with a {w} {'of ' if op in ('=', '>=', '<=') else ''}{amount}",
            f"whose {w} is {amount}",
            f"with {w} {amount}",
            f"where the {w} is {amount}",
            f"with {w} {op} {text}",
            f"having a {w} {amount}",
        ]
        if unit:
            behind += [f"with {amount} {unit}"] * 2
            verbs += [f"have {amount} {unit}"]
        behind += [p.removeprefix("are ").replace("{n}", text) for p in f.phrases(key) if p.startswith("are ")] * 2
        if op in (">", "<") and f.kind == "amount":
            behind += [f"{comparison} {text}"]
        return Said([Condition(column.name, op, value)], behind, verbs)

    def _say_between(self, f: Field, column: Column, w: str, value: float, second: float) -> Said:
        joined = self.rng.choice(["between {} and {}", "from {} to {}", "between {} and {}"])
        before, _, _ = joined.partition("{}")
        inner = joined[len(before) :].format(self.figure(value), self.figure(second))
        text = before + self.mark(inner)
        conditions = [Condition(column.name, ">=", value), Condition(column.name, "<=", second)]
        behind = [f"with a {w} {text}", f"whose {w} is {text}", f"with {w} {text}", f"where the {w} is {text}"]
        verbs = (
            [p.replace("{c} {n}", text) for p in f.phrases("vp")]
            if f.kind != "year"
            else [f"{p} {text}" for p in f.phrases("vp")]
        )
        return Said(conditions, behind, verbs)

    def figure(self, value: float) -> str:
        """A number as people write it."""
        rng = self.rng
        words = {
            2: "two",
            3: "three",
            4: "four",
            5: "five",
            6: "six",
            7: "seven",
            8: "eight",
            9: "nine",
            10: "ten",
            12: "twelve",
            20: "twenty",
            100: "a hundred",
            1000: "a thousand",
        }
        if value in words and rng.random() < 0.3:
            return words[int(value)]
        if value >= 10_000 and value % 1000 == 0 and rng.random() < 0.3:
            return f"{value / 1000:g}" + rng.choice(["k", " thousand"])
        if value >= 2500 and rng.random() < 0.4:
            return f"{value:,.10g}"
        return f"{value:.10g}"

    def _say_date(self, f: Field) -> Said:
        rng, column, w = self.rng, self.table.column(f), self.word(f)
        day = datetime.date.fromisoformat(rng.choice(column.values))
        years = {v[:4] for v in column.values}
        period, text = self.period(day, years)
        if rng.random() < 0.1:
            other = datetime.date.fromisoformat(rng.choice(column.values))
            form = rng.choice(["%Y-%m-%d", "%B %Y", "%Y"])
            first, last = (_iso(d, form) for d in sorted((day, other)))
            if first < last:
                early, late = (d.strftime(form) for d in sorted((day, other)))
                joint = rng.choice(["and", "and", "to"])
                between = f"between {self.mark(f'{early} {joint} {late}')}"
                conditions = [Condition(column.name, ">=", first), Condition(column.name, "<=", last)]
                return Said(conditions, [between, f"with {w} {between}"], [f"{p} {between}" for p in f.phrases("vp")])
        op: Operator = rng.choice([">", ">", "<", "<", ">=", "=", "=", "=", "="])
        word = {
            ">": ["after", "after", "later than"],
            "<": ["before", "before", "earlier than", "prior to"],
            ">=": ["since", "from", "starting in"],
            "=": ["on"] if len(period) == 10 else ["in", "in", "during"],
        }[op]
        when = f"{rng.choice(word)} {self.mark(text)}"
        behind = [f"{_bare(p)} {when}" for p in f.phrases("vp")] * 2 + [
            when,
            when,
            f"with {w} {when}",
            f"with a {w} {when}",
            f"dated {when}",
        ]
        if op == "=":
            behind += [f"of {self.mark(text)}", f"from {self.mark(text)}", f"for {self.mark(text)}"]
        return Said([Condition(column.name, op, period)], behind, [f"{p} {when}" for p in f.phrases("vp")])

    def period(self, day: datetime.date, years: set[str]) -> tuple[str, str]:
        """A period that holds `day`, in the notation of conditions and in words."""
        form = self.rng.choice(["%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%B %Y", "%Y", "%Y", "%B", "%B", "%B", "%b %Y"])
        if form == "%B" and len(years) == 1:
            return f"{day:%Y-%m}", f"{day:%B}"
        return (f"--{day:%m}" if form == "%B" else _iso(day, form)), day.strftime(form).lstrip("0")

    def _say_flag(self, f: Field) -> Said:
        true = self.rng.random() < 0.5
        w = self.word(f)
        phrases = f.phrases("holds" if true else "fails")
        adjectives = f.phrases("adj")
        relative = self.slots["that"]
        behind = [f"{relative} {p}" for p in phrases]
        behind += [f"where {w} is {self.rng.choice(['true', 'yes'] if true else ['false', 'no'])}"]
        before = [adjectives[0 if true else 1]] if len(adjectives) == 2 else []
        return Said([Condition(self.name(f), "=" if true else "!=", True)], behind, phrases, before)

    # Putting it together

    def _conditions_text(self) -> dict[str, str]:
        """The slots `cond`, `vps`, `vps1`, `front`, and an adjective before the noun for the rows."""
        rng = self.rng
        before: list[str] = []
        parts: list[str] = []
        verbs: list[str] = []
        for said in self.said:
            if said.before and not before and rng.random() < 0.5:
                before.append(rng.choice(said.before))
            else:
                verbs.append(rng.choice(said.verbs) if said.verbs else "")
                relative = f"{self.slots['that']} {verbs[-1]}"
                parts.append(
                    relative if verbs[-1] and (not said.behind or rng.random() < 0.3) else rng.choice(said.behind)
                )
        rng.shuffle(parts)
        joint = rng.choice([" ", " and "])
        front = next((p for p in parts if re.match(r"(in|for|from|on|during|at|among) ", p)), "")
        complete = bool(verbs) and all(verbs)
        return {
            "cond": f" {joint.join(parts)}" if parts else "",
            "before": f"{before[0]} " if before else "",
            "vps": " and ".join(verbs) if complete else "",
            "vps1": " and ".join(map(one, verbs)) if complete else "",
            "front": f"{front}, " if front and len(parts) == 1 else "",
        }

    def fill(self, template: str) -> str | None:
        """The wording with its slots filled; None if it has a slot that nothing fills, or leaves a condition unsaid."""
        slots = {**self.slots, **self._conditions_text()}
        needed = set(re.findall(r"\{(\w+)\}", template))
        for slot in ("vps", "vps1", "front"):
            if slot in needed and not slots[slot]:
                return None
        if self.said and not needed & {"cond", "vps", "vps1", "front", "V"}:
            return None
        if slots["before"] and not needed & {"row", "rows"}:
            return None
        if needed - set(slots):
            return None
        noun = re.search(r"\{rows?\}", template)
        if noun:
            template = template[: noun.start()] + "{before}" + template[noun.start() :]
        text = re.sub(r"\{(\w+)\}", lambda m: slots[m[1]], template)
        return re.sub(r"\s+([,?:])", r"\1", re.sub(r" {2,}", " ", text)).strip()

    def finished(self, text: str, shape: str, sketch: Sketch) -> Example | None:
        text = _wrapped(text, self.table.schema, self.rng)
        plain, spans, at = [], {}, {}
        length = 0
        i = 0
        while i < len(text):
            if text[i] == BEGIN:
                at[number := ord(text[i + 1]) - 0xE010] = length
                i += 2
            elif text[i] == END:
                spans[self.said[number].conditions[0].column] = (at[number], length)
                i += 1
            else:
                plain.append(text[i])
                length += 1
                i += 1
        valued = {s.conditions[0].column for s in self.said if s.conditions[0].value is not True}
        if set(spans) != valued:
            return None
        columns = tuple(replace(c, unique=c.unique and self.rng.random() < 0.6) for c in self.table.columns)
        return Example("".join(plain), columns, shape, sketch, spans, self.table.rows)


def _round(value: float, exact: bool) -> float:
    if exact:
        return float(int(value))
    if abs(value) >= 20:
        digits = len(str(int(abs(value)))) - 1
        step = 10 ** max(0, digits - 1) * (5 if abs(value) >= 100 else 1)
        return float(round(value / step) * step)
    return float(round(value)) if abs(value) >= 3 else round(value, 1)


def _iso(day: datetime.date, form: str) -> str:
    return day.strftime("%Y-%m-%d" if "%d" in form else "%Y-%m" if "%B" in form or "%b" in form else "%Y")


def _bare(phrase: str) -> str:
    """A verb phrase as a participle: `were placed` -> `placed`; others with a pronoun."""
    return (
        re.sub(r"^(were|are) ", "", phrase)
        if re.match(r"(were|are) \w+(ed|en|de|lt|nt|ld|id|orn|own)\b", phrase)
        else f"that {phrase}"
    )


def _wrapped(text: str, schema: Schema, rng: random.Random) -> str:
    """The question as it comes: with an opener, the name of the file or table, capitals and marks, or without."""
    place = rng.random()
    name = rng.choice(
        [
            schema.name,
            schema.name.replace("_", " ").replace(" ", "_"),
            schema.name + rng.choice(["_2025", "_2024", "_q3", "_all", "_list"]),
        ]
    )
    if place < 0.3:
        file = (
            rng.choice(["", "", "data/", "exports/", "./"])
            + name
            + "."
            + rng.choice(["csv", "csv", "csv", "tsv", "parquet", "json", "xlsx"])
        )
    else:
        file = rng.choice(
            [
                f"the {schema.name.replace('_', ' ')} table",
                f"the table {name}",
                f"the {schema.name.replace('_', ' ')} file",
                f"the {schema.name.replace('_', ' ')} list",
                "the table",
                "this file",
            ]
        )
    if place < 0.18 or 0.3 < place < 0.34:
        text += rng.choice(_wordings()["file behind"]).format(f=file)
    elif place < 0.38:
        text = rng.choice(_wordings()["file before"]).format(f=file) + text
    if rng.random() < 0.16:
        opener = rng.choice(_wordings()["openers"])
        question = re.match(r"(what|which) (is|was) (the [^,]*)$", text)
        if question and rng.random() < 0.5 and opener.strip() not in ("find", "check"):
            text = f"{question[1]} {question[3]} {question[2]}"
        text = opener + re.sub(r"^(tell me|find|show me) ", "", text)
    if rng.random() < 0.2:
        text = re.sub(r"^(who|what|which) is ", r"\1's ", text)
    if rng.random() < 0.3:
        text = text.lower()
    elif rng.random() < 0.8:
        text = text if text.startswith(BEGIN) else text[:1].upper() + text[1:]
    return text + rng.choice(["?", "?", "?", "", "", "."])


# Kinds of questions

Asked = tuple[str, list[str], Sketch] | None


@dataclass(frozen=True)
class Kind:
    weight: float
    write: Callable[[_Writer], Asked]


KINDS: dict[str, Kind] = {}


def _kind(name: str, weight: float) -> Callable[[Callable[[_Writer], Asked]], Callable[[_Writer], Asked]]:
    def keep(write: Callable[[_Writer], Asked]) -> Callable[[_Writer], Asked]:
        KINDS[name] = Kind(weight, write)
        return write

    return keep


def _templates(name: str, without: str = "") -> list[str]:
    return [t for t in _wordings()[name] if not without or not re.search(without, t)]


@_kind("list names", 8)
def _list_names(w: _Writer) -> Asked:
    if w.key is None:
        return None
    w.used.append(w.key)
    where = w.conditions(at_least=1 if w.rng.random() < 0.9 else 0)
    return "list", _templates("list names"), Sketch((Selected(w.name(w.key)),), where)


@_kind("list rows", 6)
def _list_rows(w: _Writer) -> Asked:
    where = w.conditions(at_least=1 if w.rng.random() < 0.9 else 0)
    if w.key and not where:
        return (
            "list",
            [
                "(show|list|display|print) (all|every one of) (the|) (rows|records|entries)",
                "(show|give me) (everything|the whole table|all the data)",
            ],
            Sketch((Selected(None),)),
        )
    return "list", _templates("list rows", r"\(which\|what\) " if w.key else ""), Sketch((Selected(None),), where)


@_kind("list attribute", 5)
def _list_attribute(w: _Writer) -> Asked:
    f = w.pick("amount", "level", "date", "group", "year")
    if f is None:
        return None
    w.measure(f)
    where = w.conditions(at_least=1)
    return "list", _templates("list attribute"), Sketch((Selected(w.name(f)),), where)


@_kind("list value", 9)
def _list_value(w: _Writer) -> Asked:
    f = w.pick("amount", "level", "date", "group", "year")
    if f is None or w.key is None:
        return None
    w.measure(f)
    value = w.rng.choice(w.table.column(w.key).values)
    said = w.surface(value)
    if w.key.spec.get("pool") == "people" and " " in value and w.rng.random() < 0.2:
        said = w.rng.choice(value.split())
        if sum(said in v for v in w.table.column(w.key).values) > 1:
            said = value
    w.slots["V"] = w.slots["k"] = w.mark(said)
    condition = Condition(w.name(w.key), "=", value)
    w.said.append(Said([condition], ["of that"]))
    own = list(f.phrases("of"))
    wordings = own if own and w.rng.random() < 0.5 else _templates("list value")
    return "list", wordings, Sketch((Selected(w.name(f)),), (condition,))


@_kind("list two", 3)
def _list_two(w: _Writer) -> Asked:
    first = w.key if w.key and w.rng.random() < 0.6 else w.pick("group", "amount", "level", "date", "year")
    if first is not None and first not in w.used:
        w.used.append(first)
    second = w.pick("group", "amount", "level", "date", "year")
    if first is None or second is None:
        return None
    w.slots |= {"a": w.word(first), "b": w.word(second)}
    where = w.conditions()
    return "list", _templates("list two"), Sketch((Selected(w.name(first)), Selected(w.name(second))), where)


@_kind("distinct", 5)
def _distinct(w: _Writer) -> Asked:
    f = w.pick("group")
    if f is None:
        return None
    w.group(f)
    where = w.conditions(chances=(0.75, 0.25))
    return "distinct", _templates("distinct"), Sketch((Selected(w.name(f), distinct=True),), where)


_ROWS = Selected(None, "count")


@_kind("count rows", 12)
def _count_rows(w: _Writer) -> Asked:
    where = w.conditions(chances=(0.25, 0.55, 0.2))
    return "aggregate", _templates("count rows"), Sketch((_ROWS,), where)


@_kind("count value", 2)
def _count_value(w: _Writer) -> Asked:
    f = w.pick("group")
    if f is None:
        return None
    value = w.rng.choice(w.table.column(f).values)
    w.slots["V"] = w.mark(w.surface(value))
    condition = Condition(w.name(f), "=", value)
    w.said.append(Said([condition], [""]))
    return "aggregate", _templates("count value"), Sketch((_ROWS,), (condition,))


@_kind("count distinct", 4)
def _count_distinct(w: _Writer) -> Asked:
    f = w.pick("group")
    if f is None:
        return None
    w.group(f)
    where = w.conditions(chances=(0.7, 0.3))
    return "aggregate", _templates("count distinct"), Sketch((Selected(w.name(f), "count", True),), where)


@_kind("sum", 10)
def _sum(w: _Writer) -> Asked:
    f = w.pick("amount", "amount", "amount", "level") if w.rng.random() < 0.2 else w.pick("amount")
    if f is None:
        return None
    w.measure(f)
    where = w.conditions()
    wordings = _templates("sum")
    if f.phrases("total") and w.rng.random() < 0.5:
        wordings = [p + "{cond}( in total| altogether| in all|||)" for p in f.phrases("total")]
    elif f.kind == "level":
        wordings = [t for t in wordings if ("unit" not in t and "{ms}" in t) or "total" in t]
    return "aggregate", wordings, Sketch((Selected(w.name(f), "sum"),), where)


@_kind("avg", 7)
def _avg(w: _Writer) -> Asked:
    f = w.pick("amount", "level")
    if f is None:
        return None
    w.measure(f)
    where = w.conditions()
    wordings = _templates("avg")
    if f.phrases("mean") and w.rng.random() < 0.4:
        wordings = [p + "{cond}" for p in f.phrases("mean")]
    return "aggregate", wordings, Sketch((Selected(w.name(f), "avg"),), where)


@_kind("extreme", 6)
def _extreme(w: _Writer) -> Asked:
    f = w.pick("amount", "level")
    if f is None:
        return None
    desc = w.rng.random() < 0.55
    w.measure(f)
    w.direction(f, desc)
    where = w.conditions()
    return "aggregate", _templates("extreme"), Sketch((Selected(w.name(f), "max" if desc else "min"),), where)


@_kind("first date", 2)
def _first_date(w: _Writer) -> Asked:
    f = w.pick("date")
    if f is None:
        return None
    desc = w.rng.random() < 0.5
    w.measure(f)
    w.direction(f, desc)
    where = w.conditions(chances=(0.6, 0.4))
    return "aggregate", _templates("first date"), Sketch((Selected(w.name(f), "max" if desc else "min"),), where)


AGGREGATE_WORDS: dict[Aggregate, list[str]] = {
    "sum": ["total", "total", "overall", "combined", "summed"],
    "avg": ["average", "average", "mean", "avg"],
    "max": ["highest", "maximum", "largest", "max"],
    "min": ["lowest", "minimum", "smallest", "min"],
}


def _pick_group(w: _Writer) -> tuple[Field, Part] | None:
    """A column to group by, or a date with the part of it."""
    if w.rng.random() < 0.17 and (f := w.pick("date")):
        part: Part = w.rng.choice(["month", "month", "month", "year", "year", "day", "weekday"])
        spoken_for = {x for f in w.table.columns for x in spoken(f.name).split()} | {
            x for f in w.table.known("group", "year") for x in f.words
        }
        if part not in spoken_for and "day" not in spoken_for:
            w.group(f, part)
            return f, part
        w.used.remove(f)
    chosen = w.pick("group")
    if chosen is None:
        return None
    w.group(chosen)
    return chosen, "none"


@_kind("groups agg", 6)
def _groups_agg(w: _Writer) -> Asked:
    f, grouped = w.pick("amount", "level"), _pick_group(w)
    if f is None or grouped is None:
        return None
    choices: list[Aggregate] = (
        ["sum", "sum", "sum", "avg", "avg", "max", "min"] if f.kind == "amount" else ["avg", "avg", "avg", "max", "min"]
    )
    aggregate = w.rng.choice(choices)
    w.slots["agg"] = w.rng.choice(AGGREGATE_WORDS[aggregate])
    w.measure(f)
    where = w.conditions(chances=(0.75, 0.25))
    group = w.name(grouped[0])
    return (
        "groups",
        _templates("groups agg"),
        Sketch((Selected(group), Selected(w.name(f), aggregate)), where, group, grouped[1]),
    )


@_kind("groups plain", 6)
def _groups_plain(w: _Writer) -> Asked:
    f, grouped = w.pick("amount") if w.rng.random() < 0.8 else w.pick("level"), _pick_group(w)
    if f is None or grouped is None:
        return None
    w.measure(f)
    where = w.conditions(chances=(0.75, 0.25))
    group, part = w.name(grouped[0]), grouped[1]
    wordings = _templates("groups plain", "unit|how much" if f.kind == "level" else "")
    if part in ("month", "year") and w.rng.random() < 0.3:
        wordings = [("monthly" if part == "month" else w.rng.choice(["yearly", "annual"])) + " {m}{cond}"]
    aggregate: Aggregate = "sum" if f.kind == "amount" else "avg"
    return "groups", wordings, Sketch((Selected(group), Selected(w.name(f), aggregate)), where, group, part)


@_kind("groups count", 5)
def _groups_count(w: _Writer) -> Asked:
    grouped = _pick_group(w)
    if grouped is None:
        return None
    where = w.conditions(chances=(0.75, 0.25))
    group = w.name(grouped[0])
    return "groups", _templates("groups count"), Sketch((Selected(group), _ROWS), where, group, grouped[1])


@_kind("two", 2)
def _two(w: _Writer) -> Asked:
    f = w.pick("amount", "level")
    if f is None:
        return None
    w.measure(f)
    both = (Selected(w.name(f), "min"), Selected(w.name(f), "max"))
    if w.rng.random() < 0.5 and (grouped := _pick_group(w)):
        where = w.conditions(chances=(0.85, 0.15))
        group = w.name(grouped[0])
        return "groups", _templates("groups two"), Sketch((Selected(group), *both), where, group, grouped[1])
    where = w.conditions(chances=(0.7, 0.3))
    return "aggregate", _templates("two"), Sketch(both, where)


_DIRECTED = re.compile(r"\{(high|most|adv|adj|tops?|common|oft|early)\}")


def _directed(templates: Sequence[str], desc: bool) -> list[str]:
    """The wordings that say which end is meant; those that do not mean the top."""
    return [t for t in templates if desc or _DIRECTED.search(t)]


def _top_group(
    w: _Writer, kind: str, f: Field | None, aggregate: Aggregate, *, many: bool = False, whole: bool = False
) -> Asked:
    grouped = _pick_group(w)
    if grouped is None:
        return None
    desc = kind.startswith("rank") or w.rng.random() < 0.68
    w.direction(f, desc)
    if f is not None:
        w.measure(f)
        w.slots["agg"] = w.rng.choice(AGGREGATE_WORDS.get(aggregate, ["total"]))
    limit = None if whole else w.limit() if many else 1
    where = w.conditions(chances=(0.7, 0.26, 0.04))
    group = w.name(grouped[0])
    measured = Selected(w.name(f), aggregate) if f else _ROWS
    order = Order(measured, desc)
    wordings = _directed(_templates(kind), desc)
    return "top groups", wordings, Sketch((Selected(group), measured), where, group, grouped[1], order, limit)


@_kind("top group", 11)
def _top_group_sum(w: _Writer) -> Asked:
    f = w.pick("amount")
    return _top_group(w, "top group", f, "sum") if f else None


@_kind("top group k", 3)
def _top_group_k(w: _Writer) -> Asked:
    f = w.pick("amount")
    return _top_group(w, "top group k", f, "sum", many=True) if f else None


@_kind("top group agg", 5)
def _top_group_agg(w: _Writer) -> Asked:
    f = w.pick("amount", "level")
    return _top_group(w, "top group agg", f, "avg") if f else None


@_kind("top group count", 6)
def _top_group_count(w: _Writer) -> Asked:
    return _top_group(w, "top group count", None, "count")


@_kind("top group count k", 2)
def _top_group_count_k(w: _Writer) -> Asked:
    return _top_group(w, "top group count k", None, "count", many=True)


@_kind("sort groups", 2.5)
def _sort_groups(w: _Writer) -> Asked:
    if w.rng.random() < 0.25:
        return _top_group(w, "sort groups count", None, "count", whole=True)
    f = w.pick("amount", "level")
    if f is None:
        return None
    aggregate: Aggregate = "sum" if f.kind == "amount" and w.rng.random() < 0.6 else "avg"
    return _top_group(w, w.rng.choice(["sort groups", "rank groups"]), f, aggregate, whole=True)


def _top_rows(
    w: _Writer, kind: str, select: Sequence[Field] | None, *, many: bool = False, whole: bool = False
) -> Asked:
    f = w.pick("level", "amount", "date", "year")
    if f is None:
        return None
    desc = kind != "order rows" and (kind == "rank rows" or w.rng.random() < 0.6)
    w.measure(f)
    w.direction(f, desc)
    limit = None if whole else w.limit() if many else 1
    where = w.conditions(chances=(0.68, 0.28, 0.04))
    by = Selected(w.name(f))
    shown = (*(Selected(w.name(s)) for s in select), by) if select else (Selected(None),)
    wordings = _templates(kind, "" if w.key and select else "name|key|who")
    if kind not in ("rank rows", "order rows"):
        wordings = _directed(wordings, desc)
    return "top rows", wordings, Sketch(shown, where, order=Order(by, desc), limit=limit)


def _key(w: _Writer) -> list[Field] | None:
    """What a row is shown by: its name, if the table has one."""
    if w.key is None:
        return None
    w.used.append(w.key)
    return [w.key]


@_kind("top row", 12)
def _top_row(w: _Writer) -> Asked:
    return _top_rows(w, "top row", _key(w))


@_kind("top row k", 5)
def _top_row_k(w: _Writer) -> Asked:
    return _top_rows(w, "top row k", _key(w), many=True)


@_kind("top row attribute", 4)
def _top_row_attribute(w: _Writer) -> Asked:
    a = w.pick("group", "amount", "level", "date")
    if a is None:
        return None
    w.slots["a"] = w.word(a)
    return _top_rows(w, "top row attribute", [a])


@_kind("top row by group", 3)
def _top_row_by_group(w: _Writer) -> Asked:
    g, f = w.pick("group"), w.pick("level")
    if g is None or f is None:
        return None
    w.group(g)
    desc = w.rng.random() < 0.6
    w.measure(f)
    w.direction(f, desc)
    where = w.conditions(chances=(0.75, 0.25))
    by = Selected(w.name(f))
    order = Order(by, desc)
    return "top rows", _templates("top row by group"), Sketch((Selected(w.name(g)), by), where, order=order, limit=1)


@_kind("sort rows", 3)
def _sort_rows(w: _Writer) -> Asked:
    select = _key(w) if w.rng.random() < 0.7 else None
    return _top_rows(w, w.rng.choice(["sort rows", "sort rows", "rank rows", "order rows"]), select, whole=True)
