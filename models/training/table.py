"""Trains the table model: a LoRA adapter and heads on the backbone, from the grammar and, if there, WikiSQL.

    python -m bottega.models.training.table --data DIR

DIR holds `wikisql/test.jsonl.gz` (trained on) and `wikisql/dev.jsonl.gz` (measured on); without it only the grammar is
used. A card with the figures is written beside the adapter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import Adapter, Array
from ..backbone import HIDDEN, find
from ..cards import Card, Source
from ..encoder import Encoder
from ..house.table import (
    AGGREGATES,
    COLUMN_HEAD,
    LIMITS,
    OPERATORS,
    PATH,
    ROLES,
    ROWS_HEAD,
    SHAPES,
    Layout,
    Selected,
    TableModel,
    lay_out,
)
from . import options
from . import table_evaluation as evaluation
from . import table_wikisql as wikisql
from .lora import LoraBackbone, Schedule, pad, train
from .table_baseline import Baseline
from .table_grammar import Example, questions
from .table_schemas import schemas

POINTER = 48
"""Width of the pointers' queries and keys."""
LONGEST = 152
"""Tokens; longer examples are not trained on."""
WIKISQL_SHARE = 0.27
WIKISQL = {"source": "WikiSQL, test file", "licence": "BSD-3-Clause"}
NONE = -100
HEADS = ("shape", "limit", "rows", "column")


class TableNet(nn.Module):
    """The backbone with the heads that `TableModel` applies in numpy."""

    def __init__(self, rank: int = 16, seed: int = 0, start: Adapter | None = None) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = LoraBackbone(rank, start=start)
        self.shape = nn.Linear(HIDDEN, len(SHAPES))
        self.limit = nn.Linear(HIDDEN, len(LIMITS))
        self.rows = nn.Linear(HIDDEN, len(ROWS_HEAD))
        self.column = nn.Linear(HIDDEN, COLUMN_HEAD)
        self.pointers = nn.ParameterDict(
            {
                f"{edge}_{side}": nn.Parameter(torch.randn(HIDDEN, POINTER) * HIDDEN**-0.5)
                for edge in ("start", "end")
                for side in ("query", "key")
            }
        )

        if start is not None:
            self._load(start)

    def _load(self, start: Adapter) -> None:
        for head in HEADS:
            getattr(self, head).weight.data = torch.tensor(start.heads[f"{head}.weight"].T.copy())
            getattr(self, head).bias.data = torch.tensor(start.heads[f"{head}.bias"])
        for key in self.pointers:
            self.pointers[key].data = torch.tensor(start.heads[key.replace("_", ".")])

    def adapter(self, name: str = "table") -> Adapter:
        """The trained model in the form that is shipped."""
        heads: dict[str, Array] = {}
        for head in HEADS:
            layer = getattr(self, head)
            heads[f"{head}.weight"] = layer.weight.detach().float().numpy().T
            heads[f"{head}.bias"] = layer.bias.detach().float().numpy()
        for key, value in self.pointers.items():
            heads[key.replace("_", ".")] = value.detach().float().numpy()
        return Adapter(name, self.backbone.lora(), heads, {})


@dataclass(frozen=True)
class Target:
    """What the heads should say about one laid-out example; `NONE` where a head is not asked."""

    layout: Layout
    shape: int
    limit: int
    select: list[float] | None
    """For each column and, last, for all columns."""
    where: list[float]
    conditions: list[tuple[int, int, int, int]]
    """Column, operator, first and last token of the value."""
    group: int
    order: int
    descending: tuple[int, float] | None
    """The column (or `NONE` for the number of rows) and whether the direction is down."""
    measures: list[int]
    """Indices into `Scores.measures`."""


