# SPDX-License-Identifier: EUPL-1.2
"""One tree of errors. Standards map it to their own envelopes; nothing else invents errors."""

from __future__ import annotations

from poorter.city.text import Text


class CityError(Exception):
    """Something a caller can be told. `detail` is safe to show: no secrets, no others' data.

    `words` is the same for people: a Text where it is said in both languages, else the detail.
    """

    status = 500
    title = "Something went wrong"
    title_nl = "Er ging iets mis"

    def __init__(self, detail: str | Text = "") -> None:
        self.words: str | Text = detail or Text(self.title_nl, self.title)
        self.detail = self.words if isinstance(self.words, str) else self.words.en
        super().__init__(self.detail)


class Invalid(CityError):  # noqa: N818 - the vocabulary says Invalid, not InvalidError
    """The input cannot be taken as it is; `detail` names the place and the reason."""

    status = 400
    title = "The input is not valid"
    title_nl = "De invoer klopt niet"


class TooLarge(Invalid):
    """The input passes a documented limit."""

    status = 413
    title = "The input is too large"
    title_nl = "De invoer is te groot"


class Unauthenticated(CityError):  # noqa: N818
    """A credential was given that is not, or no longer, known."""

    status = 401
    title = "The credential is not valid"
    title_nl = "Deze sleutel geldt niet"


class Denied(CityError):  # noqa: N818
    """No grant covers this use. Uniform: the detail never tells which part was missing."""

    status = 403
    title = "No grant covers this use"
    title_nl = "Dit gebruik is niet toegestaan"


class NotFound(CityError):  # noqa: N818
    """Absent, or hidden by consent, wall or retention: the two look exactly alike."""

    status = 404
    title = "Not found"
    title_nl = "Niet gevonden"


class Conflict(CityError):  # noqa: N818
    """The state is not what the caller supposed: version, existence, or no space left to hold."""

    status = 409
    title = "The state has changed"
    title_nl = "De toestand is veranderd"


class KeyReused(CityError):  # noqa: N818
    """An Idempotency-Key that was used for something else: nothing was done."""

    status = 409
    title = "The Idempotency-Key was used before"
    title_nl = "De Idempotency-Key is al gebruikt"


class Unsupported(CityError):  # noqa: N818
    """A feature of the standard that this city does not offer."""

    status = 501
    title = "Not supported"
    title_nl = "Dit kan hier niet"


class TooMany(CityError):  # noqa: N818
    """A rate limit was passed. `retry_after_s` tells when to come back."""

    status = 429
    title = "Too many requests"
    title_nl = "Te veel vragen"

    def __init__(self, detail: str | Text = "", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(CityError):  # noqa: N818
    """The city cannot do this now and lost nothing: full disk, ledger down, queue full."""

    status = 503
    title = "Not possible at this moment"
    title_nl = "Dit kan nu niet"

    def __init__(self, detail: str | Text = "", retry_after_s: int | None = None) -> None:
        """`retry_after_s`: when to come back, where that is known."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s
