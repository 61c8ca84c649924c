# SPDX-License-Identifier: EUPL-1.2
"""OpenTelemetry traces of requests, for whoever runs the city; nothing about anybody is in them.

A span has the face that answered, the method, the status and how long it took, and the trace that
the caller said it belongs to. No path, query, id, name, key or address: what a request is about is
the ledger's business, and a collector of traces is nobody's processor. The library is an extra
(`poorter[traces]`), loaded where a collector is set.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from poorter.city.errors import Unavailable
from poorter.city.limits import TRACE_QUEUE_MAX
from poorter.standards.http.asgi import Answering, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_TIMEOUT_S = 5.0
_SERVER, _ERROR = 2, 2
log = logging.getLogger(__name__)


class Traces:
    """Sends spans to one collector, in batches on a thread of their own; what it can't take up to
    TRACE_QUEUE_MAX is dropped, and no request waits for it."""

    def __init__(self, address: str) -> None:
        """`address`: where the collector takes OTLP over HTTP, as http://127.0.0.1:4318/v1/traces.

        Raises: Unavailable where the extra is not installed.
        """
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            words = "server.traces needs the extra: pip install 'poorter[traces]'"
            raise Unavailable(words) from None
        self._provider = TracerProvider(
            resource=Resource({"service.name": "poorter"}), shutdown_on_exit=False
        )
        sending: Any = Sending(address)
        batches = BatchSpanProcessor(sending, max_queue_size=TRACE_QUEUE_MAX)
        self._provider.add_span_processor(batches)
        self._tracer = self._provider.get_tracer("poorter")
        self._told = TraceContextTextMapPropagator()

    def of(self, face: str, answer: Answering) -> Answering:
        """The same face, with a span a request."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        async def answered(scope: Scope, receive: Receive, send: Send) -> int:
            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            parent = [v.decode("latin-1") for k, v in scope["headers"] if k == b"traceparent"]
            context = self._told.extract({"traceparent": parent[0]} if len(parent) == 1 else {})
            span = self._tracer.start_span(
                f"{method} {face}", context, SpanKind.SERVER, record_exception=False
            )
            status = 500
            try:
                status = await answer(scope, receive, send)
            finally:
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("poorter.face", face)
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR))
                span.end()
            return status

        return answered

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


class Sending:
    """Spans to a collector as OTLP in JSON over HTTP (OTLP 1.x, 'JSON Protobuf Encoding')."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """One request for all of them. A collector that is away is said once."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        body = msgspec.json.encode(otlp(spans))
        headers = {"content-type": "application/json"}
        try:
            answer = self._client.post(self._address, content=body, headers=headers)
            fails = answer.status_code >= 300
        except httpx.HTTPError:
            fails = True
        if fails and not self._fails:
            log.warning("the collector of traces does not take them; they are dropped meanwhile")
        self._fails = fails
        return SpanExportResult.FAILURE if fails else SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True

    def shutdown(self) -> None:
        """No more spans come."""
        self._client.close()


def otlp(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Spans as ExportTraceServiceRequest in JSON: ids in hexadecimal, nanoseconds as text."""
    resource = spans[0].resource.attributes if spans else {}
    scope = {"scope": {"name": "poorter"}, "spans": [_span(span) for span in spans]}
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}
        ]
    }


def _span(span: ReadableSpan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "name": span.name,
        "kind": _SERVER,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {} if span.status.is_ok or span.status.is_unset else {"code": _ERROR},
    }
    if span.parent is not None:
        found["parentSpanId"] = f"{span.parent.span_id:016x}"
    return found


def _attributes(attributes: Any) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "value": {"intValue": str(value)}
            if isinstance(value, int)
            else {"stringValue": str(value)},
        }
        for key, value in attributes.items()
    ]
