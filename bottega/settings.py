"""What a person has set: flags, then the environment, then files, then defaults. Handed down as plain arguments."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .core.errors import ConfigError, UsageError

NAMES = {
    "mcp_config": str,
    "web": bool,
    "yes": bool,
    "model": str,
    "base_url": str,
    "planner": str,
    "price": str,
    "budget": str,
    "ledger": str,
    "traces": str,
    "trace_content": bool,
}
"""Name -> type of everything that can be set in a file, or as BOTTEGA_NAME in the environment."""

OWN_ONLY = ("web", "yes", "model", "base_url", "price", "budget", "ledger", "traces", "trace_content")
"""Permissions, and what keys and money go to. A folder's own file must not set them for whoever wrote the folder."""


@dataclass(frozen=True)
class Settings:
    """The settings of one command."""

    workspace: Path
    mcp_config: Path | None = None
    """A file with `mcpServers` beside the workspace's own `.mcp.json`."""
    web: bool = False
    """Whether tools may reach the network."""
    yes: bool = False
    """Whether side effects are approved without asking."""
    model: str | None = None
    """The language model, as `open_chat` takes it."""
    base_url: str | None = None
    """Where an OpenAI-compatible server is."""
    price: str | None = None
    """What a million tokens of the model cost, read and written, in US dollars: `0.25,2`."""
    api_key: str | None = field(default=None, repr=False)
    """For the language model: from BOTTEGA_API_KEY, and where the model is OpenAI's, from OPENAI_API_KEY."""
    planner: str | None = None
    """`house`, `llm` or `none`."""
    budget: str | None = None
    """What each run may spend, such as `tokens=20000,seconds=60`."""
    ledger: str | None = None
    """Where runs are kept, when not in the folder: a file or a database URL."""
    traces: str | None = None
    """The collector that traces are sent to."""
    trace_content: bool = False
    """Whether traces carry requests, arguments and answers."""
    later: bool = False
    """Whether runs wait for answers that nobody gives now; only by a flag."""
    approve_plan: bool = False
    """Whether a plan is asked about before it is done; only by a flag."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each value comes from."""

    @classmethod
    def load(
        cls,
        workspace: str | Path = ".",
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:
        """The settings for a workspace. A flag that is None or False was not given.

        Raises `ConfigError` for a file or variable that cannot be used, `UsageError` for a `~name` that nobody has.
        """
        folder = _expanded(workspace)
        layers = [
            ("flag", {k: v for k, v in (flags or {}).items() if v}),
            ("environment", _environment(environment)),
            *((str(path), _file(path, own)) for path, own in config_files(folder)),
        ]
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for name in NAMES:
            for origin, layer in layers:
                if name in layer:
                    values[name], origins[name] = layer[name], origin
                    break
            else:
                origins[name] = "default"
        if path := values.get("mcp_config"):
            values["mcp_config"] = _expanded(path)
        key = environment.get("BOTTEGA_API_KEY") or None
        if key is None and is_openais(values.get("model"), values.get("base_url")):
            key = environment.get("OPENAI_API_KEY") or None
        return cls(folder, **values, api_key=key, origins=origins)


def is_openais(model: str | None, base_url: str | None) -> bool:
    """Whether a model is reached at OpenAI, so that a key for OpenAI goes nowhere else."""
    provider, _, name = (model or "").partition("/")
    return base_url is None and (provider == "openai" or not name)


def config_files(workspace: Path) -> list[tuple[Path, bool]]:
    """The files that are read, the strongest first, and whether it is the person's own."""
    from platformdirs import user_config_path

    return [(workspace / ".bottega" / "config.toml", False), (user_config_path("bottega") / "config.toml", True)]


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"nobody's home is known for {str(path)!r}", hint="write the path out") from None


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in NAMES.items():
        text = environment.get(variable := f"BOTTEGA_{name.upper()}", "")
        if not text:
            continue
        if kind is bool and text.lower() not in ("0", "1", "true", "false", "yes", "no"):
            raise ConfigError(f"{variable} is {text!r}", hint="set it to 1 or 0")
        found[name] = text.lower() in ("1", "true", "yes") if kind is bool else text
    return found


def _file(path: Path, own: bool) -> dict[str, Any]:
    try:
        if path.is_fifo():
            raise ConfigError(f"{path} is not a file", hint="remove it")
        found = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint="mend it or remove it") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="mend its rights or remove it") from None
    for name, value in found.items():
        if name not in NAMES:
            raise ConfigError(f"{path} sets {name!r}, which is no setting", hint=f"settings are {', '.join(NAMES)}")
        if not isinstance(value, NAMES[name]):
            kind = "true or false" if NAMES[name] is bool else "text"
            raise ConfigError(f"{path} sets {name} to {value!r}", hint=f"it takes {kind}")
        if name in OWN_ONLY and not own:
            hint = f"permissions are yours to give: set it in {config_files(path.parent)[1][0]} or by a flag"
            raise ConfigError(f"{path} sets {name!r}, which a folder cannot grant itself", hint=hint)
    if "mcp_config" in found:
        found["mcp_config"] = str((path.parent if own else path.parent.parent) / found["mcp_config"])
    return found
