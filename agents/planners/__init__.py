"""Planners: from a request to a `Plan`."""

from .escalating import EscalatingPlanner
from .house import HousePlanner
from .llm import LLMPlanner

__all__ = ["EscalatingPlanner", "HousePlanner", "LLMPlanner"]
