"""`bottega doctor`: looks at the installation and the folder. Starts no server, sends nothing, shows no secret."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

import click

from .. import __version__
from ..core.errors import BottegaError
from ..settings import Settings, config_files
from .options import workshop_options
from .output import print_json
from .text import one_line

MARKS = {"ok": "✓", "note": "·", "fault": "✗"}


@dataclass(frozen=True)
class Finding:
    """One line of the report. A `fault` stops something from working; a `note` is only good to know."""

    group: str
    name: str
    state: Literal["ok", "note", "fault"]
    text: str
    hint: str | None = None


@click.command()
@workshop_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(settings: Settings, as_json: bool) -> int:
    """Check this installation and this folder: packages, weights, task models, settings, servers.

    Offline, and safe to paste into a report. Exit code 1 if something is really wrong.
    """
    found = [finding for check in CHECKS for finding in _guarded(check, settings)]
    faults = sum(finding.state == "fault" for finding in found)
    if as_json:
        print_json({"version": __version__, "faults": faults, "findings": [asdict(finding) for finding in found]})
    else:
        group = ""
        for finding in found:
            if finding.group != group:
                group = finding.group
                print(group)
            print(f"  {MARKS[finding.state]} {finding.name}: {one_line(finding.text)}")
            if finding.hint:
                print(f"      {one_line(finding.hint)}")
        print(f"\n{faults} fault{'' if faults == 1 else 's'}" if faults else "\neverything is in order")
    return 1 if faults else 0


def _guarded(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    """What `check` finds; an error it stumbles over is a finding too."""
    name = check.__name__.strip("_")
    try:
        yield from check(settings)
    except BottegaError as error:
        yield Finding(name, name, "fault", error.message, error.hint)
    except Exception as error:
        yield Finding(name, name, "fault", f"{type(error).__name__}: {error}")


def _installation(settings: Settings) -> Iterator[Finding]:
    group = "installation"
    python = f"{platform.python_version()} ({sys.executable})"
    yield Finding(group, "bottega", "ok", f"{__version__}, {platform.system()} {platform.machine()}")
    yield Finding(group, "python", "ok" if sys.version_info >= (3, 11) else "fault", python)
    base: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in metadata.requires("bottega") or []:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        (extras.setdefault(extra[1], []) if extra else base).append(name)
    missing = [name for name in base if not _version(name)]
    if missing:
        yield Finding(group, "packages", "fault", f"missing: {', '.join(missing)}", "install Bottega again")
    else:
        yield Finding(group, "packages", "ok", ", ".join(f"{name} {_version(name)}" for name in base))
    ready = [extra for extra, names in extras.items() if all(_version(name) for name in names)]
    lacking = [extra for extra in extras if extra not in ready]
    told = f"installed: {', '.join(ready) or 'none'}; not installed: {', '.join(lacking) or 'none'}"
    yield Finding(group, "extras", "note", told)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _models(settings: Settings) -> Iterator[Finding]:
    from ..models.backbone import NAME, SHA256, find
    from ..models.registry import list_models, read_adapter

    group = "models"
    os.environ["HF_HUB_OFFLINE"] = "1"  # only of this process: nothing is to be downloaded by looking
    backbone = find()
    size = backbone.weights.stat().st_size / 1e6
    told = f"{NAME}, {size:.0f} MB, SHA-256 {SHA256[:16]}… as expected, in {backbone.folder}"
    yield Finding(group, "backbone", "ok", told)
    found = list_models()
    for entry in found:
        try:
            read_adapter(entry)
        except BottegaError as error:
            yield Finding(group, entry.name, "fault", error.message, error.hint)
    shipped = [entry for entry in found if entry.shipped]
    if shipped:
        total = sum(entry.weights.stat().st_size for entry in shipped if entry.weights.exists()) / 1e6
        told = f"{', '.join(entry.name for entry in shipped)}; {total:.1f} MB in all"
        yield Finding(group, "house models", "ok", told)
    else:
        yield Finding(group, "house models", "fault", "none are installed", "install Bottega again")
    if own := [f"{entry.name} {entry.version}" for entry in found if not entry.shipped]:
        yield Finding(group, "own models", "ok", ", ".join(own))


def _folder(settings: Settings) -> Iterator[Finding]:
    from ..keeping import own_retriever
    from ..tools import Workspace

    group = "folder"
    workspace = Workspace.at(settings.workspace)
    root = workspace.root
    if os.access(root, os.W_OK):
        yield Finding(group, "workspace", "ok", str(root))
    else:
        yield Finding(group, "workspace", "note", f"{root} is read-only: requests that write will fail")
    free = shutil.disk_usage(root).free
    yield Finding(group, "disk", "ok" if free > 100e6 else "fault", f"{free / 1e9:.1f} GB free")
    own, problem = own_retriever(workspace)
    if own or problem:
        yield Finding(group, "retriever", "fault" if problem else "ok", problem or f"its own, {own}")
    for path, _ in config_files(settings.workspace):
        if path.exists():
            yield Finding(group, "settings file", "ok", str(path))
    for name, origin in settings.origins.items():
        yield Finding(group, name, "note", f"{getattr(settings, name)} (from: {origin})")


def _servers(settings: Settings) -> Iterator[Finding]:
    from ..keeping import catalog_folder
    from ..tools import Workspace
    from ..tools.catalog import Catalog
    from ..tools.mcp.config import read_config

    group = "MCP servers"
    found = {server.name: server for server in read_config(settings.workspace)}
    if settings.mcp_config is not None:
        found |= {s.name: s for s in read_config(settings.mcp_config, workspace=settings.workspace)}
    workspace = Workspace.at(settings.workspace)
    catalog = Catalog.open([*found.values()], workspace.root, catalog_folder(workspace))
    known = {status.name: status for status in catalog.status()}
    for server in found.values():
        status = known[server.name]
        if server.problem:
            yield Finding(group, server.name, "fault", server.problem)
        elif not server.enabled:
            yield Finding(group, server.name, "note", "disabled")
        elif server.command and not shutil.which(server.command, path=server.env.get("PATH")):
            told = f"the command {server.command!r} is not installed"
            yield Finding(group, server.name, "fault", told, "install it or mend the file")
        elif status.problems and status.listed is None:
            yield Finding(group, server.name, "note", "; ".join(status.problems))
        else:
            count = "its tools are not known yet" if status.listed is None else f"{status.tools} tools known"
            yield Finding(group, server.name, "ok", f"{server.address} ({count})")
    for held in catalog.held_back():
        told = f"held back: its {held.parts} changed since it was approved"
        yield Finding(group, held.id, "note", told, f"bottega tools approve {held.id}")
    if problem := next((text for name, text in catalog.problems() if not name), None):
        yield Finding(group, "catalog", "note", problem)
    if not found:
        hint = "put an .mcp.json into the folder, or: bottega mcp add"
        yield Finding(group, "servers", "note", "none are configured", hint)


CHECKS = (_installation, _models, _folder, _servers)
