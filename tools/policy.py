"""What may be called without asking, what has to be asked about, and what is not permitted at all."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from .tool import Tool

Decision = Literal["allow", "ask", "deny"]


@dataclass(frozen=True)
class Rule:
    """A decision for the tools whose id matches `pattern`, with the wildcards of file names: `files/*`."""

    pattern: str
    decision: Decision


@dataclass(frozen=True)
class Verdict:
    """A decision, the reason a person is told, and what would change it."""

    decision: Decision
    reason: str
    hint: str | None = None


@dataclass(frozen=True)
class Policy:
    """Decides about tools. The first rule that matches counts; without one the tool's annotations decide.

    `remote` holds the ids of tools that a configured server runs: what such a server reaches is its own affair, while a
    tool that runs in this process and reaches beyond the machine needs `web`.
    """

    rules: tuple[Rule, ...] = ()
    web: bool = False
    remote: Set[str] = frozenset()

    def judge(self, tool: Tool) -> Verdict:
        """Whether `tool` may be called."""
        for rule in self.rules:
            if fnmatchcase(tool.id, rule.pattern):
                return Verdict(rule.decision, f"the rule for {rule.pattern!r} says {rule.decision}")
        annotations = tool.annotations
        if annotations.open_world and tool.id not in self.remote and not self.web:
            return Verdict(
                "deny",
                f"{tool.id} reaches the network, which was not permitted",
                hint="run with --web, or give Bottega(web=True)",
            )
        if annotations.read_only:
            return Verdict("allow", f"{tool.id} only reads")
        return Verdict("ask", f"{tool.id} {'may destroy' if annotations.destructive else 'changes'} something")