def target(encoder: Encoder, example: Example) -> Target | None:
    """None for an example that does not fit into the sequence."""
    layout = lay_out(encoder, example.question, example.columns)
    names = {c.name: i for i, c in enumerate(example.columns)}
    if len(layout.columns) < len(names) or len(layout.ids) > LONGEST:
        return None
    sketch = example.sketch
    conditions = []
    for name in dict.fromkeys(c.column for c in sketch.where):
        same = [c for c in sketch.where if c.column == name]
        op = OPERATORS.index("between" if len(same) == 2 else same[0].op)
        if name not in example.spans:
            conditions.append((names[name], op, NONE, NONE))
            continue
        begin, end = example.spans[name]
        tokens = [i for i, (b, e) in enumerate(layout.spans) if b < end and e > begin]
        if not tokens:
            return None
        conditions.append((names[name], op, tokens[0], tokens[-1]))
    where = [0.0] * len(names)
    for column, *_ in conditions:
        where[column] = 1.0
    grouped = example.shape in ("groups", "top groups")
    measured = list(sketch.select[1 if grouped else 0 :]) if grouped or example.shape == "aggregate" else []
    select = None
    if example.shape in ("list", "distinct", "top rows"):
        shown = sketch.select[:-1] if example.shape == "top rows" and len(sketch.select) > 1 else sketch.select
        chosen = {s.column for s in shown}
        select = [1.0 if c.name in chosen else 0.0 for c in example.columns] + [1.0 if None in chosen else 0.0]
    limit, descending = NONE, None
    if sketch.order:
        limit = LIMITS.index("all" if sketch.limit is None else "one" if sketch.limit == 1 else "number")
        by = sketch.order.by.column
        descending = (names[by] if by is not None else NONE, float(sketch.order.desc))
    order = (
        names[sketch.order.by.column]
        if example.shape == "top rows" and sketch.order and sketch.order.by.column
        else NONE
    )
    return Target(
        layout,
        SHAPES.index(example.shape),
        limit,
        select,
        where,
        conditions,
        names[sketch.group] if sketch.group else NONE,
        order,
        descending,
        [_measure(s, names) for s in measured],
    )


def _measure(s: Selected, names: dict[str, int]) -> int:
    if s.column is None:
        return len(names) * len(AGGREGATES)
    return names[s.column] * len(AGGREGATES) + AGGREGATES.index(s.aggregate)


def loss(net: TableNet, batch: Sequence[Target]) -> Tensor:
    """The mean over the batch of the summed losses of all heads."""
    ids, mask, types = pad([t.layout.ids for t in batch], [t.layout.types for t in batch])
    hidden = net.backbone(ids, mask, types)
    first = hidden[:, 0]
    shapes, limits, rows = net.shape(first).float(), net.limit(first).float(), net.rows(first).float()
    total = F.cross_entropy(shapes, torch.tensor([t.shape for t in batch]), reduction="sum")
    asked = [i for i, t in enumerate(batch) if t.limit != NONE]
    if asked:
        total = total + F.cross_entropy(limits[asked], torch.tensor([batch[i].limit for i in asked]), reduction="sum")
    for i, t in enumerate(batch):
        total = total + _columns_loss(net, hidden[i], rows[i], t)
    return total / len(batch)


def _columns_loss(net: TableNet, hidden: Tensor, rows: Tensor, t: Target) -> Tensor:
    columns = hidden[t.layout.columns]
    each = net.column(columns).float()
    r, o = len(ROLES), len(ROLES) + len(OPERATORS)
    roles, operators = each[:, :r], each[:, r:o]
    part = F.binary_cross_entropy_with_logits(roles[:, ROLES.index("where")], torch.tensor(t.where), reduction="sum")
    if t.select is not None:
        logits = torch.cat([roles[:, ROLES.index("select")], rows[:1]])
        part = part + F.binary_cross_entropy_with_logits(logits, torch.tensor(t.select), reduction="sum")
    for chosen, role in ((t.group, "group"), (t.order, "order")):
        if chosen != NONE:
            part = part - torch.log_softmax(roles[:, ROLES.index(role)], 0)[chosen]
    if t.measures:
        log = torch.log_softmax(torch.cat([each[:, o:].reshape(-1), rows[1:2]]), 0)
        part = part - log[t.measures].mean()
    if t.descending is not None:
        column, down = t.descending
        logit = rows[2] if column == NONE else roles[column, ROLES.index("descending")]
        part = part + F.binary_cross_entropy_with_logits(logit, torch.tensor(down))
    if t.conditions:
        part = part + _values_loss(net, hidden, columns, operators, t)
    return part


