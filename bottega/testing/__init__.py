"""For tests of what is built on Bottega: minds, models and servers that do as they are told."""

from .faults import Cut, Garbled, Refused, Silent, Slow
from .models import ScriptedModel
from .planners import ScriptedPlanner, ScriptedRouter
from .script import wants
from .server import ChatServer

__all__ = [
    "ChatServer",
    "Cut",
    "Garbled",
    "Refused",
    "ScriptedModel",
    "ScriptedPlanner",
    "ScriptedRouter",
    "Silent",
    "Slow",
    "wants",
]
