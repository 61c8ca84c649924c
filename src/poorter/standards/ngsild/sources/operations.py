# SPDX-License-Identifier: EUPL-1.2
"""Names of distributed operations and of groups of them (CIM 009, 4.20). Data, no code."""

from __future__ import annotations

_DISCOVER = (
    "retrieveEntityTypes",
    "retrieveEntityTypeDetails",
    "retrieveEntityTypeInfo",
    "retrieveAttrTypes",
    "retrieveAttrTypeDetails",
    "retrieveAttrTypeInfo",
)
_SUBSCRIBE = (
    "createSubscription",
    "updateSubscription",
    "retrieveSubscription",
    "querySubscription",
    "deleteSubscription",
)
_MAPS = (
    "retrieveEntityMap",
    "updateEntityMap",
    "deleteEntityMap",
    "createEntityMapQueryEntity",
)
_IDENTITY = ("retrieveContextSourceIdentity",)
_UPDATE = ("updateEntity", "updateAttrs", "replaceEntity", "replaceAttrs")

GROUPS: dict[str, tuple[str, ...]] = {
    "federationOps": (
        "retrieveEntity",
        "queryEntity",
        "queryBatch",
        *_DISCOVER,
        *_SUBSCRIBE,
        *_MAPS,
        *_IDENTITY,
    ),
    "associationOps": (
        "retrieveEntity",
        "queryEntity",
        "queryBatch",
        *_DISCOVER,
        *_SUBSCRIBE,
        *_IDENTITY,
    ),
    "updateOps": _UPDATE,
    "retrieveOps": ("retrieveEntity", "queryEntity"),
    "redirectionOps": (
        "createEntity",
        "appendAttrs",
        "deleteAttrs",
        "deleteEntity",
        "mergeEntity",
        *_UPDATE,
        "retrieveEntity",
        "queryEntity",
        "purgeEntity",
        *_DISCOVER,
        *_MAPS,
        *_IDENTITY,
    ),
}
DEFAULT_GROUP = "federationOps"
NAMES = frozenset(
    (
        "createBatch",
        "upsertBatch",
        "updateBatch",
        "deleteBatch",
        "mergeBatch",
        "upsertTemporal",
        "appendAttrsTemporal",
        "deleteAttrsTemporal",
        "updateAttrInstanceTemporal",
        "deleteAttrInstanceTemporal",
        "deleteTemporal",
        "retrieveTemporal",
        "queryTemporal",
        "createEntityMapQueryTemporal",
        *(name for names in GROUPS.values() for name in names),
    )
)
#: what an auxiliary source may offer (5.9.2.4)
AUXILIARY = frozenset(("retrieveOps", "retrieveEntity", "queryEntity"))


def expanded(given: tuple[str, ...]) -> frozenset[str]:
    """The operations behind names of operations and groups."""
    return frozenset(name for one in given for name in GROUPS.get(one, (one,)))
