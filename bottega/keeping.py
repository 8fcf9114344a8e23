"""Where a workshop keeps its runs, and the rules that a person gave for good."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from .core.errors import BottegaError, ConfigError
from .tools import Workspace
from .tools.policy import Rule

if TYPE_CHECKING:
    from .graphs.ledger import Ledger

FOLDER = ".bottega"
NAME = "runs.db"
CATALOG = "catalog"
INDEX = "index"
MODELS = "models"
DECISIONS = ("allow", "ask", "deny")


def open_ledger(workspace: Workspace, place: str | Path | None) -> tuple[Ledger, str | None]:
    """The ledger at `place`, a file or a database URL, else that of the folder; and what there is to tell about it.

    A folder that cannot be written gets a ledger in memory. Raises `LedgerError` for a named one that cannot be used.
    """
    from .graphs.ledger import Ledger

    if place is not None:
        text = str(place)
        url = text if "://" in text else f"sqlite:///{Path(text).expanduser().absolute()}"
        return _usable(Ledger("sqlite://" if text == ":memory:" else url)), None
    folder = workspace.root / FOLDER
    try:
        if folder.is_symlink():
            raise OSError(f"{FOLDER} is a link")
        folder.mkdir(exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text(f"{NAME}*\n")
        return _usable(Ledger(f"sqlite:///{folder / NAME}")), None
    except OSError as error:
        why = error.strerror or str(error)
    except BottegaError as error:
        why = error.message
    return Ledger("sqlite://"), f"this run is not kept and cannot be resumed: {why}"


def has_ledger(workspace: Workspace) -> bool:
    """Whether the folder has kept runs."""
    return (workspace.root / FOLDER / NAME).is_file()


def catalog_folder(workspace: Workspace) -> Path | None:
    """Where the tools of the folder's servers are kept; None where nothing is to be written through a link."""
    return _inside(workspace, CATALOG)


def index_folder(workspace: Workspace) -> Path | None:
    """Where the index of the folder's tools is kept; None where nothing is to be written through a link."""
    return _inside(workspace, INDEX)


def models_folder(workspace: Workspace) -> Path | None:
    """Where the folder's own models are kept; None where nothing is to be written through a link."""
    return _inside(workspace, MODELS)


def _inside(workspace: Workspace, name: str) -> Path | None:
    folder = workspace.root / FOLDER
    return None if folder.is_symlink() else folder / name


def own_retriever(workspace: Workspace) -> tuple[Path | None, str | None]:
    """The file of the folder's own retriever, where it has one that works; and what there is to tell about it."""
    folder = models_folder(workspace)
    if folder is None or not (folder / "retriever").is_dir():
        return None, None
    from .models.adapters import Adapter
    from .models.house.retriever import PATH
    from .models.registry import newest, read_adapter

    found = newest("retriever", folder)
    if found is None:
        return None, None
    try:
        heads = {name: head.shape for name, head in read_adapter(found).heads.items()}
        if heads == {name: head.shape for name, head in Adapter.load(PATH).heads.items()}:
            return found.weights, None
        why = "it was made for another version of Bottega"
    except BottegaError as error:
        why = error.message
    return None, f"the folder's own retriever is not used: {why} (to make it again: bottega train retriever)"


def _usable(ledger: Ledger) -> Ledger:
    ledger.prepare()
    return ledger


def policy_file() -> Path:
    """The person's own rules for tools."""
    from platformdirs import user_config_path

    return user_config_path("bottega") / "policy.toml"


def read_rules(workspace: Workspace, file: Path | None = None) -> tuple[Rule, ...]:
    """The person's rules that hold in a folder, the strongest first: the last one written goes before.

    The file has tables like `[[rules]]` with `tool` (an id with the wildcards of file names), `decision` (`allow`,
    `ask` or `deny`) and, where it holds in one folder only, `workspace`. Raises `ConfigError` for any other form.
    """
    path = file or policy_file()
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be used: {error}", hint="mend it or remove it") from None
    rules = found.get("rules", [])
    if not isinstance(rules, list) or not found.keys() <= {"rules"}:
        raise ConfigError(f"{path} holds something else than [[rules]]", hint="mend it or remove it")
    held: list[Rule] = []
    for rule in rules:
        known = isinstance(rule, dict) and rule.keys() <= {"tool", "decision", "workspace"}
        if not known or not isinstance(rule.get("tool"), str) or rule.get("decision") not in DECISIONS:
            raise ConfigError(
                f"{path} has a rule that is none: {str(rule)[:200]}",
                hint='a rule has tool = "server/name" and decision = "allow", "ask" or "deny"',
            )
        if rule.get("workspace") in (None, str(workspace.root)):
            held.append(Rule(rule["tool"], rule["decision"]))
    return tuple(reversed(held))


def keep_rule(workspace: Workspace, rule: Rule, file: Path | None = None) -> Path:
    """Writes a rule for this folder down; gives the file. Raises `ConfigError` where that cannot be done."""
    import json

    path = file or policy_file()
    lines = [f"tool = {json.dumps(rule.pattern)}", f'decision = "{rule.decision}"']
    lines.append(f"workspace = {json.dumps(str(workspace.root))}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write("\n[[rules]]\n" + "\n".join(lines) + "\n")
    except OSError as error:
        raise ConfigError(f"the rule cannot be kept in {path}: {error.strerror}") from None
    return path
