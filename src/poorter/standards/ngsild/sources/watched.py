# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions to registrations over HTTP (CIM 009, 5.11; 6.12, 6.13)."""

from __future__ import annotations

from poorter.identity.caller import Caller
from poorter.standards.http.asgi import Request
from poorter.standards.ngsild.face import Face
from poorter.standards.ngsild.sources.routes import enter
from poorter.standards.ngsild.subscriptions.keeping import Keeping
from poorter.standards.ngsild.subscriptions.routes import Book


def _watching(face: Face) -> Keeping:
    return face.sources.watching


def _reader(face: Face, request: Request) -> Caller:
    return enter(face, request, "read")[0]


#: subscriptions to registrations
REGISTRATIONS = Book("/ngsi-ld/v1/csourceSubscriptions", _watching, _reader, shows_triggers=False)
