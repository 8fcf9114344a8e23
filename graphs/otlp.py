"""Sends spans to a collector by OTLP over HTTP. The spans themselves are made in `traces.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

MOST_WAITING = 50_000
"""Spans that may wait to be sent. OpenTelemetry's own 2,048 lose some of a plan with a thousand steps."""


class Otlp:
    """A way to a collector such as Jaeger, Phoenix or the OpenTelemetry Collector.

        collector = Otlp("http://127.0.0.1:4318")
        traces = Traces(collector.provider)
        ...
        traces.close()
        if problem := collector.close():
            print(problem)

    Spans are sent from a thread of its own while the run goes on. Headers, certificates and compression are what
    OpenTelemetry's variables say (`OTEL_EXPORTER_OTLP_HEADERS` and so on).

    Args:
        endpoint: the collector's address. Without a path, `/v1/traces` is meant.
        seconds: how long one sending may take, with its retries.

    Raises `UsageError` for what is no HTTP address, `MissingExtra` without the extra `otel`.
    """

    def __init__(self, endpoint: str, seconds: float = 5.0) -> None:
        self.endpoint = _address(endpoint)
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise MissingExtra("sending traces", "otel") from None
        self._seconds = seconds
        # What goes wrong is told by `close`, in one line; a program that logs still gets OpenTelemetry's own words.
        self._quiet = logging.NullHandler()
        logging.getLogger("opentelemetry").addHandler(self._quiet)
        self._exporter = _Counting(OTLPSpanExporter(self.endpoint, timeout=seconds))
        self.provider = TracerProvider(
            resource=Resource.create({"service.name": "bottega", "service.version": version("bottega")}),
            shutdown_on_exit=False,
        )
        """What makes spans that go to the collector."""
        # The exporter is one in all but descent: to inherit, this module would have to import OpenTelemetry.
        exporter: Any = self._exporter
        self.provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING))

    def close(self) -> str | None:
        """Sends what waits, for `seconds` and at most one sending more. What got lost, as a line for the person."""
        self._exporter.until = time.monotonic() + self._seconds
        self.provider.shutdown()
        logging.getLogger("opentelemetry").removeHandler(self._quiet)
        lost = self._exporter.lost
        return f"{lost} spans did not reach {_shown(self.endpoint)}" if lost else None


class _Counting:
    """An exporter that counts what it could not send, and from `until` on (monotonic seconds) gives up."""

    def __init__(self, inner: SpanExporter) -> None:
        self.lost = 0
        self.until: float | None = None
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        late = self.until is not None and time.monotonic() > self.until
        result = SpanExportResult.FAILURE if late else self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _address(endpoint: str) -> str:
    """`endpoint` with a path. Raises `UsageError` for what is no HTTP address."""
    hint = "it takes an address like http://127.0.0.1:4318"
    try:
        parts = urlsplit(endpoint.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"traces cannot be sent to {endpoint.rpartition('@')[2]!r}", hint=hint)
    return parts._replace(path="/v1/traces").geturl() if parts.path in ("", "/") else parts.geturl()


def _shown(address: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
