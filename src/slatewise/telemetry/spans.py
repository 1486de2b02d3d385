"""One OpenTelemetry trace per slate, with a span per stage. Knows no stage: it is told what each took."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slatewise.domain.errors import ConfigError
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.ports.clock import Again, Clock
from slatewise.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NS = 1_000_000
"""Nanoseconds in a millisecond."""


class Spans:
    """An `Observer` that makes spans of a slate's timings and sends them in the background. Thread-safe.

    Stages are drawn one behind the other, each as long as it took altogether: timings say how long, not when. No span
    names a user, an item or a cursor. Raises ConfigError where the SDK is not installed.
    """

    def __init__(self, clock: Clock, exporter: SpanExporter | None = None) -> None:
        """Start sending to *exporter*, by default to where the ``OTEL_EXPORTER_OTLP_…`` variables say."""
        try:
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import set_span_in_context
        except ImportError as error:
            raise ConfigError("telemetry.traces needs OpenTelemetry: pip install 'slatewise[otel]'") from error
        self._clock = clock
        self._inside = set_span_in_context
        resource = Resource.create({SERVICE_NAME: "slatewise", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _otlp()))
        self._tracer = self._provider.get_tracer("slatewise.serving", __version__)

    def served(self, query: Query, slate: Slate) -> None:
        total_ms = slate.timing_ms.get("total", 0.0)
        end = int(self._clock.now() * 1000 * NS)
        at = end - int(total_ms * NS)
        span = self._tracer.start_span(
            "slatewise.recommend",
            start_time=at,
            attributes={
                "slatewise.request_id": slate.request_id,
                "slatewise.bundle": slate.bundle,
                "slatewise.version": slate.version,
                "slatewise.size": query.size,
                "slatewise.shown": len(slate.shown),
                "slatewise.page": slate.page,
                "slatewise.cached": slate.cached,
                "slatewise.rung": slate.rung,
                "slatewise.degraded": slate.degraded,
            },
        )
        inside = self._inside(span)
        for stage, ms in slate.timing_ms.items():
            if stage != "total":
                child = self._tracer.start_span(f"slatewise.{stage}", context=inside, start_time=at)
                at += int(ms * NS)
                child.end(at)
        span.end(end)

    def again(self, query: Query, slate: Slate) -> Again:
        return lambda request_id, ms: self.served(query, replace(slate, request_id=request_id, timing_ms={"total": ms}))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits; return whether that succeeded in time."""
        return self._provider.force_flush(int(timeout_s * 1000))

    def close(self) -> None:
        """Send what waits and stop. Later slates leave no span."""
        self._provider.shutdown()


def _otlp() -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigError("telemetry.traces needs an exporter: pip install 'slatewise[otel]'") from error
    return OTLPSpanExporter()
