# SPDX-License-Identifier: EUPL-1.2
"""@context: terms to names and back (CIM 009, 4.4 and 5.5.7; JSON-LD 1.1). The core is built in.

Internal names are short where their IRI lies in the core or the default vocabulary, so a request
without a user @context needs no expansion (`poorter.city.entity`). Where a URL stands for an
@context, `poorter.standards.ngsild.contexts` has already put its terms in the place of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import msgspec

from poorter.city.errors import Invalid

CORE_URL = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
_CORE_START = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context"
_CORE_VERSIONS = frozenset(("", *(f"-v1.{number}" for number in range(10))))
_VOCABULARY = "https://uri.etsi.org/ngsi-ld/"
_DEFAULT = _VOCABULARY + "default-context/"
TERMS_MAX = 10_000
_PREFIX_ENDS = frozenset(":/?#[]@")  # JSON-LD 1.1, 4.1.5: only these make a term a prefix

#: the terms of the core @context, v1.9, and what they stand for (CIM 009, annex B)
CORE_TERMS: Mapping[str, str] = msgspec.json.decode(
    (files(__package__) / "core_terms.json").read_bytes(), type=dict[str, str]
)
_CORE_NAMES = {iri: term for term, iri in CORE_TERMS.items()}


@dataclass(frozen=True, slots=True)
class Context:
    """Terms that a request brought: term to internal name, and back.

    `source` is the value of "@context" that it was made of, `url` where it can be had whole.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    source: Any = CORE_URL
    url: str = CORE_URL

    def expand(self, term: str) -> str:
        """The internal name of a term, a compact IRI or an IRI."""
        found = self.names.get(term)
        if found is not None:
            return found
        if ":" in term:
            return internal(_resolved(term, self.prefixes))
        return term

    def compact(self, name: str) -> str:
        """The shortest way in which this context says an internal name."""
        term = self.terms.get(name)
        if term is not None:
            return term
        if ":" not in name:
            if name in self.names:  # here the term means something else: say it by its prefix
                return "ngsi-ld:default-context/" + name
            return name
        for prefix, iri in self.prefixes.items():
            if iri[-1] in _PREFIX_ENDS and name.startswith(iri) and len(name) > len(iri):
                return f"{prefix}:{name[len(iri) :]}"
        if name.startswith(_VOCABULARY):
            return "ngsi-ld:" + name[len(_VOCABULARY) :]
        return name


CORE = Context()


def internal(iri: str) -> str:
    """The internal name of an IRI: short in the core and default vocabularies, else whole."""
    core = _CORE_NAMES.get(iri)
    if core is not None:
        return core
    rest = iri[len(_DEFAULT) :] if iri.startswith(_DEFAULT) else ""
    short = rest and "/" not in rest and ":" not in rest and rest not in CORE_TERMS
    return rest if short else iri


def external(name: str) -> str:
    """The IRI of an internal name."""
    if ":" in name:
        return name
    return CORE_TERMS.get(name) or _DEFAULT + name


def is_core(url: str) -> bool:
    """Whether a URL is the core @context, of a version there is."""
    if not url.startswith(_CORE_START) or not url.endswith(".jsonld"):
        return False
    return url[len(_CORE_START) : -len(".jsonld")] in _CORE_VERSIONS


def make_context(parts: Iterable[Mapping[str, Any]], source: Any, url: str = CORE_URL) -> Context:
    """From the objects of an @context, in their order. The core always wins.

    Raises: Invalid for terms that are no terms, too many, or without end.
    """
    terms: dict[str, str] = {}
    for part in parts:
        _take(part, terms)
    if len(terms) > TERMS_MAX:
        raise Invalid(f"an @context has at most {TERMS_MAX} terms")
    if not terms:
        return CORE
    names = {term: internal(_resolved(iri, terms)) for term, iri in terms.items()}
    back: dict[str, str] = {}
    for term, name in names.items():
        back.setdefault(name, term)
    prefixes = {term: _resolved(iri, terms) for term, iri in terms.items() if iri}
    return Context(names, back, prefixes, source, url)


def check_terms(part: Mapping[str, Any]) -> None:
    """Raises Invalid unless an @context object can be read."""
    _take(part, {})


def _take(part: Mapping[str, Any], terms: dict[str, str]) -> None:
    for term, value in part.items():
        if term.startswith("@") or term in CORE_TERMS or term in ("id", "type"):
            continue  # @vocab, @version, @base: the core fixes them; its terms are protected
        if isinstance(value, Mapping):
            if "@context" in value:
                raise Invalid(f"@context: {term:.80} has a context of its own (5.5.7)")
            value = value.get("@id", term if ":" in term else _DEFAULT + term)
        if value is None:
            terms.pop(term, None)
            continue
        if not isinstance(value, str) or not value or len(value) > 512:
            raise Invalid(f"@context: {term:.80} must be an IRI")
        if not value.startswith("@"):
            terms[term] = value if ":" in value else _relative(value, terms)


def _relative(value: str, terms: Mapping[str, str]) -> str:
    """A bare word names another term, else something in the default vocabulary."""
    return terms.get(value) or CORE_TERMS.get(value) or _DEFAULT + value


def _resolved(iri: str, terms: Mapping[str, str]) -> str:
    for _ in range(8):  # a term may be written with another one, not without end
        prefix, colon, rest = iri.partition(":")
        if not colon or rest.startswith("//"):
            return iri
        if prefix == "ngsi-ld":
            return _VOCABULARY + rest
        if prefix not in terms:
            return iri
        iri = terms[prefix] + rest
    raise Invalid("@context: terms refer to each other without end")
