"""Workflows: known ways to do something, which a person writes in YAML."""

from .form import Input, WorkflowStep
from .workflow import FOLDER, Workflow, find_workflow, read_workflows

__all__ = ["FOLDER", "Input", "Workflow", "WorkflowStep", "find_workflow", "read_workflows"]
