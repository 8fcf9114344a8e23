"""`bottega train retriever`: the retriever trained on a folder's own catalog and past runs, kept if it finds more."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import MissingExtra, ModelError, UsageError
from ..settings import Settings
from .options import opened, run_async, workshop_options
from .output import print_json, tell
from .stages import stages
from .text import one_line

if TYPE_CHECKING:
    from ..models.adapters import Adapter
    from ..models.cards import Card
    from ..models.training.own_pairs import Asked, Split
    from ..models.training.own_retriever import Lesson
    from ..models.training.writing import Written
    from ..retraining.trial import Verdict
    from ..retrieval import ToolSpec

NEEDED = 20
"""Requests to learn from and to measure on."""
ROOM = 60_000_000
"""Bytes that have to be free: a checkpoint, and the model while it is written."""
WRITTEN_FOR = 200
"""Tools that a language model writes requests for, where one is named."""


@dataclasses.dataclass(frozen=True)
class Material:
    """What there is to learn from. `log` are requests that were made, by runs or in a file."""

    tools: list[ToolSpec]
    log: list[Asked]
    written: list[Asked]
    split: Split


@click.command()
@workshop_options
@click.option(
    "--tools",
    "tool_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Tools beside the folder's: a tools/list dump or JSON Lines; may be repeated.",
)
@click.option(
    "--requests",
    "request_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help='Requests beside the past runs: JSON Lines of {"request": ..., "tools": [ids]}.',
)
@click.option("--model", metavar="NAME", help="A language model that writes requests for the tools.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server that has the model.")
@click.option("--write", type=click.IntRange(0), metavar="N", help=f"For how many tools.  [default: {WRITTEN_FOR}]")
@click.option("--steps", type=click.IntRange(1, 5000), default=200, show_default=True, help="How long to train.")
@click.option("--size", type=click.IntRange(4, 512), default=48, show_default=True, help="Requests a step.")
@click.option("--rate", type=click.FloatRange(1e-7, 1e-2), default=1e-4, help="Learning rate.  [default: 0.0001]")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the held-out requests and the batches.")
@click.option("--force", is_flag=True, help="Keep it even if it finds less, or cannot be measured.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def retriever(settings: Settings, as_json: bool, **given: Any) -> int:
    """Train the retriever on this folder's tools and past runs.

    It begins with the house's retriever, and learns from the requests of past runs and the tools that did them, from
    what the catalog's tools say of themselves, and from what the house's learned, so that it forgets nothing. What it
    finds of held-out requests is measured before and after; it is kept only if that is no less. From then on it
    searches tools in this folder. Needs the extra train: pip install 'bottega[train]'.

    Ctrl-C keeps what was learned so far: the same command goes on from there. Exit code 1: it was not kept.

    \b
    Examples:
      bottega train retriever
      bottega train retriever --requests asked.jsonl --steps 400
      bottega train retriever --tools dump.json --model gpt-5-mini --write 500
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("training a retriever", "train")
    place = _place(settings)
    try:
        return _train(settings, place, as_json, **given)
    except KeyboardInterrupt:
        print("\nwhat was learned so far is kept: the same command goes on from there", file=sys.stderr)
        raise


def _place(settings: Settings) -> Path:
    """The folder of the folder's own models. Raises where nothing can be kept there."""
    from ..keeping import models_folder
    from ..tools import Workspace

    workspace = Workspace.at(settings.workspace)
    folder = models_folder(workspace)
    if folder is None:
        raise UsageError(f"{workspace.root / '.bottega'} is a link, and nothing is written through it")
    place = folder / "retriever"
    try:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror}", hint="mend its rights") from None
    if free < ROOM:
        raise ModelError(f"only {free / 1e6:.0f} MB are free for {place}", hint=f"make room for {ROOM / 1e6:.0f} MB")
    return place


