"""`bottega tools index|search`: the index of the folder's tools, or of those in a file, and finding tools in it."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ToolIndexError
from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import columns, print_json
from .text import one_line, plain

if TYPE_CHECKING:
    from ..retrieval import Explanation, ToolHit, ToolIndex
    from ..retrieval.encoding import Encoding
    from ..tools import Tool, Workspace

FOLDER_OPTION = click.option(
    "--index", "folder", metavar="DIR", type=click.Path(path_type=Path), help="The index in this folder instead."
)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@workshop_options
@FOLDER_OPTION
@click.option("--small", is_flag=True, help="For the smallest machines: half the time to build, a third of the memory.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def index(files: tuple[str, ...], settings: Settings, folder: Path | None, small: bool, as_json: bool) -> int:
    """Build the index of the folder's tools, or bring it up to date; only what changed is encoded.

    With FILEs, as `bottega tools import` takes them, it is about the tools in those, and needs --index. What is encoded
    is kept when it is stopped: the next time it goes on from there.
    """
    if files and folder is None:
        raise click.UsageError("name the folder for the index of these files: --index DIR")
    started = time.monotonic()
    tools: Sequence[Any]
    tools = [tool for file in files for tool in _read(file)] if files else run_async(_known_tools(settings))
    encoded = [0]

    def count(done: int, of: int) -> None:
        encoded[0] = of
        bar(done, of)

    place = folder or _place(settings)
    encoding = _retriever(settings, small)
    if place is None:
        raise ToolIndexError(
            "the folder's .bottega is a link, through which nothing is written", hint="name --index DIR"
        )
    with _progress() as bar:
        built = _built(tools, place, encoding, count)
    told = {"tools": len(built), "encoded": encoded[0], "seconds": round(time.monotonic() - started, 2)}
    if as_json:
        print_json({"path": str(place), **told})
    else:
        print(f"{told['tools']} tools, {told['encoded']} texts encoded, {told['seconds']} s: {plain(str(place))}")
    return 0


@click.command()
@click.argument("query", nargs=-1, required=True)
@workshop_options
@FOLDER_OPTION
@click.option("-n", "limit", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many at most.")
@click.option("--why", is_flag=True, help="Say what speaks for each: its nearness, and the words found in each field.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def search(
    query: tuple[str, ...], settings: Settings, folder: Path | None, limit: int, why: bool, as_json: bool
) -> int:
    """Find tools for QUERY, the best first, among all that are known.

    The folder's index is brought up to date before; one that is named with --index is taken as it is.
    """
    text = " ".join(query)
    tools: Sequence[Tool] = []
    if folder is not None:
        from ..retrieval import ToolIndex

        found_in = ToolIndex.open(folder, _retriever(settings, _is_small(folder)))
    else:
        tools = run_async(_known_tools(settings))
        found_in = _synced(tools, settings)
    hits = found_in.search(text, limit)
    reasons = {hit.id: found_in.explain(text, hit.id) for hit in hits} if why else {}
    if as_json:
        print_json([_as_json(hit, tools) | _told(reasons.get(hit.id)) for hit in hits])
        return 0
    from ..retrieval.scoring import FITS

    if hits and max(hit.nearness for hit in hits) < FITS:
        print("no tool seems to be for this; the nearest are:", file=sys.stderr)
    width = shutil.get_terminal_size((120, 24)).columns
    lines = columns([(hit.id, plain(hit.tool.description)) for hit in hits], width)
    for line, hit in zip(lines, hits, strict=True):
        print(line)
        if why:
            print("\n".join(f"    {reason}" for reason in _reasons(hit, reasons[hit.id])))
    return 0


async def _known_tools(settings: Settings) -> list[Tool]:
    from .tools import everything

    async with opened(settings) as bottega:
        found, _ = await everything(bottega)
    return found


def _read(file: str) -> Iterator[dict[str, Any]]:
    from ..tools.catalog import read_definitions

    found = read_definitions(file)
    for problem in found.problems:
        print(one_line(f"{file}: {problem}"), file=sys.stderr)
    for server, definitions in found.definitions.items():
        for one in definitions:
            yield {
                "id": f"{server}/{one['name']}",
                "server": server,
                "name": one["name"],
                "description": one.get("description") or "",
                "input_schema": one.get("inputSchema") or {},
            }


def _workspace(settings: Settings) -> Workspace:
    from ..tools import Workspace

    return Workspace(settings.workspace)


def _place(settings: Settings) -> Path | None:
    from ..keeping import index_folder

    return index_folder(_workspace(settings))


def _is_small(place: Path | None) -> bool:
    """Whether the index that is there was made by the smaller form of the retriever."""
    from ..retrieval.encoding import SMALL
    from ..retrieval.files import made_by

    return place is not None and made_by(place).endswith(SMALL)


def _retriever(settings: Settings, small: bool) -> Encoding:
    from ..keeping import own_retriever
    from ..models.house.retriever import PATH
    from ..retrieval.encoding import QuickRetriever

    own, notice = own_retriever(_workspace(settings))
    if notice:
        print(one_line(notice), file=sys.stderr)
    return QuickRetriever(own or PATH, small=small)


def _built(tools: Sequence[Any], place: Path, encoding: Encoding, progress: Callable[[int, int], None]) -> ToolIndex:
    from ..retrieval import ToolIndex

    built = ToolIndex.build(tools, place, encoding, progress=progress)
    with contextlib.suppress(OSError):
        (place / ".gitignore").write_text("*\n", "utf-8")
    return built


def _synced(tools: Sequence[Tool], settings: Settings) -> ToolIndex:
    """The folder's index, up to date; one in memory where the folder cannot be written."""
    from ..retrieval import ToolIndex

    place = _place(settings)
    encoding = _retriever(settings, _is_small(place))
    with _progress() as bar:
        if place is not None:
            with contextlib.suppress(ToolIndexError):
                return _built(tools, place, encoding, bar)
        return ToolIndex.build(tools, None, encoding, progress=bar)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Shows on stderr how far encoding has come: a bar on a terminal, else a line for each tenth of many texts."""
    from .progress import wants_rich

    if not wants_rich(sys.stderr):
        yield _Tenths()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    parts = TextColumn("encoding tools"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)
        yield lambda done, of: progress.update(task, completed=done, total=of, visible=True)


class _Tenths:
    def __init__(self) -> None:
        self._told = 0

    def __call__(self, done: int, of: int) -> None:
        tenth = 10 * done // max(of, 1)
        if of >= 1000 and tenth > self._told:
            self._told = tenth
            print(f"encoded {done} of {of} texts", file=sys.stderr, flush=True)


def _as_json(hit: ToolHit, tools: Sequence[Tool]) -> dict[str, Any]:
    """A tool as the other commands show it, where it is one of the folder's."""
    from .tools import as_json_of

    known = next((tool for tool in tools if tool.id == hit.id), None)
    shown = as_json_of(known) if known is not None else dataclasses.asdict(hit.tool)
    return {**shown, "score": round(hit.score, 4), "nearness": round(hit.nearness, 4)}


def _told(why: Explanation | None) -> dict[str, Any]:
    return {"why": dataclasses.asdict(why)} if why is not None else {}


def _reasons(hit: ToolHit, why: Explanation) -> Iterator[str]:
    """What speaks for a tool, a line each."""
    cosines = ", ".join(f"{value:.2f}" for value in why.cosines.values())
    yield f"score {hit.score:.2f}; nearness in meaning {cosines}; {why.coverage:.0%} of the words"
    for field, words in why.words.items():
        if words and field != "whole":
            found = ", ".join(f"{word} {value:.1f}" for word, value in sorted(words.items(), key=lambda w: -w[1]))
            yield plain(f"{field} {why.bm25[field]:.1f}: {found}")
