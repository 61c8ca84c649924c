# SPDX-License-Identifier: EUPL-1.2
"""Problem details as CIM 009 has them (5.5.2, 6.3.2), over the one tree of errors."""

from __future__ import annotations

import msgspec

from poorter.city.errors import (
    CityError,
    Conflict,
    Denied,
    Invalid,
    KeyReused,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from poorter.standards.http.asgi import JSON, Answer

_BASE = "https://uri.etsi.org/ngsi-ld/errors/"


class ContextUnavailable(Unavailable):
    """An @context that is neither built in nor given inline, and can't be had (6.3.2)."""

    status = 504
    title = "The @context is not available"


class ContextMissing(ContextUnavailable):
    """The same with the status that it had in versions before 1.9.1."""

    status = 503


class Misplaced(Invalid):
    """The request as such is wrong (method, media type), not the data in it."""


class Clash(Conflict):
    """Another part of the system stands in the way: a registration, or what is held here."""

    title = "This conflicts with what is there"


class SourceFailed(Unavailable):
    """The one source that has all of it did not do it: no answer (504), a wrong one (502)."""

    status = 502
    title = "A context source failed"


class SourceSilent(SourceFailed):
    """It did not answer in time."""

    status = 504


class Loop(SourceFailed):
    """The one source that has all of it would ask this city (CIM 009, 6.3.17)."""

    status = 508
    title = "Loop detected"


class NoTenants(Misplaced):
    """A tenant is named where there are none (4.14)."""

    status = 501
    title = "There are no tenants here"


class NoSuchTenant(NotFound):
    """The tenant has not been made yet (5.5.10)."""

    title = "There is no such tenant"


class NoSuchForm(Misplaced):
    """The answer can't be given in any form that the request accepts."""

    status = 406
    title = "No such form of the answer"


class NoSuchMedia(Misplaced):
    """The body is of a media type that is not read here."""

    status = 415
    title = "The media type is not read here"


class LengthMissing(Misplaced):
    """A body comes without Content-Length (CIM 009, 6.3.4)."""

    status = 411
    title = "Length required"


class NoSuchMethod(Misplaced):
    """The resource is there, the method is not."""

    status = 405
    title = "The method is not allowed here"


_TYPES: tuple[tuple[type[CityError], str], ...] = (
    (ContextUnavailable, "LdContextNotAvailable"),
    (NoTenants, "NoMultiTenantSupport"),
    (Misplaced, "InvalidRequest"),
    (TooLarge, "BadRequestData"),
    (Invalid, "BadRequestData"),
    (NoSuchTenant, "NonexistentTenant"),
    (NotFound, "ResourceNotFound"),
    (Clash, "Conflict"),
    (KeyReused, "Conflict"),
    (Conflict, "AlreadyExists"),
    (Unsupported, "OperationNotSupported"),
)
#: where the standard names no error of its own, the type says nothing more than the status
_PLAIN = "about:blank"


def problem(error: CityError) -> dict[str, object]:
    """The body: type, title, detail, status."""
    kind = next((_BASE + name for base, name in _TYPES if isinstance(error, base)), _PLAIN)
    if isinstance(error, Denied | Unauthenticated | TooMany):
        kind = _PLAIN
    status = status_of(error)
    return {"type": kind, "title": error.title, "detail": error.detail, "status": status}


def status_of(error: CityError) -> int:
    """The HTTP status: what a city does not offer is 422 in NGSI-LD (6.3.2)."""
    return 422 if isinstance(error, Unsupported) else error.status


def problem_answer(error: CityError) -> Answer:
    """The answer; 401, 429 and 503 carry the header that says how to go on, where it is known."""
    headers = [(b"content-type", JSON)]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    retry = getattr(error, "retry_after_s", None)
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    if isinstance(error, LengthMissing):
        return Answer(error.status)  # it has no body (6.3.4)
    return Answer(status_of(error), msgspec.json.encode(problem(error)), tuple(headers))
