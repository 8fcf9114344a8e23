"""Whether a model still works: its files are whole, its numbers are numbers, it answers what it must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..core.errors import BottegaError
from .adapters import Adapter
from .backbone import HIDDEN
from .classifier import Classifier
from .encoder import Encoder
from .registry import Entry, read_adapter, repair

TEXT = "How many days are left until the end of the year?"


def check_model(entry: Entry, encoder: Encoder) -> str | None:
    """What is wrong with a model and what to do, in one line; None if nothing is."""
    try:
        adapter = read_adapter(entry)
        problem = _wrong(entry, adapter, encoder)
    except BottegaError as error:
        return str(error)
    except (LookupError, TypeError, ValueError) as error:
        problem = f"it cannot answer: {type(error).__name__} {error}"
    return problem and f"{problem} ({repair(entry)})"


def _wrong(entry: Entry, adapter: Adapter, encoder: Encoder) -> str | None:
    for name, array in (*adapter.lora.items(), *adapter.heads.items()):
        if not np.isfinite(array).all():
            return f"{name} holds values that are no numbers"
    if entry.name in HOUSE_TESTS:
        ask, right = HOUSE_TESTS[entry.name]
        answer = ask(encoder, adapter)
        return None if answer == right else f"it answers {answer!r} where {right!r} is right"
    if entry.task == "classify":
        return _ask(Classifier(adapter, encoder))
    vectors = encoder.embed([TEXT], adapter)
    if vectors.shape != (1, HIDDEN) or not np.isfinite(vectors).all():
        return "the backbone gives no vectors with it"
    return None


def _ask(model: Classifier) -> str | None:
    """Asks a classifier the question that was kept with it."""
    test = model.adapter.settings.get("self_test")
    if not isinstance(test, dict):
        return None if model.classify([TEXT]) else "it gives no answer"
    answer = model.classify([test["text"]])[0][0][0]
    return (
        None
        if answer == test["label"]
        else f"it answers {answer!r} where it answered {test['label']!r} when it was trained"
    )


def _reader(encoder: Encoder, adapter: Adapter) -> str:
    from .house.reader import ReaderModel

    passage = "The club meets on Mondays. Ada Brook opens the meeting and Theo Lund takes the minutes."
    answer = ReaderModel(encoder, adapter).best("Who takes the minutes?", [passage])
    return answer.text if answer else ""


def _retriever(encoder: Encoder, adapter: Adapter) -> str:
    from .house.retriever import RetrieverModel

    model, tools = RetrieverModel(encoder, adapter), ("book table", "get forecast", "send mail")
    told = ("Reserves seats in a restaurant", "Weather of a place on a day", "Sends a message to a person")
    vectors = model.encode_tools([f"{name}: {what}" for name, what in zip(tools, told, strict=True)])
    return tools[int(np.argmax(vectors @ model.encode_requests(["Will it rain in Bergen tomorrow?"])[0]))]


def _router(encoder: Encoder, adapter: Adapter) -> str:
    from .house.router import RouterModel

    model = RouterModel(encoder, adapter)
    roles = model.read(model.embed("Copy draft.txt to the folder archive")).roles
    return max(roles, key=roles.__getitem__)


def _slots(encoder: Encoder, adapter: Adapter) -> str:
    from .house.slots import Card, Parameter, SlotsModel

    cards = [
        Card("send_mail", "Sends a message to a person", (Parameter("to", "string", "who gets it", required=True),)),
        Card("get_forecast", "Weather of a place on a day", (Parameter("city", "string", "where", required=True),)),
    ]
    asked = "What will the weather be like in Bergen?"
    best = max(SlotsModel(encoder, adapter).read(asked, cards), key=lambda reading: reading.fit)
    ((name, pointer),) = best.pointers.items()
    begin, end, _ = pointer.best()
    return f"{best.card.name} {name}={asked[begin:end]}"


def _splitter(encoder: Encoder, adapter: Adapter) -> str:
    from .house.splitter import SplitterModel

    request = "Count the words in essay.txt and then copy draft.txt to archive"
    return " | ".join(clause.text for clause in SplitterModel(encoder, adapter).split(request))


def _table(encoder: Encoder, adapter: Adapter) -> str:
    from .house.table import Column, TableModel

    columns = [Column("lamp", "text", ("Arc", "Bell"), True), Column("price", "number", ("12", "30"))]
    return TableModel(encoder, adapter).sketch("What is the average price of all lamps?", columns).sql("lamps", columns)


HOUSE_TESTS: Mapping[str, tuple[Callable[[Encoder, Adapter], str], str]] = {
    "reader": (_reader, "Theo Lund"),
    "retriever": (_retriever, "get forecast"),
    "router": (_router, "writer"),
    "slots": (_slots, "get_forecast city=Bergen"),
    "splitter": (_splitter, "Count the words in essay.txt | copy draft.txt to archive"),
    "table": (_table, 'SELECT avg("price") FROM "lamps"'),
}
"""What each house model is asked, and the answer that any good training of it gives."""