def _train(
    settings: Settings,
    place: Path,
    as_json: bool,
    tool_files: tuple[Path, ...],
    request_file: Path | None,
    write: int | None,
    steps: int,
    size: int,
    rate: float,
    seed: int,
    force: bool,
) -> int:
    from ..models.adapters import Adapter
    from ..models.encoder import open_encoder
    from ..models.house.retriever import PATH, RetrieverModel
    from ..models.registry import register
    from ..models.training.own_pairs import own_sources
    from ..retraining.trial import Verdict, figures_of, index_of, some

    begin = time.monotonic()
    material = _material(settings, place, tool_files, request_file, write, seed, force)
    from ..models.training.own_retriever import Lesson, corpus_figures, train_own  # torch: once there is what to learn

    encoder, house, present = open_encoder(), Adapter.load(PATH), _present(settings)
    learned, held = material.split.learned, material.split.held
    searched = some(material.tools, {id for one in [*held, *material.written] for id in one.tools}, seed)
    tell(f"measuring the present retriever on {len(held)} requests among {len(searched)} tools ...")
    index = index_of(searched, present, encoder)
    before, corpus_before = figures_of(index, material.split), corpus_figures(RetrieverModel(encoder, present))
    written = _filtered(material, index)
    teachable = [dataclasses.asdict(tool) for tool in material.tools if tool.id not in material.split.new]
    tell("gathering pairs ...")
    sources = own_sources(teachable, learned, written, seed)
    tell("learning from " + ", ".join(f"{len(pairs)} {_NAMES[name]}" for name, pairs in sources.items()))
    lesson = Lesson(steps, size, rate, seed)
    adapter = train_own(encoder, house, sources, lesson, place)
    tell("measuring the new one ...")
    after = figures_of(index_of(searched, adapter, encoder), material.split)
    verdict = Verdict(before, after, corpus_before, corpus_figures(RetrieverModel(encoder, adapter)))
    card = _card(verdict, material, len(written), _command(settings, tool_files, request_file, write, lesson))
    kept = None
    if verdict.worse is None or force:
        kept = register(adapter, card, place.parent, in_place=True)
        for stale in place.glob("training-*"):
            stale.unlink(missing_ok=True)
    seconds = round(time.monotonic() - begin, 1)
    if as_json:
        shown = (kept.card if kept and kept.card else card).model_dump(mode="json")
        file = str(kept.weights) if kept else None
        print_json({**shown, "kept": kept is not None, "worse": verdict.worse, "file": file, "seconds": seconds})
    else:
        _report(verdict, kept.version if kept else None, seconds)
    return 0 if kept else 1


_NAMES = {
    "log": "past requests",
    "written": "written requests",
    "said": "things that tools say of themselves",
    "grammar": "requests by grammar",
    "house": "requests for house tools",
    "servers": "requests for the corpus's servers",
}


def _present(settings: Settings) -> Adapter:
    """The retriever that the folder has now."""
    from ..keeping import own_retriever
    from ..models.adapters import Adapter
    from ..models.house.retriever import PATH
    from ..tools import Workspace

    own, problem = own_retriever(Workspace.at(settings.workspace))
    if problem:
        tell(f"warning: {one_line(problem)}")
    return Adapter.load(own or PATH)


def _material(
    settings: Settings,
    place: Path,
    tool_files: tuple[Path, ...],
    request_file: Path | None,
    write: int | None,
    seed: int,
    force: bool,
) -> Material:
    """Gathers what there is to learn from. Raises `UsageError` where it is too little."""
    from ..models.training.corpus import house_cards
    from ..models.training.own_pairs import split, usable
    from ..retraining.material import read_requests, read_tools

    tools, log = run_async(_gathered(settings))
    for path in tool_files:
        more, problems = read_tools(path)
        tools += more
        _warn(path, problems)
    tools = list({tool.id: tool for tool in tools}.values())
    if request_file is not None:
        asked, problems = read_requests(request_file, tools)
        log += asked
        _warn(request_file, problems)
    known = {tool.id for tool in tools}
    log = usable(log, known)
    written: list[Asked] = []
    wanted = write if write is not None else WRITTEN_FOR if settings.origins.get("model") == "flag" else 0
    divided = split(log, house_cards(), seed)
    if wanted:
        done = run_async(_written(settings, place, tools, divided, wanted))
        tokens = done.usage.input_tokens + done.usage.output_tokens
        tell(f"{len(done.asked)} requests were written, for {tokens:,} tokens")
        if done.error is not None:
            tell(f"warning: for {done.failed} tools nothing was written: {one_line(done.error.message)}")
        written = usable(done.asked, known)
    if len(log) >= NEEDED or force:
        return Material(tools, log, written, divided)
    if len(log) + len(written) >= NEEDED:
        every = usable([*log, *written], known)
        return Material(tools, every, [], split(every, house_cards(), seed))
    raise UsageError(
        f"only {len(log)} requests are known here, and {NEEDED} are needed to learn from and to measure on",
        hint="use the folder some more, give --requests FILE, or have some written: --model NAME",
    )


async def _gathered(settings: Settings) -> tuple[list[ToolSpec], list[Asked]]:
    """The folder's tools, and what its past runs asked for."""
    from ..keeping import open_ledger
    from ..retraining.material import logged
    from ..retrieval import ToolSpec

    async with opened(dataclasses.replace(settings, model=None, planner=None)) as bottega:
        found = [*await bottega.catalog(), *bottega.known_servers().tools()]
        notices, workspace = bottega.notices, bottega.workspace
    for _, notice in notices:
        tell(one_line(notice))
    ledger, problem = open_ledger(workspace, settings.ledger)
    try:
        if problem:
            tell(f"warning: no past runs are learned from: {one_line(problem)}")
        log = await logged(ledger)
    finally:
        ledger.close()
    return [ToolSpec.of(tool) for tool in found], log


