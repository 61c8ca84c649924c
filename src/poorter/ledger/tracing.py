# SPDX-License-Identifier: EUPL-1.2
"""Traces: which uses belong together, over processes and organisations (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

TRACE_BYTES = 16
SPAN_BYTES = 8
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")


@dataclass(frozen=True, slots=True)
class Trace:
    """One processing: its trace, its own span, and the span that called it (empty: none did)."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""

    def header(self) -> str:
        """The `traceparent` of what is called from here. Every use is recorded, so: sampled."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-01"

    @property
    def called(self) -> bool:
        """Whether another application's trace goes on here."""
        return bool(self.parent_span_id)


def new_trace() -> Trace:
    """A trace that begins here."""
    return Trace(secrets.token_bytes(TRACE_BYTES), secrets.token_bytes(SPAN_BYTES))


def trace_from(traceparent: str | None) -> Trace:
    """The caller's trace with a span of our own; a new one when there is none, or a broken one.

    Source: W3C Trace Context, 3.2: a `traceparent` that can't be read is as good as absent.
    """
    found = _TRACEPARENT.match(traceparent.strip()) if traceparent else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return new_trace()
    trace_id, parent = bytes.fromhex(found[2]), bytes.fromhex(found[3])
    if not any(trace_id) or not any(parent):
        return new_trace()
    return Trace(trace_id, secrets.token_bytes(SPAN_BYTES), parent)
