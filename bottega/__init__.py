"""Bottega: a workshop of agents. Heavy parts are imported where they are used."""

from __future__ import annotations

__version__ = "0.1.0"
