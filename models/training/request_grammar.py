"""A small grammar that makes requests for a tool from its name, description and parameters alone.

A request is rough, and never of another tool: what Promptagator (Dai et al. 2022) has a language model write, made
where there is none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ..house.slots import Card, Parameter, words
from .corpus import Example, Fill

TERMS = [
    "Berlin",
    "Maria Lopez",
    "ACME",
    "invoice 2024",
    "red shoes",
    "The Thinker",
    "alpha",
    "north wing",
    "X-204",
    "quarterly plan",
    "jazz",
    "en-GB",
    "Kyoto",
    "Dune",
    "project atlas",
    "K. Mwangi",
    "Rotterdam",
]
"""What a parameter may take whose name says nothing of its kind."""


def ask_for(id: str, card: Card, r: random.Random, terms: Sequence[str]) -> Example:
    """A request for a tool: what it does, as it says itself, then a phrase for each parameter that is given.

    `terms` are texts that a parameter may take whose name says nothing of its kind.
    """
    sentence = re.split(r"(?<=[a-z)])[.\n]", card.description.strip())[0]
    sentence = re.sub(
        r"^(This (tool|function) (will )?|Use this (tool )?to |A tool (to|that) |Tool (to|for) )", "", sentence
    ).strip(" .")
    said = sentence if r.random() < 0.6 and len(sentence) < 110 else words(card.name)
    said = said[:1].lower() + said[1:] if r.random() < 0.7 else said
    text = r.choice(_ASKS).format(said).rstrip("?.")
    fills: dict[str, Fill] = {}
    for p in card.parameters:
        if not p.required and r.random() < 0.75:
            fills[p.name] = Fill("absent")
            continue
        if p.options:
            index = r.randrange(len(p.options))
            value = words(p.options[index]) or p.options[index]
            value = words(p.name) if p.type == "boolean" else value
            if p.type == "boolean":
                index = 0
        else:
            value = _value(p, r, terms)
        phrase = r.choice(_PHRASES[:8] if p.type in ("integer", "number") else _PHRASES).format(n=words(p.name), v="\0")
        text += r.choice([" ", " ", ", "])
        begin = len(text) + phrase.index("\0")
        text += phrase.replace("\0", value)
        fills[p.name] = Fill("option", index=index) if p.options else Fill("span", begin, begin + len(value))
        if value[:1] in "'\"[" and not p.options:
            fills[p.name] = Fill("span", begin + 1, begin + len(value) - 1)
        if r.random() < 0.2:
            text += " " + r.choice(_ASIDES)
    return Example(id, text, fills, source="mcp")


def _value(p: Parameter, r: random.Random, terms: Sequence[str]) -> str:
    if p.type == "integer":
        return str(r.choice([r.randint(1, 12), r.randint(10, 500), r.randint(1000, 99999)]))
    if p.type == "number":
        return r.choice([str(r.randint(1, 300)), f"{r.uniform(0, 99):.1f}", f"{r.uniform(0, 9):.2f}"])
    if p.type == "array":
        a, b, c = r.sample(terms, 3)
        return r.choice([f"{a}, {b} and {c}", f"{a} and {b}", f"'{a}', '{b}' and '{c}'", f"[{a}, {b}, {c}]", a])
    for pattern, values in _BY_NAME:
        if re.search(pattern, p.name, re.I):
            return r.choice(values)
    return r.choice(terms)


_ASKS = ["{}", "Please {}", "Can you {}?", "I want to {}", "{} please", "I need you to {}", "Could you {} for me?"]
_PHRASES = [
    "with {n} {v}",
    "{n}: {v}",
    "for {v}",
    "{n} of {v}",
    "where {n} is {v}",
    "using {v} as {n}",
    "{v}",
    "({n} = {v})",
    "and {n} {v}",
    "on {v}",
]
_ASIDES = [
    "as part of the review",
    "for a colleague",
    "in detail",
    "which I need today",
    "with everything it has",
    "near the end of the list",
    "using what we have",
    "in terms of cost",
    "before lunch",
    "that nobody has looked at",
    "at the usual place",
    "under the new rules",
]
"""Words between two values that belong to neither."""
_BY_NAME = [
    (r"date|day|since|until|start$|end$", ["2026-03-04", "12 May 2025", "tomorrow", "2027-01-31", "next Friday"]),
    (r"time", ["09:30", "4 pm", "18:45"]),
    (r"city|location|place|address", ["Lisbon", "Osaka", "Cape Town", "Oslo", "San Diego"]),
    (r"country", ["Portugal", "Kenya", "Japan"]),
    (r"mail", ["ana@example.org", "team@example.com"]),
    (r"url|link|uri", ["https://example.org/a", "https://example.com/page?id=3"]),
    (r"path|file|folder|dir", ["docs/plan.txt", "src/main.py", "data/raw.csv", "/tmp/out.json"]),
    (r"(^|_| )id$|Id$|key|code|number", ["A-1182", "7f3c9", "PRJ-77", "40213", "user_88"]),
    (
        r"query|search|keyword|term|question|topic",
        ["machine learning", "how to fix a bike", "solar panels", "tax rules for freelancers"],
    ),
    (r"user|name|author|owner|person", ["Olga Petrov", "Sam Okafor", "jdoe", "Li Wei"]),
    (r"currency|symbol", ["USD", "EUR", "BTC"]),
    (r"lang", ["French", "en", "German"]),
    (
        r"message|text|content|body|description|title|comment",
        ["'See you at noon'", '"Hello team"', "'Fix the login page'", "'Weekly report'"],
    ),
]
