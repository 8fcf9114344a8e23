"""Bottega: a workshop of agents. Its public names, each imported when it is first used: `import bottega` is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .agents.mermaid import mermaid
    from .agents.plan import Answer, Budget, Plan, Question, Route, RunResult, Step, StepResult
    from .agents.specialist import Specialist
    from .agents.workflows import Workflow
    from .core.errors import BottegaError, ToolError
    from .core.usage import Usage
    from .graphs.events import Event
    from .tools import Tool, ToolContext, ToolResult, Toolset, Workspace, tool
    from .tools.policy import Rule
    from .workshop import Bottega

__all__ = [
    "Answer",
    "Bottega",
    "BottegaError",
    "Budget",
    "Event",
    "Plan",
    "Question",
    "Route",
    "Rule",
    "RunResult",
    "Specialist",
    "Step",
    "StepResult",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "Toolset",
    "Usage",
    "Workflow",
    "Workspace",
    "__version__",
    "mermaid",
    "tool",
]

_HOMES = {
    "agents.mermaid": ("mermaid",),
    "agents.plan": ("Answer", "Budget", "Plan", "Question", "Route", "RunResult", "Step", "StepResult"),
    "agents.specialist": ("Specialist",),
    "agents.workflows": ("Workflow",),
    "core.errors": ("BottegaError", "ToolError"),
    "core.usage": ("Usage",),
    "graphs.events": ("Event",),
    "tools": ("Tool", "ToolContext", "ToolResult", "Toolset", "Workspace", "tool"),
    "tools.policy": ("Rule",),
    "workshop": ("Bottega",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
