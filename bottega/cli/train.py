"""`bottega train`: learns a task model from examples, measures it on held-out ones, keeps it if it is good enough."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .models import FOLDER
from .output import print_json
from .stages import stages
from .train_retriever import retriever

if TYPE_CHECKING:
    from ..models.training.classify import Outcome
    from ..models.training.spec import TaskSpec


class TrainGroup(click.Group):
    """`bottega train SPEC.yaml`: what is no command is the name of a spec."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "spec", spec_, args


@click.group(cls=TrainGroup, subcommand_metavar="SPEC.yaml | COMMAND [OPTIONS]")
def train() -> None:
    """Train a task model of your own from examples: from a spec, or with options. Or the folder's retriever.

    A spec is a YAML file: name, data (JSONL or CSV) or examples by label, and what is good enough. A model that reaches
    its bar is kept and can be used by its name at once; exit code 1 says that it did not.

    \b
        name: ticket-topics
        data: tickets.jsonl
        held_out: 0.2
        bar: 0.8
    """


train.add_command(retriever)


@click.command("spec", hidden=True)
@click.argument("path", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def spec_(path: Path, folder: Path | None, as_json: bool) -> int:
    """Train what the file SPEC.yaml says."""
    from ..models.training.spec import read_spec

    return _train(read_spec(path), f"bottega train {path}", folder, as_json)


@train.command()
@click.option("--name", required=True, help="What the model is called.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A JSONL, CSV or TSV file of examples.")
@click.option("--text-field", default="text", show_default=True, help="The field with the text.")
@click.option("--label-field", default="label", show_default=True, help="The field with the label.")
@click.option("--split-field", default="split", show_default=True, help="The field with the split, where there is one.")
@click.option("--train", "train_split", help="The split to learn from.  [default: train]")
@click.option("--held-out", help="The split to measure on, or a share of the rows.  [default: test, or 0.2]")
@click.option("--shots", type=click.IntRange(1), help="Learn from this many examples of each label.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the shots and the held-out rows.")
@click.option("--metric", type=click.Choice(["accuracy", "macro_f1"]), default="accuracy", show_default=True)
@click.option("--bar", type=click.FloatRange(0, 1), help="The figure that the model must reach.")
@click.option("--licence", default="not stated", help="Of the data, for the model's card.")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def classify(folder: Path | None, as_json: bool, train_split: str | None, held_out: str | None, **given: Any) -> int:
    """Train a classifier: text to label."""
    from ..models.training.spec import checked_spec

    spec = checked_spec({**given, "train": train_split, "held_out": _share(held_out)})
    return _train(spec, _command(spec), folder, as_json)


def _share(held_out: str | None) -> float | str | None:
    try:
        return None if held_out is None else float(held_out)
    except ValueError:
        return held_out


def _command(spec: TaskSpec) -> str:
    """The command line that makes the model again."""
    import shlex

    given = spec.model_dump(exclude_defaults=True, exclude={"task"})
    parts = [f"--{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in given.items()]
    return " ".join(["bottega train classify", *parts])


def _train(spec: TaskSpec, command: str, folder: Path | None, as_json: bool) -> int:
    from ..models.registry import check_name, register
    from ..models.training.classify import train_task

    check_name(spec.name)
    outcome = train_task(spec, command, stages())
    kept = register(outcome.classifier.adapter, outcome.card, folder) if outcome.passed else None
    card = kept.card if kept else outcome.card
    assert card
    for label in outcome.unknown:
        print(f"warning: there is no example of {label!r} to learn from, but held-out ones", file=sys.stderr)
    if as_json:
        file = str(kept.weights) if kept else None
        print_json({**card.model_dump(mode="json"), "passed": outcome.passed, "bar": spec.bar, "file": file})
    else:
        _tell(outcome, spec, kept.version if kept else None)
    return 0 if outcome.passed else 1


def _tell(outcome: Outcome, spec: TaskSpec, version: int | None) -> None:
    card = outcome.card
    print(f"{card.metric} {card.figure:.3f} on {card.held_out} (names of the labels alone: {card.baseline:.3f})")
    print(f"learned from {card.trained_on} in {outcome.seconds:.1f} s")
    if version is None:
        print(f"below the bar of {spec.bar:g}: not kept; more examples or descriptions of the labels help")
    else:
        print(f"kept as {card.name} version {version}: bottega serve models, or Specialist(..., model={card.name!r})")
