"""JSON values as people read them, and which of their fields an instruction asks for. Deterministic."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = Any

MAIN = frozenset({"answer", "result", "value"})
"""Names by which a tool says that this is it."""

GENERIC = MAIN | {"output", "text", "content", "data"}
"""Names that say nothing about what a field holds."""

Nearness = Callable[[str, Sequence[str]], Sequence[float]]
"""How near other texts are to a text in meaning, as cosines."""

OVERLAP, CLOSE, FAR = 0.3, 0.08, 0.2
"""What sharing all words with a field's name adds to its nearness; how far below the best a field may be that is shown
beside it; what is further is not what was asked for. (How often the nearest field
is the right one: the retriever's card.)"""

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_DEPTH = 3
_MOST = 60


def clean(text: str, limit: int = 20_000) -> str:
    """`text` without control characters and terminal escapes, cut after `limit` characters."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n")).strip("\n")
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def plain(value: Json) -> str:
    """One scalar as text: 42, 0.3 (not 0.30000000000000004), yes, no, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    return str(value)


def readable(value: Json) -> str:
    """Any JSON value as text: scalars plain, fields as `name: value`, lists of scalars with commas, rows in lines."""
    if isinstance(value, dict):
        if all(is_scalar(v) for v in value.values()):
            return ", ".join(f"{spoken(k)}: {plain(v)}" for k, v in value.items())
        return "\n".join(_named(k, v) for k, v in value.items())
    if isinstance(value, list | tuple):
        items = [readable(v) for v in value]
        short = all(is_scalar(v) for v in value) and sum(map(len, items)) <= 100 and not any("\n" in i for i in items)
        return (", " if short else "\n").join(items) if items else "nothing"
    return plain(value)


def written(value: Json) -> str:
    """A value as the text of a file or a message: what a person would write down."""
    if isinstance(value, list | tuple):
        return "\n".join(written(v) for v in value)
    if isinstance(value, dict) and len(value) == 1:
        return written(next(iter(value.values())))
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return readable(value)


def is_scalar(value: Json) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def spoken(name: str) -> str:
    """A field name as words: `patient_id` and `patientId` are both `patient id`."""
    return " ".join(_WORD.findall(name)).lower() or name


def dig(value: Json, path: str) -> Json:
    """The part of `value` at `path`: keys and indices joined with dots. Raises `LookupError` saying what is there."""
    if not path:
        return value
    if isinstance(value, dict) and path in value:
        return value[path]
    here = value
    for key in path.split("."):
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and re.fullmatch(r"-?\d+", key) and -len(here) <= int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, list) and here and all(isinstance(x, dict) and key in x for x in here):
            here = [x[key] for x in here]
        else:
            raise LookupError(f"there is no {key!r} in it; it has {_parts(here)}")
    return here


def asked_fields(
    instruction: str, value: Json, arguments: Mapping[str, Json], nearness: Nearness | None = None
) -> tuple[str, ...]:
    """Paths of the fields of a structured `value` which answer `instruction`; empty when that is unclear.

    What merely repeats an argument of the call is no answer. A field called answer, result or value is; else the field
    names that share most with the words of the instruction win or, with `nearness`, those nearest in meaning. A single
    field needs no words.
    """
    leaves = dict(_leaves(value))
    if len(leaves) <= 1:
        return tuple(leaves)
    echoes = {_folded(v) for v in arguments.values() if is_scalar(v)}
    fresh = {path: v for path, v in leaves.items() if not (is_scalar(v) and _folded(v) in echoes)} or leaves
    if len(fresh) == 1:
        return tuple(fresh)
    main = [path for path, v in fresh.items() if path.lower() in MAIN and v is not None]
    if len(main) == 1:
        return tuple(main)
    said = {stem(w) for w in _words(instruction)}
    # Nobody asks for an id in passing: `which beer is it` does not want the beer's id.
    asked = [path for path in fresh if "id" in said or _words(path)[-1:] != ["id"]] or list(fresh)
    if len(asked) == 1:
        return tuple(asked)
    shared = {path: _overlap(path, said) for path in asked}
    if nearness is not None:
        return _nearest(nearness, instruction, shared)
    best = max(shared.values())
    if best > 0:
        return tuple(path for path, share in shared.items() if share == best)
    return tuple(path for path in asked if path.rpartition(".")[2].lower() in GENERIC)[:1]


def _nearest(nearness: Nearness, instruction: str, shared: Mapping[str, float]) -> tuple[str, ...]:
    """The fields nearest in meaning, the nearest first; none where all of it is nearer than any: `details of it`."""
    names = [spoken(path.rpartition(".")[2]) for path in shared]
    *near, all_of_it = nearness(instruction, [*names, "details"])
    scores = {path: OVERLAP * share + n for (path, share), n in zip(shared.items(), near, strict=True)}
    best = max(scores.values())
    if best < max(FAR, all_of_it):
        return ()
    return tuple(sorted((p for p in scores if scores[p] >= best - CLOSE), key=lambda p: -scores[p]))


def mentions(instruction: str, name: str) -> bool:
    """Whether `instruction` says every word of a field's name."""
    return _overlap(name, {stem(w) for w in _words(instruction)}) == 1


def _leaves(value: Json, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value and depth < _DEPTH:
        for key, inner in list(value.items())[:_MOST]:
            if key and "." not in key:  # a path could not name it
                yield from _leaves(inner, f"{prefix}.{key}" if prefix else key, depth + 1)
    elif prefix:
        yield prefix, value


def _overlap(path: str, said: set[str]) -> float:
    """The share of the words of the last name in `path` that were said."""
    words = _words(path.rpartition(".")[2])
    return sum(stem(w) in said for w in words) / len(words) if words else 0.0


def _words(text: str) -> list[str]:
    return [w.lower() for w in _WORD.findall(text)]


@functools.cache
def stem(word: str) -> str:
    """A word without its endings, by the Snowball stemmer of English."""
    import snowballstemmer

    return str(snowballstemmer.stemmer("english").stemWord(word))


def _folded(value: Json) -> str:
    return plain(value).strip().casefold()


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    short = f"{value:.12g}"
    return short if "e" not in short else (f"{value:.0f}" if value.is_integer() and abs(value) < 1e21 else repr(value))


def _named(name: str, value: Json) -> str:
    text = readable(value)
    return f"{spoken(name)}: {text}" if "\n" not in text else f"{spoken(name)}:\n{text}"


def _parts(value: Json) -> str:
    if isinstance(value, dict):
        return ", ".join(map(str, list(value)[:12])) or "no fields"
    if isinstance(value, list):
        return f"{len(value)} items"
    return json.dumps(value, ensure_ascii=False, default=str)[:60]
