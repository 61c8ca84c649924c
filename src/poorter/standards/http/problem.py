# SPDX-License-Identifier: EUPL-1.2
"""Errors as problem details (RFC 9457) on the city's own routes."""

from __future__ import annotations

import msgspec

from poorter.city.errors import CityError, Unauthenticated
from poorter.standards.http.asgi import Answer

_PROBLEM = (b"content-type", b"application/problem+json")


def problem_answer(error: CityError) -> Answer:
    """The answer; the header says when to come back where that is known."""
    body = {
        "type": "about:blank",
        "title": error.title,
        "detail": error.detail,
        "status": error.status,
    }
    headers = [_PROBLEM]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    retry = getattr(error, "retry_after_s", None)
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    return Answer(error.status, msgspec.json.encode(body), tuple(headers))
