"""A tree of OpenTelemetry spans that are always well nested. What the spans say is decided in `traces.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from ..core.errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, TracerProvider

Key = tuple[Literal["run", "plan", "step", "tool", "model"], str]
"""What a span is known by: its sort, and the id of the step or call."""

Value = str | bool | int | float | Sequence[str]


@dataclass
class _Open:
    span: Span
    parent: Key | None
    start: int


class SpanTree:
    """Spans that are under way, each inside another one.

    A span that ends takes along whatever lies in it, and the clock only moves forward, even where that of the machine
    was set back: so no span begins before the one it lies in, or outlives it. Times are nanoseconds since the epoch.
    """

    def __init__(self, tracing: Tracing, now: int) -> None:
        self.now = now
        self._tracing = tracing
        self._open: dict[Key, _Open] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    def age(self, key: Key) -> float:
        """Seconds since an open span began."""
        return (self.now - self._open[key].start) / 1e9

    def start(
        self,
        key: Key,
        parent: Key | None,
        name: str,
        attributes: Mapping[str, Value],
        *,
        since: int | None = None,
        remote: bool = False,
        after: Sequence[SpanContext] = (),
    ) -> None:
        """Opens a span inside `parent`, or inside the program's current one; an open one with the same key is ended.

        `since` is when it began, if not now; `remote` says that others do the work; `after` are spans it depends on.
        """
        self.end(key, "repeated")
        api = self._tracing.api
        since = self.now if since is None else since
        span = self._tracing.tracer.start_span(
            name,
            None if parent is None else api.set_span_in_context(self._open[parent].span),
            kind=api.SpanKind.CLIENT if remote else api.SpanKind.INTERNAL,
            attributes=attributes,
            links=[api.Link(context) for context in after],
            start_time=since,
        )
        self._open[key] = _Open(span, parent, since)

    def set(self, key: Key, attributes: Mapping[str, Value]) -> None:
        """Attributes of a span, if it is open."""
        if key in self._open:
            self._open[key].span.set_attributes(attributes)

    def tell(self, key: Key, name: str, attributes: Mapping[str, Value]) -> None:
        """Something that happened now, during an open span."""
        self._open[key].span.add_event(name, attributes, timestamp=self.now)

    def end(self, key: Key, error: str | None = None, why: str | None = None) -> SpanContext | None:
        """Ends a span, if it is open, after whatever lies in it. The context by which later spans refer to it.

        `error` is the class of the error that it ended with, `why` its message.
        """
        if key not in self._open:
            return None
        for inside in [k for k, open in self._open.items() if open.parent == key]:
            self.end(inside, "broken_off")
        span = self._open.pop(key).span
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._tracing.api.StatusCode.ERROR, why)
        span.end(self.now)
        return span.get_span_context()


class Tracing:
    """OpenTelemetry as far as spans need it. None as `provider` is the global one.

    Raises `MissingExtra` without the extra `otel`.
    """

    def __init__(self, provider: TracerProvider | None) -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            raise MissingExtra("tracing", "otel") from None
        self.api: ModuleType = trace
        self.tracer = trace.get_tracer("bottega", tracer_provider=provider)
