# SPDX-License-Identifier: EUPL-1.2
"""Who asks: a key in the Authorization header, or nobody, which is the public."""

from __future__ import annotations

from poorter.city.clock import Clock
from poorter.city.errors import Denied, Unauthenticated
from poorter.identity.caller import PUBLIC, Caller
from poorter.identity.credentials import Credentials
from poorter.identity.rates import Rates
from poorter.standards.http.asgi import Request

#: Narrows a request to one purpose; it never widens what the key is bound to (design 3).
PURPOSE_HEADER = b"poorter-purpose"


class Asking:
    """Finds the caller of a request and lets it pass its rate limit."""

    def __init__(self, credentials: Credentials, keyed: Rates, public: Rates, clock: Clock) -> None:
        self.credentials = credentials
        self._keyed = keyed
        self._public = public
        self._clock = clock

    def caller(self, request: Request) -> Caller:
        """The caller. Raises Unauthenticated, Denied for another purpose, TooMany."""
        now_us = self._clock.now_us()
        header = request.header(b"authorization")
        if header is None:
            self._public.take("public", now_us)
            caller = PUBLIC
        else:
            scheme, _, key = header.partition(" ")
            if scheme.lower() != "bearer" or not key:
                raise Unauthenticated("the Authorization header must read: Bearer KEY")
            caller = self.credentials.caller(key.strip(), now_us)
            self._keyed.take(caller.credential, now_us)
        purpose = request.header(PURPOSE_HEADER)
        if purpose is not None and purpose != caller.purpose:
            raise Denied
        return caller

    def known(self, request: Request) -> Caller:
        """The same caller once more, for the record: no limit is taken again."""
        _, _, key = (request.header(b"authorization") or "").partition(" ")
        return self.credentials.caller(key.strip(), self._clock.now_us()) if key else PUBLIC
