"""Planners: from a request to a `Plan`."""

from .house import HousePlanner

__all__ = ["HousePlanner"]