def _values_loss(net: TableNet, hidden: Tensor, columns: Tensor, operators: Tensor, t: Target) -> Tensor:
    question = hidden[1 : 1 + len(t.layout.spans)]
    of = [c for c, *_ in t.conditions]
    part = F.cross_entropy(operators[of], torch.tensor([op for _, op, *_ in t.conditions]), reduction="sum")
    valued = [(c, a, b) for c, _, a, b in t.conditions if a != NONE]
    if valued:
        queries = columns[[c for c, *_ in valued]]
        for edge, gold in (("start", [a for _, a, _ in valued]), ("end", [b for *_, b in valued])):
            keys = question @ net.pointers[f"{edge}_key"]
            logits = ((queries @ net.pointers[f"{edge}_query"]) @ keys.T).float() * POINTER**-0.5
            part = part + 0.5 * F.cross_entropy(logits, torch.tensor(gold), reduction="sum")
    return part


def batches(encoder: Encoder, real: Sequence[Example], seed: int, size: int) -> Iterator[list[Target]]:
    """Batches of similar length, without end: the grammar's questions and, if there, real ones."""
    rng = random.Random(seed)
    invented = questions(rng)
    while True:
        pool: list[Target] = []
        while len(pool) < 12 * size:
            example = rng.choice(real) if real and rng.random() < WIKISQL_SHARE else next(invented)
            if (made := target(encoder, example)) is not None:
                pool.append(made)
        pool.sort(key=lambda t: len(t.layout.ids))
        cut = [pool[i : i + size] for i in range(0, len(pool), size)]
        rng.shuffle(cut)
        yield from cut


def build(
    encoder: Encoder,
    data: Path | None,
    schedule: Schedule,
    *,
    rank: int = 16,
    size: int = 24,
    start: Adapter | None = None,
) -> Adapter:
    """Trains an adapter, from nothing or on from `start`."""
    source = data / "wikisql" / "test.jsonl.gz" if data else None
    real = wikisql.read(source, clean=True) if source and source.exists() else []
    net = TableNet(rank, schedule.seed, start)
    train(net, batches(encoder, real, schedule.seed, size), lambda batch: loss(net, batch), schedule, "table")
    return net.adapter()


def main() -> None:
    a = options.parse(__doc__ or "", PATH, steps=1600, size=24, rate=6e-4)
    encoder = Encoder(find(), threads=a.threads)
    if not a.measure:
        start = Adapter.load(a.start) if a.start else None
        schedule = Schedule(a.steps, a.rate, a.seed, a.half, a.out.with_suffix(".checkpoint"))
        adapter = build(encoder, a.data, schedule, size=a.size, start=start)
        evaluation.calibrated(encoder, adapter, a.data).save(a.out)
    adapter = Adapter.load(a.out)
    figures = evaluation.figures(TableModel(encoder, adapter).sketch, a.data)
    untrained = evaluation.figures(Baseline(encoder).sketch, a.data)
    print(json.dumps({"table": figures, "untrained": untrained}))
    used = [options.CORPUS, *([WIKISQL] if a.data else [])]
    card = Card(
        name="table",
        task="question and columns to a query",
        data=[Source(**s) for s in used],
        metric="queries that give the right rows, percent",
        figure=figures["held_out_tables"]["answer"],
        baseline=untrained["held_out_tables"]["answer"],
        command="python -m bottega.models.training.table --data DIR",
        seed=a.seed,
        trained_on=f"{len(schemas(False))} invented tables, questions by a grammar"
        f"{'; WikiSQL test file' if a.data else ''}",
        held_out=f"{len(schemas(True))} invented tables with other columns; baseline: columns by cosine, keywords",
        details={"table": figures, "untrained": untrained},
    )
    card.of(adapter, a.out).save(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