async def _written(settings: Settings, place: Path, tools: list[ToolSpec], divided: Split, count: int) -> Written:
    """Requests that the language model writes; first for tools that nobody has asked for, the house's own last."""
    from ..models.chat import open_chat
    from ..models.training.corpus import house_cards
    from ..models.training.writing import write_requests

    if settings.model is None:
        raise UsageError("there is no language model to write requests", hint="name one: --model NAME")
    by_id = {tool.id: dataclasses.asdict(tool) for tool in tools}
    seen = {id for one in divided.learned for id in one.tools}
    wanted = [tool for id, tool in by_id.items() if id not in divided.new]
    wanted.sort(key=lambda tool: (tool["id"] in house_cards(), tool["id"] in seen))
    shots = [(one.request, by_id[one.tools[0]]) for one in divided.learned if len(one.tools) == 1]
    chat = open_chat(settings.model, base_url=settings.base_url, api_key=settings.api_key)
    show = stages()
    show("writing requests", 0, min(count, len(wanted)))
    try:
        kept = place / "written.jsonl"
        return await write_requests(
            wanted[:count], shots, chat, kept, lambda done, total: show("writing requests", done, total)
        )
    finally:
        await chat.close()


def _filtered(material: Material, index: Any) -> list[Asked]:
    """The written requests that find their own tool again."""
    from ..models.training.own_pairs import round_trip

    def search(requests: Any, first: int) -> list[list[str]]:
        return [[hit.id for hit in hits] for hits in index.search_many(requests, first)]

    kept = round_trip(material.written, search, len(index))
    if material.written:
        tell(f"{len(kept)} of {len(material.written)} written requests find their tool again, and are learned from")
    return kept


def _card(verdict: Verdict, material: Material, written: int, command: str) -> Card:
    from ..models.cards import Card, Source
    from ..models.training.options import CORPUS

    return Card(
        name="retriever",
        task="requests to tools",
        data=[Source(source="this folder's tools and requests", licence="not stated"), Source(**CORPUS)],
        metric="nDCG@10 on held-out requests, among the folder's tools",
        figure=verdict.after.own,
        baseline=verdict.before.own,
        command=command,
        trained_on=f"{len(material.split.learned)} requests, {written} written ones, {len(material.tools)} tools",
        held_out=f"{len(material.split.held)} requests"
        + (f", and {len(material.split.new)} tools with all of theirs" if material.split.new else ""),
        details=verdict.to_json(),
    )


def _command(
    settings: Settings, tool_files: tuple[Path, ...], request_file: Path | None, write: int | None, lesson: Lesson
) -> str:
    """The command line that makes the model again."""
    parts = [part for path in tool_files for part in ("--tools", str(path))]
    parts += ["--requests", str(request_file)] if request_file else []
    parts += ["--model", settings.model] if settings.model and settings.origins.get("model") == "flag" else []
    parts += ["--write", str(write)] if write is not None else []
    parts += [f"--{key}={value}" for key, value in dataclasses.asdict(lesson).items()]
    return f"bottega train retriever {shlex.join(parts)}"


def _report(verdict: Verdict, version: int | None, seconds: float) -> None:
    (low, high), before, after = verdict.interval(), verdict.before, verdict.after
    print(f"own requests, {len(after.gains)} held out: {_change(before.to_json(), after.to_json())}")
    print(f"  nDCG@10 {after.own - before.own:+.1f} (95% between {low:+.1f} and {high:+.1f})")
    print(f"corpus, servers never trained on: {_change(verdict.corpus_before, verdict.corpus_after)}")
    print(f"learned in {seconds:.0f} s")
    if version is None:
        print(f"not kept: {verdict.worse}; more requests help, --force keeps it all the same")
    elif verdict.worse:
        print(f"kept as version {version}, though {verdict.worse}")
    else:
        print(f"kept as version {version}: it searches the tools of this folder from now on")


def _change(before: Any, after: Any) -> str:
    return ", ".join(f"{name} {before[name]:.1f} -> {after[name]:.1f}" for name in after)


def _warn(path: Path, problems: list[str]) -> None:
    for problem in problems[:10]:
        tell(f"{path}: left out: {one_line(problem)}")
    if len(problems) > 10:
        tell(f"{path}: and {len(problems) - 10} more were left out")
