# SPDX-License-Identifier: EUPL-1.2
"""Who asks: a key in the Authorization header, a client certificate that one of the city's own
proxies saw, or nobody, which is the public."""

from __future__ import annotations

from collections.abc import Collection

from poorter.city.clock import Clock
from poorter.city.errors import Denied, Unauthenticated
from poorter.identity.caller import PUBLIC, Caller
from poorter.identity.certificates import HEADER, read_header
from poorter.identity.credentials import Credentials
from poorter.identity.rates import Rates
from poorter.standards.http.asgi import Request

#: Narrows a request to one purpose; it never widens what the key is bound to (design 3).
PURPOSE_HEADER = b"poorter-purpose"
AUTHORIZATION = b"authorization"
_NAMING = frozenset((AUTHORIZATION, PURPOSE_HEADER))


class Asking:
    """Finds the caller of a request and lets it pass its rate limit. `certificate_proxies`: the
    addresses whose word about client certificates counts; from any other it is as if unsaid."""

    def __init__(
        self,
        credentials: Credentials,
        keyed: Rates,
        public: Rates,
        clock: Clock,
        certificate_proxies: Collection[str] = (),
    ) -> None:
        self.credentials = credentials
        self._keyed = keyed
        self._public = public
        self._clock = clock
        self._proxies = frozenset(certificate_proxies)

    def caller(self, request: Request) -> Caller:
        """The caller. Raises Unauthenticated, Denied for another purpose, TooMany."""
        now_us = self._clock.now_us()
        if not self._proxies and request.none_of(_NAMING):
            self._public.take("public", now_us)
            return PUBLIC
        caller = self._found(request, now_us)
        if caller is PUBLIC:
            self._public.take("public", now_us)
        else:
            self._keyed.take(caller.credential, now_us)
        purposes = _all(request, PURPOSE_HEADER)
        if purposes and (len(purposes) > 1 or purposes[0].decode("latin-1") != caller.purpose):
            raise Denied  # given twice it counts for nothing: nobody chooses which one is meant
        return caller

    def known(self, request: Request) -> Caller:
        """The same caller once more, for the record: no limit is taken again."""
        return self._found(request, self._clock.now_us())

    def _found(self, request: Request, now_us: int) -> Caller:
        header = request.header(AUTHORIZATION)
        holder = self._holder(request, now_us) if self._proxies else None
        if header is None:
            return PUBLIC if holder is None else holder
        if len(_all(request, AUTHORIZATION)) > 1:
            raise Unauthenticated("the Authorization header stands there twice")
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated("the Authorization header must read: Bearer KEY")
        caller = self.credentials.caller(key.strip(), now_us)
        if holder is not None and (holder.processor, holder.purpose) != (
            caller.processor,
            caller.purpose,
        ):
            raise Denied  # a key in the hands of somebody else's machine
        return caller

    def _holder(self, request: Request, now_us: int) -> Caller | None:
        """Whose client certificate the proxy saw; None when it saw none."""
        client = request.scope.get("client")
        if not client or client[0] not in self._proxies:
            return None
        given = _all(request, HEADER)
        if not given:
            return None
        if len(given) > 1:
            raise Unauthenticated("the client certificate stands there twice")
        return self.credentials.holder(read_header(given[0]), now_us)


def _all(request: Request, name: bytes) -> list[bytes]:
    return [value for key, value in request.scope["headers"] if key == name]
