# SPDX-License-Identifier: EUPL-1.2
"""@context: terms to names and back. The core is built in; nothing is fetched from anywhere.

Internal names are short where their IRI lies in the core or the default vocabulary, so a request
without a user @context needs no expansion (`poorter.city.entity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from poorter.city.errors import Invalid
from poorter.standards.ngsild.problem import ContextUnavailable

CORE_URL = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
_CORE_PREFIX = "https://uri.etsi.org/ngsi-ld/"
_DEFAULT_PREFIX = "https://uri.etsi.org/ngsi-ld/default-context/"
TERMS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Context:
    """Terms that a request brought: term to internal name, and back."""

    names: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    source: Any = CORE_URL

    def expand(self, term: str) -> str:
        """The internal name of a term, a compact IRI or an IRI."""
        found = self.names.get(term)
        if found is not None:
            return found
        if ":" in term:
            prefix, _, rest = term.partition(":")
            iri = self.prefixes.get(prefix)
            return internal(term if iri is None or rest.startswith("//") else iri + rest)
        return term

    def compact(self, name: str) -> str:
        """The term by which this context calls an internal name."""
        return self.terms.get(name, name)


CORE = Context()


def internal(iri: str) -> str:
    """The internal name of an IRI: short in the core and default vocabularies, else whole."""
    for prefix in (_DEFAULT_PREFIX, _CORE_PREFIX):
        if iri.startswith(prefix) and "/" not in iri[len(prefix) :]:
            return iri[len(prefix) :]
    return iri


def is_core(url: str) -> bool:
    """Whether a URL is the core @context, of whatever version."""
    return url.startswith("https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context")


def make_context(source: Any) -> Context:
    """From the value of "@context": URLs, objects, or a list of them. The core always wins.

    Raises: ContextUnavailable for a URL that is not the core's, Invalid for anything else.
    """
    parts = source if isinstance(source, list) else [source]
    terms: dict[str, str] = {}
    for part in parts:
        if isinstance(part, str):
            if not is_core(part):
                raise ContextUnavailable(f"{part[:200]} is not built in and nothing is fetched")
        elif isinstance(part, Mapping):
            terms.update(_terms(part))
        else:
            raise Invalid("@context holds URLs and objects")
    if len(terms) > TERMS_MAX:
        raise Invalid(f"an @context has at most {TERMS_MAX} terms")
    if not terms:
        return CORE
    names = {term: internal(_resolve(iri, terms)) for term, iri in terms.items()}
    back = {name: term for term, name in names.items()}
    return Context(names, back, terms, source)


def _terms(part: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for term, value in part.items():
        if term.startswith("@"):
            continue  # @vocab, @version, @base: the core fixes them for NGSI-LD
        if isinstance(value, Mapping):
            value = value.get("@id", term)
        if not isinstance(value, str) or len(value) > 512:
            raise Invalid(f"@context: {term} must be an IRI")
        found[term] = value
    return found


def _resolve(iri: str, terms: Mapping[str, str]) -> str:
    for _ in range(8):  # a term may be written with another one, not without end
        prefix, colon, rest = iri.partition(":")
        if not colon or rest.startswith("//") or prefix not in terms:
            return iri
        iri = terms[prefix] + rest
    raise Invalid("@context: terms refer to each other without end")
