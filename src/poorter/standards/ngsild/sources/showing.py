# SPDX-License-Identifier: EUPL-1.2
"""A registration as it is shown (CIM 009, 5.2.9): in the caller's words, without its secrets."""

from __future__ import annotations

from typing import Any

from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.sources.model import SPEAKING, Registration
from poorter.standards.ngsild.sources.operations import DEFAULT_GROUP

#: stands for a value that was given and is not told again
HIDDEN = "urn:ngsi-ld:hidden"
#: takes a value from the request that is being spread (4.3.6.5); no secret of its own
FROM_REQUEST = "urn:ngsi-ld:request"


def show(registration: Registration, context: Context, secrets: bool = False) -> dict[str, Any]:
    """Its document. `secrets`: for ourselves only, values of contextSourceInfo as they are."""
    known = registration.context

    def said(name: Any) -> Any:
        if isinstance(name, list):
            return [said(one) for one in name]
        return context.compact(known.expand(name))

    doc: dict[str, Any] = {"id": registration.id}
    for member, value in registration.doc.items():
        if member == "information":
            doc[member] = [_information(part, said) for part in value]
        elif member == "contextSourceInfo" and not secrets:
            doc[member] = [_hidden(pair) for pair in value]
        elif member in _PLAIN:
            doc[member] = value
        else:
            doc[said(member)] = value
    doc.setdefault("mode", registration.mode)
    doc.setdefault("operations", [DEFAULT_GROUP])
    return doc


_PLAIN = frozenset(
    ("type", "endpoint", "mode", "operations", "expiresAt", "datasetId", "scope", "management")
) | frozenset(
    (
        "contextSourceInfo",
        "registrationName",
        "description",
        "contextSourceAlias",
        "tenant",
        "refreshRate",
        "location",
        "observationSpace",
        "operationSpace",
        "observationInterval",
        "managementInterval",
        "localOnly",
    )
)


def _information(part: dict[str, Any], said: Any) -> dict[str, Any]:
    shown = dict(part)
    if "entities" in part:
        shown["entities"] = [
            {**one, "type": said(one["type"])} if "type" in one else dict(one)
            for one in part["entities"]
        ]
    for member in ("propertyNames", "relationshipNames"):
        if member in part:
            shown[member] = said(part[member])
    return shown


def _hidden(pair: dict[str, Any]) -> dict[str, Any]:
    if pair["key"] in SPEAKING or pair.get("value") == FROM_REQUEST:
        return dict(pair)
    return {**pair, "value": HIDDEN}
